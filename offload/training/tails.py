"""Training the layers after a cut on what a codec leaves of the tensor, as baselines need to be compared fairly.

A decoder that was trained against a model's own tail has had training that a JPEG never had: sc2bench (TMLR 2023)
trains the receiver of compressed images, too. Here the tail learns the intact model's answers, as a decoder does.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from offload.models.onnx_in_torch import DifferentiableSegment
from offload.models.segments import OnnxSegment

Array = NDArray[np.generic]
_LEARNING_RATE = 5e-4
_BATCH = 32
_CHECKS = 8
"""How often the tail is judged on validation examples while it trains."""


@dataclass(frozen=True, kw_only=True)
class TailExamples:
    """What a codec left of the tensor, and the intact model's answers."""

    decoded: Array
    """Shape (examples, *shape), float32, the model's batch of 1 included."""
    answers: Array
    """What the intact model makes of the tensor itself, likewise: the tensor that is taught."""


def tune_tail(
    tail: OnnxSegment,
    *,
    taught: str,
    output: str,
    train: TailExamples,
    validation: TailExamples,
    steps: int,
    seed: int = 0,
) -> Callable[[Array], Array]:
    """Train a tail on batches of 32, and keep what did best on the validation examples.

    Args:
        tail: The layers after the cut, for one example; one input.
        taught: The tensor in it by which it is compared with the intact model.
        output: Which of its outputs is the answer.
        train: Examples to learn from.
        validation: Examples to judge by.
        steps: How many batches; the learning rate falls to 0 along a cosine.
        seed: Of the order of examples.

    Returns:
        From decoded tensors, shape (examples, *shape), to answers.

    Raises:
        OffloadError: the tail has an operator without a differentiable form.
    """
    network = DifferentiableSegment(tail, results=[taught, output])
    weights = [weight.requires_grad_(True) for weight in network.parameters()]
    optimiser = torch.optim.Adam(weights, lr=_LEARNING_RATE)
    order = torch.Generator().manual_seed(seed)
    inputs, targets = (torch.from_numpy(np.ascontiguousarray(each)) for each in (train.decoded, train.answers))
    best, kept = _loss(network, validation), copy.deepcopy(network.state_dict())
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = _LEARNING_RATE * (1 + math.cos(math.pi * step / steps)) / 2
        rows = torch.randint(len(inputs), (_BATCH,), generator=order)
        optimiser.zero_grad()
        torch.autograd.backward(functional.mse_loss(network(inputs[rows])[0], targets[rows]))
        optimiser.step()
        if (step + 1) % max(1, steps // _CHECKS) == 0 or step + 1 == steps:
            best, kept = min((best, kept), _judged(network, validation), key=lambda pair: pair[0])
    network.load_state_dict(kept)

    def answer(decoded: Array) -> Array:
        with torch.no_grad():
            parts = torch.split(torch.from_numpy(np.ascontiguousarray(decoded)), _BATCH)
            return torch.cat([network(part)[1] for part in parts]).numpy()

    return answer


def _loss(network: DifferentiableSegment, examples: TailExamples) -> float:
    inputs, targets = torch.from_numpy(examples.decoded), torch.from_numpy(examples.answers)
    with torch.no_grad():
        return sum(
            functional.mse_loss(
                network(inputs[start : start + _BATCH])[0], targets[start : start + _BATCH], reduction="sum"
            ).item()
            for start in range(0, len(inputs), _BATCH)
        )


def _judged(network: DifferentiableSegment, examples: TailExamples) -> tuple[float, dict[str, torch.Tensor]]:
    return _loss(network, examples), copy.deepcopy(network.state_dict())
