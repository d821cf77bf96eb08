"""What all learned codecs have in common: encoder, symbols, decoder, in one module that trains."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from offload.artifacts.codec import LearnedKind, SymbolCoding
from offload.codecs.base import HEADER_BYTES
from offload.training.layout import Layout


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Between which values an image's pixels lie, for each channel or one for all."""

    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Shaping:
    """What a learned codec is built for."""

    layout: Layout
    stride: int
    """How many places along each axis become one."""
    ratio: float
    """Payload bits against those of the tensor's float32 values."""
    bounds: Bounds | None
    """Of an image; None elsewhere."""

    @property
    def coded_places(self) -> tuple[int, ...]:
        """How many places the symbols have along each axis."""
        return tuple(-(-size // self.stride) for size in self.layout.places)

    def coded_channels(self, bits: float) -> int:
        """How many channels of symbols the ratio allows, at these bits a symbol: one at least."""
        payload_bytes = self.ratio * 4 * math.prod(self.layout.shape) - HEADER_BYTES
        return max(1, int(payload_bytes * 8 / bits / math.prod(self.coded_places)))


class LearnedCodec(nn.Module, ABC):
    """Encoder, quantiser and decoder; tensors are (N, channels, places ...) here."""

    kind: LearnedKind
    coding: SymbolCoding
    levels: int
    channels: int
    """Of the symbols."""
    encoder: Any
    decoder: Any
    """Modules; nn.Module knows no types of what it holds."""

    def __init__(self, shaping: Shaping) -> None:
        super().__init__()
        self.shaping = shaping

    @abstractmethod
    def prepare(self, x: Tensor, *, encoder: bool) -> None:
        """Set what depends on the data, from some examples; the encoder's directions only where `encoder` says so."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the decoder makes of hard symbols, differentiable, and what is added to the loss."""

    @abstractmethod
    def symbols(self, x: Tensor) -> Tensor:
        """Hard symbols, uint8, (N, symbol channels, coded places ...)."""

    @abstractmethod
    def decode(self, symbols: Tensor) -> Tensor:
        """The reconstruction from symbols (any integer type) alone."""

    def begin_epoch(self, epoch: int, epochs: int) -> bool:
        """Called before each epoch; whether what trains has changed."""
        return False

    def formed_at(self, epochs: int) -> int:
        """The first epoch after which the codec is what it will be: pruned, or its rate settled."""
        return 0

    def freeze_encoder(self) -> None:
        """Leave the encoder as it was drawn."""
        self.encoder.requires_grad_(False)

    def finish(self) -> None:
        """Turn parametrizations into plain weights, for export."""

    @property
    def symbols_shape(self) -> tuple[int, ...]:
        """Of one example, batch of 1 included."""
        return (1, self.channels, *self.shaping.coded_places)


def padded(x: Tensor, stride: int) -> Tensor:
    """Zeros behind each axis of places up to a multiple of the stride."""
    around = [size for places in reversed(x.shape[2:]) for size in (0, -places % stride)]
    return nn.functional.pad(x, around) if any(around) else x


def cropped(y: Tensor, places: Sequence[int]) -> Tensor:
    """The first places along each axis."""
    return y[(slice(None), slice(None), *(slice(size) for size in places))] if y.shape[2:] != torch.Size(places) else y


def straight_through(soft: Tensor, hard: Tensor) -> Tensor:
    """The hard value forwards, the soft one's gradient backwards (Bengio et al., 2013)."""
    return soft + (hard - soft).detach()
