"""Weights for networks that come without any: seeded, finite, and the same bits on every machine."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from offload.models.zoo.deepspeech import ClippedRecurrence
from offload.models.zoo.local import LocalConvolution


class ResidualNorm(nn.BatchNorm2d):
    """The batch norm that closes a residual branch; differs from any other in its initialisation only."""


class Gate(nn.Conv2d):
    """A convolution whose sigmoid scales another signal; initialised so that most of that signal passes."""


class SigmoidLinear(nn.Linear):
    """A dense layer between sigmoids; differs from any other in its initialisation only."""


def _uniform(tensor: Tensor, low: float, high: float, generator: torch.Generator) -> None:
    # The raw stream and one multiply and one add at a time are exact everywhere; normal draws and fused
    # multiply-adds round differently from processor to processor, and the model's hash would change with them.
    tensor.copy_(torch.rand(tensor.shape, generator=generator).mul_(high - low).add_(low))


def initialise(module: nn.Module, *, seed: int = 0) -> None:
    """Draw all weights of `module`: He uniform for those that multiply, near the identity for norms.

    The scale keeps a signal's variance through ReLU layers (He et al., ICCV 2015); sigmoids, whose slope is at most
    a quarter, need four times as much, and recurrent weights less, since they multiply many times over. Batch norms
    get slightly different statistics for each channel, so that folding them is real work; a `ResidualNorm` is damped,
    since the sums would otherwise grow with depth. The global random state is neither read nor changed.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in module.modules():
            _initialise_layer(layer, generator)


def _initialise_layer(layer: nn.Module, generator: torch.Generator) -> None:
    match layer:
        case nn.Conv1d() | nn.Conv2d() | nn.ConvTranspose2d() | nn.Linear() | LocalConvolution():
            gain = 4.0 if isinstance(layer, SigmoidLinear) else 1.0
            bound = gain * math.sqrt(6 / _fan_in(layer))
            _uniform(layer.weight, -bound, bound, generator)
            if layer.bias is not None:
                centre = 2.0 if isinstance(layer, Gate) else 0.0
                _uniform(layer.bias, centre - 0.05, centre + 0.05, generator)
        case nn.BatchNorm2d():
            scale = 0.3 if isinstance(layer, ResidualNorm) else 1.0
            _uniform(layer.weight, 0.9 * scale, 1.1 * scale, generator)
            _uniform(layer.bias, -0.1, 0.1, generator)
            _uniform(layer.get_buffer("running_mean"), -0.1, 0.1, generator)
            _uniform(layer.get_buffer("running_var"), 0.9, 1.1, generator)
        case nn.LayerNorm():
            _uniform(layer.weight, 0.9, 1.1, generator)
            _uniform(layer.bias, -0.1, 0.1, generator)
        case nn.RNNBase() | ClippedRecurrence():
            for weight in layer.parameters(recurse=False):
                bound = math.sqrt(1 / weight.shape[-1])
                _uniform(weight, -bound, bound, generator)
        case _:  # embeddings, class tokens, positions: what is looked up rather than multiplied
            for values in layer.parameters(recurse=False):
                _uniform(values, -1.0, 1.0, generator)


def _fan_in(layer: nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Linear | LocalConvolution) -> int:
    match layer:
        case nn.ConvTranspose2d():
            return layer.in_channels // layer.groups
        case LocalConvolution():
            return layer.weight.shape[1]
    return layer.weight[0].numel()
