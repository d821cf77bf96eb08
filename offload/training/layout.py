"""How a tensor looks to a convolution: which axis holds channels, and which hold places."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.errors import OffloadError
from offload.graph.model_graph import ModelGraph, Tensor

if TYPE_CHECKING:
    import torch

_IMAGE_RANK = 4
_SEQUENCE_RANK = 3
_MATRIX_RANK = 2
_PASSING = ("activation", "norm", "elementwise", "pool", "resize")
"""Kinds of layers that leave the axes as they are."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A tensor of one example as (channels, places ...): two axes of places for images, one for sequences."""

    shape: tuple[int, ...]
    """The tensor's, batch of 1 included."""
    order: tuple[int, ...]
    """Its axes in the order channels, places."""
    places: tuple[int, ...]
    """How many places along each axis."""

    @property
    def channels(self) -> int:
        """How many channels."""
        return math.prod(self.shape) // math.prod(self.places)

    def to_channels(self, x: torch.Tensor) -> torch.Tensor:
        """From (N, *shape) to (N, channels, *places)."""
        return x.permute(0, *(1 + axis for axis in self.order)).reshape(-1, self.channels, *self.places)

    def from_channels(self, y: torch.Tensor) -> torch.Tensor:
        """From (N, channels, *places) to (N, *shape)."""
        permuted = y.reshape(-1, *(self.shape[axis] for axis in self.order))
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return permuted.permute(0, *(1 + axis for axis in back))


def layout_of(graph: ModelGraph, tensor: Tensor) -> Layout:
    """The layout of a tensor of a model's graph.

    (1, C, H, W) is an image or feature map; (1, C, T) beside a convolution, (1, T, C), (T, 1, C) and (T, C) are
    sequences; (1, C) is a sequence of one place.

    Raises:
        OffloadError: learned codecs do not take a tensor of this type or shape.
    """
    shape = tensor.shape
    if tensor.dtype != "float32":
        raise OffloadError(
            f"{tensor.name} holds {tensor.dtype}, learned codecs take float32", hint="choose a cut behind it"
        )
    if len(shape) == _IMAGE_RANK and shape[0] == 1:
        return Layout(shape=shape, order=(0, 1, 2, 3), places=shape[2:])
    if len(shape) == _SEQUENCE_RANK and 1 in shape[:2]:
        if shape[0] == 1 and _is_convolved(graph, tensor.name):
            return Layout(shape=shape, order=(0, 1, 2), places=shape[2:])
        time = 1 if shape[0] == 1 else 0
        return Layout(shape=shape, order=(1 - time, 2, time), places=(shape[time],))
    if len(shape) == _MATRIX_RANK:
        return Layout(shape=shape, order=(1, 0), places=shape[:1])
    raise OffloadError(
        f"{tensor.name} of shape {'x'.join(map(str, shape))} is no image, feature map or sequence of one example",
        hint="learned codecs take 1xCxHxW, 1xTxF, Tx1xF, TxF and 1xF; choose another cut",
    )


def _is_convolved(graph: ModelGraph, name: str) -> bool:
    """Whether a convolution makes the tensor or takes it, with nothing between them that turns axes."""
    for layer in (graph.layers[index] for index in graph.consumers[name]):
        if layer.kind == "conv":
            return True
    while name in graph.producer:
        layer = graph.layers[graph.producer[name]]
        if layer.kind == "conv":
            return True
        if layer.kind not in _PASSING or not layer.inputs:
            return False
        name = layer.inputs[0]
    return False
