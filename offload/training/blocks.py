"""Blocks of decoders, for images (2 axes of places) and sequences (1 axis)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from offload.training.network import Bounds, Shaping, cropped

CONVOLUTIONS: Mapping[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d}
TRANSPOSED: Mapping[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}
_NORMS: Mapping[int, Any] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
_POOLS: Mapping[int, Any] = {1: functional.max_pool1d, 2: functional.max_pool2d}
_NARROWER = 8
"""Queries and keys have this many times fewer channels."""
_MOST_STRIDE = 4
_MOST_KEYS = 64
"""After pooling, if there is room to pool."""


class SelfAttention(nn.Module):
    """x + γ · attention(x), γ = 0 at first (Zhang et al., 2019, as DeepCOD's decoder has it)."""

    def __init__(self, rank: int, width: int, *, pooled: bool) -> None:
        """Build.

        Args:
            rank: Axes of places.
            width: Channels.
            pooled: Whether keys and values are max-pooled along each axis, by 2 or until few are left.
        """
        super().__init__()
        convolution, narrow = CONVOLUTIONS[rank], max(4, width // _NARROWER)
        self.query, self.key = (convolution(width, narrow, 1, bias=False) for _ in range(2))
        self.value, self.out = (
            convolution(*ends, 1, bias=False) for ends in ((width, width // 2), (width // 2, width))
        )
        self.gamma = nn.Parameter(torch.zeros(()))
        self.pool = _POOLS[rank] if pooled else None

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        query, key, value = self.query(x), self.key(x), self.value(x)
        if self.pool is not None:
            factor = _pooling(x.shape[2:])
            key, value = self.pool(key, factor), self.pool(value, factor)
        weights = torch.softmax(query.flatten(2).transpose(1, 2) @ key.flatten(2), dim=-1)
        read = (weights @ value.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:])
        result: Tensor = x + self.gamma * self.out(read)
        return result


def _pooling(places: Sequence[int]) -> int:
    """By how much to pool along each axis."""
    factor = min(2, *places)
    while math.prod(size // factor for size in places) > _MOST_KEYS and 2 * factor <= min(places):
        factor *= 2
    return factor


class UpBlock(nn.Module):
    """Residual block that makes each place `factor` places along each axis, by transposed convolutions."""

    def __init__(self, rank: int, inputs: int, outputs: int, factor: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _NORMS[rank](inputs), _NORMS[rank](outputs)
        self.up: nn.Module
        self.shortcut: nn.Module
        if factor > 1:
            self.up = TRANSPOSED[rank](inputs, outputs, 2 * factor, factor, factor // 2)
            self.shortcut = TRANSPOSED[rank](inputs, outputs, factor, factor)
        else:
            self.up = CONVOLUTIONS[rank](inputs, outputs, 3, padding=1)
            self.shortcut = CONVOLUTIONS[rank](inputs, outputs, 1)
        self.conv = CONVOLUTIONS[rank](outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, outputs, places · factor ...)."""
        y = self.up(functional.relu(self.norm1(x)))
        y = self.conv(functional.relu(self.norm2(y)))
        result: Tensor = y + self.shortcut(x)
        return result


class Rescaling(nn.Module):
    """From a network's range to the tensor's: tanh between an image's bounds, or times a spread plus a mean."""

    spread: Tensor
    middle: Tensor

    def __init__(self, shaping: Shaping) -> None:
        super().__init__()
        channels, rank = shaping.layout.channels, len(shaping.layout.places)
        self.bounded = shaping.bounds is not None
        low, high = _ends(shaping.bounds) if shaping.bounds else (-torch.ones(1), torch.ones(1))
        shape = (-1, *([1] * rank))
        self.register_buffer("spread", ((high - low) / 2).expand(channels).reshape(shape).clone())
        self.register_buffer("middle", ((high + low) / 2).expand(channels).reshape(shape).clone())

    def prepare(self, x: Tensor) -> None:
        """Take mean and standard deviation of each channel, unless there are bounds."""
        if not self.bounded:
            axes = [axis for axis in range(x.ndim) if axis != 1]
            self.middle.copy_(x.mean(axes).reshape(self.middle.shape))
            floor = 1e-3 * x.std()
            self.spread.copy_((x.std(axes) + floor).reshape(self.spread.shape))

    def forward(self, y: Tensor) -> Tensor:
        """Same shape."""
        return self.middle + self.spread * (torch.tanh(y) if self.bounded else y)


def _ends(bounds: Bounds) -> tuple[Tensor, Tensor]:
    return torch.tensor(bounds.low), torch.tensor(bounds.high)


class ResidualDecoder(nn.Module):
    """DeepCOD's decoder: attention, residual block, attention with pooled keys, residual block, BN-ReLU-convolution.

    Each residual block takes a factor of the stride: 4 is 2 · 2, 2 is 2 · 1.
    """

    def __init__(self, shaping: Shaping, inputs: int, widths: Sequence[int]) -> None:
        """Build.

        Args:
            shaping: What the codec is for.
            inputs: Channels of the symbols.
            widths: Channels before, between and after the residual blocks.
        """
        super().__init__()
        rank, channels = len(shaping.layout.places), shaping.layout.channels
        factors = {1: (1, 1), 2: (2, 1), _MOST_STRIDE: (2, 2)}[shaping.stride]
        before, between, after = widths
        self.lift = CONVOLUTIONS[rank](inputs, before, 3, padding=1)
        self.attention1 = SelfAttention(rank, before, pooled=False)
        self.block1 = UpBlock(rank, before, between, factors[0])
        self.attention2 = SelfAttention(rank, between, pooled=True)
        self.block2 = UpBlock(rank, between, after, factors[1])
        self.norm = _NORMS[rank](after)
        self.last = CONVOLUTIONS[rank](after, channels, 3, padding=1)
        self.rescaling = Rescaling(shaping)
        self.places = shaping.layout.places

    def forward(self, values: Tensor) -> Tensor:
        """From quantised values (N, inputs, coded places ...) to (N, channels, places ...)."""
        x = self.attention1(self.lift(values))
        x = self.attention2(self.block1(x))
        x = functional.relu(self.norm(self.block2(x)))
        result: Tensor = self.rescaling(cropped(self.last(x), self.places))
        return result


def decoder_widths(shaping: Shaping) -> tuple[int, int, int]:
    """Channels of a residual decoder before, between and after its blocks: more where there are fewer places."""
    channels = shaping.layout.channels
    if shaping.stride == 1:
        same = min(512, max(64, channels * 3 // 4))
        return same, same, same
    after = min(256, max(16, channels))
    return (3 * after, 2 * after, after) if shaping.stride == _MOST_STRIDE else (2 * after, after * 3 // 2, after)
