"""What a codec is taught: the tensor itself, and what the intact model answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from offload.models.onnx_in_torch import DifferentiableSegment

RECONSTRUCTION_WEIGHT = 10.0
_MOST_GRADIENT = 1.0
"""Norm of the gradient that comes back through the model."""


def reconstruction_loss(made: Tensor, wanted: Tensor, *, variance: float) -> Tensor:
    """10 · MSE in units of the tensor's variance, so that it weighs the same at every cut."""
    return RECONSTRUCTION_WEIGHT / variance * functional.mse_loss(made, wanted)


def logits_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """MSE of the answers."""
    losses = [functional.mse_loss(made, wanted) for made, wanted in zip(student, teacher, strict=True)]
    return torch.stack(losses).sum()


def backward(
    made: Tensor,
    wanted: Tensor,
    penalty: Tensor,
    *,
    variance: float,
    tail: DifferentiableSegment | None,
    answers: int,
    teacher: Sequence[Tensor],
) -> Tensor:
    """Gradients of the whole loss into the codec's parameters.

    The gradient through the model is clipped to norm 1 before it joins the others, as DeepCOD's authors do.

    Args:
        made: What the decoder made; (examples, *shape).
        wanted: The tensor itself.
        penalty: What the codec adds: a rate, or orthogonality.
        variance: Of the tensor.
        tail: The model behind the cut; None without distillation.
        answers: How many of its first results are compared.
        teacher: The intact model's answers.

    Returns:
        The loss.
    """
    own = reconstruction_loss(made, wanted, variance=variance) + penalty
    if tail is None:
        own.backward()  # type: ignore[no-untyped-call]
        return own.detach()
    received = made.detach().requires_grad_()
    taught = logits_loss(tail(received)[:answers], teacher)
    (gradient,) = torch.autograd.grad(taught, received)
    gradient = gradient * min(1.0, _MOST_GRADIENT / max(float(gradient.norm()), 1e-12))
    torch.autograd.backward([own, made], [None, gradient])
    return own.detach() + taught.detach()
