"""`interpolate:factor=N`: means of N by N values (of N steps of a sequence) cross; the server goes between them.

The means are quantised as `int8` does it. Offload-Intp of DeepCOD (Yao et al., 2020), whose paper leaves the precision
open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offload.codecs.base import HeadedCodec, require_float32
from offload.codecs.quantised import dequantise, quantise, quantised_bytes
from offload.errors import OffloadError

if TYPE_CHECKING:
    from offload.codecs.base import Array
    from offload.codecs.quantised import Floats
    from offload.graph.model_graph import Tensor


class Interpolate(HeadedCodec):
    """Means over blocks, bilinear between the blocks' centres, constant outside them.

    Args:
        text: What makes it again.
        tensor: A feature map (batch, channels, height, width) or a sequence (batch, steps, features).
        factor: Values of a block along each axis; blocks at the end may be shorter.
        bits: Of each mean, 1 to 8.

    Raises:
        OffloadError: the tensor is neither, or shorter than a block.
    """

    def __init__(self, text: str, tensor: Tensor, factor: int, bits: int) -> None:
        require_float32(text, tensor)
        self._axes = spatial_axes(text, tensor.shape)
        if factor > max(tensor.shape[axis] for axis in self._axes):
            raise OffloadError(f"codec {text}: a block is larger than {tensor.shape}", hint="take a smaller factor")
        self._factor = factor
        self._bits = bits
        small = list(tensor.shape)
        for axis in self._axes:
            small[axis] = -(-small[axis] // factor)
        self._small = tuple(small)
        super().__init__("interpolate", text, tensor, quantised_bytes(self._small, bits))

    def encode_body(self, array: Array) -> bytes:
        """The quantised means."""
        means = np.asarray(array, np.float32)
        for axis in self._axes:
            starts = np.arange(0, array.shape[axis], self._factor)
            lengths = np.diff(np.append(starts, array.shape[axis])).astype(np.float32)
            shape = [-1 if other == axis else 1 for other in range(array.ndim)]
            means = np.asarray(np.add.reduceat(means, starts, axis=axis) / lengths.reshape(shape), np.float32)
        return quantise(means, self._bits, self.text)

    def decode_body(self, body: bytes) -> Array:
        """The interpolated values."""
        values = dequantise(body, self._small, self._bits)
        for axis in self._axes:
            values = _interpolated(values, axis, self.tensor.shape[axis], self._factor)
        return values


def spatial_axes(text: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Height and width of a feature map, the steps of a sequence.

    Raises:
        OffloadError: the tensor is neither.
    """
    if len(shape) not in (3, 4):
        raise OffloadError(
            f"codec {text} takes feature maps (batch, channels, height, width) and sequences (batch, steps, features), "
            f"not {shape}"
        )
    return (2, 3) if len(shape) == 4 else (1,)


def _interpolated(means: Floats, axis: int, length: int, factor: int) -> Floats:
    """Linear between the centres of blocks, element by element, so that it is the same on every machine."""
    starts = np.arange(0, length, factor)
    centres = (starts + np.minimum(starts + factor, length) - 1) / 2
    position = np.interp(np.arange(length), centres, np.arange(len(centres)))
    left = np.minimum(position.astype(np.int64), max(len(centres) - 2, 0))
    right = np.minimum(left + 1, len(centres) - 1)
    weight = (position - left).astype(np.float32).reshape([-1 if other == axis else 1 for other in range(means.ndim)])
    before = np.take(means, left, axis)
    between: Floats = before + (np.take(means, right, axis) - before) * weight
    return between
