"""What a codec is taught: the tensor itself, what the intact model answers, and labels where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from offload.models.onnx_in_torch import DifferentiableSegment

RECONSTRUCTION_WEIGHT = 10.0
_MOST_TAUGHT = (1.0, 30.0)
"""Norm of the gradient that comes back through the model, in units of the reconstruction's: at first, at last."""


def reconstruction_loss(made: Tensor, wanted: Tensor, *, variance: float) -> Tensor:
    """10 · MSE in units of the tensor's variance, so that it weighs the same at every cut."""
    return RECONSTRUCTION_WEIGHT / variance * functional.mse_loss(made, wanted)


def logits_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """MSE of the answers."""
    losses = [functional.mse_loss(made, wanted) for made, wanted in zip(student, teacher, strict=True)]
    return torch.stack(losses).sum()


def answers_loss(
    results: Sequence[Tensor], teacher: Sequence[Tensor], labelled: Callable[[Sequence[Tensor]], Tensor] | None
) -> Tensor:
    """What the model's answers behind a codec lose.

    Args:
        results: Of the model behind the cut.
        teacher: The intact model's answers, as many as there are of the first results; none without distillation.
        labelled: What the results lose against labels; None without labels.
    """
    losses = [logits_loss(results[: len(teacher)], teacher)] if teacher else []
    return torch.stack([*losses, *([labelled(results)] if labelled else [])]).sum()


def backward(
    made: Tensor,
    wanted: Tensor,
    penalty: Tensor,
    *,
    variance: float,
    tail: DifferentiableSegment | None,
    teacher: Sequence[Tensor],
    labelled: Callable[[Sequence[Tensor]], Tensor] | None = None,
    share: float,
) -> Tensor:
    """Gradients of the whole loss into the codec's parameters.

    Where it meets the reconstruction's, the gradient through the model is clipped: to the same norm at first, to 30
    times that at last. (DeepCOD's authors clip it to norm 1; it is then 7 to 30 times the reconstruction's in the
    networks tried, from the start: over few steps, a codec that cannot rebuild the tensor yet learns little of it.)

    Args:
        made: What the decoder made; (examples, *shape).
        wanted: The tensor itself.
        penalty: What the codec adds: a rate, or orthogonality.
        variance: Of the tensor.
        tail: The model behind the cut; None where neither answers nor labels are taught.
        teacher: The intact model's answers, as many as there are of the tail's first results; none without
            distillation.
        labelled: What the tail's results lose against labels; None without labels.
        share: Of the training that is over.

    Returns:
        The loss.
    """
    rebuilt = reconstruction_loss(made, wanted, variance=variance)
    own = rebuilt + penalty
    if tail is None:
        own.backward()  # type: ignore[no-untyped-call]
        return own.detach()
    received = made.detach().requires_grad_()
    taught = answers_loss(tail(received), teacher, labelled)
    (through,) = torch.autograd.grad(taught, received)
    (direct,) = torch.autograd.grad(rebuilt, made, retain_graph=True)
    first, last = _MOST_TAUGHT
    most = first * (last / first) ** share * float(direct.norm())
    through = through * min(1.0, most / max(float(through.norm()), 1e-12))
    torch.autograd.backward([own, made], [None, through])
    return own.detach() + taught.detach()
