"""Weights for networks that come without any: seeded, finite, and the same bits on every machine."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class ResidualNorm(nn.BatchNorm2d):
    """The batch norm that closes a residual branch; differs from any other in its initialisation only."""


def _uniform(tensor: Tensor, low: float, high: float, generator: torch.Generator) -> None:
    # The raw stream and one multiply and one add at a time are exact everywhere; normal draws and fused
    # multiply-adds round differently from processor to processor, and the model's hash would change with them.
    tensor.copy_(torch.rand(tensor.shape, generator=generator).mul_(high - low).add_(low))


def initialise(module: nn.Module, *, seed: int = 0) -> None:
    """Draw all weights of `module`: He uniform for those that multiply, near the identity for batch norms.

    The scale keeps a signal's variance through ReLU layers (He et al., ICCV 2015). Batch norms get slightly
    different statistics for each channel, so that folding them is real work; one whose `residual_end` is true
    closes a residual branch and is damped, since the sums would otherwise grow with depth.
    The global random state is neither read nor changed.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                if isinstance(layer, nn.ConvTranspose2d):
                    fan_in = layer.in_channels // layer.groups
                else:
                    fan_in = layer.weight[0].numel()
                bound = math.sqrt(6 / fan_in)
                _uniform(layer.weight, -bound, bound, generator)
                if layer.bias is not None:
                    _uniform(layer.bias, -0.05, 0.05, generator)
            elif isinstance(layer, nn.BatchNorm2d):
                scale = 0.3 if isinstance(layer, ResidualNorm) else 1.0
                _uniform(layer.weight, 0.9 * scale, 1.1 * scale, generator)
                _uniform(layer.bias, -0.1, 0.1, generator)
                _uniform(layer.get_buffer("running_mean"), -0.1, 0.1, generator)
                _uniform(layer.get_buffer("running_var"), 0.9, 1.1, generator)
