"""`int8` and `int4`: each channel's values in equal steps between its smallest and its largest.

The channels of a feature map (batch, channels, ...) of four axes or more are axis 1, those of a sequence (batch, steps,
features) axis 2. There is one scale for all where axes or values are too few for one each.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from offload.codecs.base import HeadedCodec, PayloadError, require_float32
from offload.codecs.symbols import pack, packed_bytes, unpack
from offload.errors import OffloadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.codecs.base import Array
    from offload.graph.model_graph import Tensor

    Floats = NDArray[np.float32]

LARGEST = 1e30
"""Larger values would overflow on the way, sums of them included."""
_SMALLEST_STEP = 1e-36
"""Channels with less between their ends are constant: one over the step has to be a float32."""
FEWEST = 16
"""Values that a channel must have for a scale of its own."""
_SCALE = 8
"""Bytes of a channel's scale: its smallest value and its step, float32."""


class Quantised(HeadedCodec):
    """Off by half a step of its channel at most (and float32 rounding)."""

    def __init__(self, name: str, text: str, tensor: Tensor, bits: int) -> None:
        require_float32(text, tensor)
        self._bits = bits
        super().__init__(name, text, tensor, quantised_bytes(tensor.shape, bits))

    def encode_body(self, array: Array) -> bytes:
        """The smallest values, the steps, then the packed symbols, channel by channel."""
        return quantise(np.asarray(array, np.float32), self._bits, self.text)

    def decode_body(self, body: bytes) -> Array:
        """The values."""
        return dequantise(body, self.tensor.shape, self._bits)


def channel_axis(shape: tuple[int, ...]) -> int | None:
    """Which axis has the channels that get a scale each; None where there is one for all."""
    axis = 2 if len(shape) == 3 else 1
    few = len(shape) < 3 or math.prod(shape) // shape[axis] < FEWEST
    return None if few else axis


def to_channels(array: Floats) -> Floats:
    """A row for each channel."""
    axis = channel_axis(array.shape)
    return array.reshape(1, -1) if axis is None else np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)


def from_channels(rows: Floats, shape: tuple[int, ...]) -> Floats:
    """The array of which `to_channels` made the rows."""
    axis = channel_axis(shape)
    if axis is None:
        return rows.reshape(shape)
    moved = (shape[axis], *shape[:axis], *shape[axis + 1 :])
    return np.ascontiguousarray(np.moveaxis(rows.reshape(moved), 0, axis))


def quantised_bytes(shape: tuple[int, ...], bits: int) -> int:
    """How many bytes `quantise` makes."""
    axis = channel_axis(shape)
    return _SCALE * (1 if axis is None else shape[axis]) + packed_bytes(math.prod(shape), bits)


def quantise(array: Floats, bits: int, text: str) -> bytes:
    """Scales and symbols of an array.

    Raises:
        OffloadError: a value is not finite, or larger than LARGEST.
    """
    rows = to_channels(array)
    smallest, largest = rows.min(axis=1), rows.max(axis=1)
    if not (np.abs([smallest, largest]) <= LARGEST).all():
        raise OffloadError(f"codec {text} takes finite values up to {LARGEST:g}")
    step = (largest - smallest) / np.float32(2**bits - 1)
    step[step < _SMALLEST_STEP] = 0
    steps = np.divide(1, step, where=step > 0, out=np.zeros_like(step))
    symbols = ((rows - smallest[:, None]) * steps[:, None] + np.float32(0.5)).astype(np.uint8)
    return bytes(np.stack([smallest, step]).astype("<f4").tobytes()) + pack(symbols, bits)


def dequantise(body: bytes, shape: tuple[int, ...], bits: int) -> Floats:
    """The array, within half a step.

    Raises:
        PayloadError: there are fewer or more bytes, or a scale is not finite.
    """
    axis = channel_axis(shape)
    channels = 1 if axis is None else shape[axis]
    if len(body) != quantised_bytes(shape, bits):
        raise PayloadError(f"{len(body)} bytes of scales and symbols instead of {quantised_bytes(shape, bits)}")
    smallest, step = np.frombuffer(body[: _SCALE * channels], "<f4").astype(np.float32).reshape(2, channels)
    if not ((np.abs(smallest) <= LARGEST) & (step >= 0) & (step <= LARGEST)).all():
        raise PayloadError("damaged payload: a scale that no values have")
    symbols = unpack(body[_SCALE * channels :], math.prod(shape), bits).reshape(channels, -1)
    return from_channels(symbols.astype(np.float32) * step[:, None] + smallest[:, None], shape)
