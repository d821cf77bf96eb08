"""`lossy:bits=3`: values clipped, rounded to a few equal steps, and range coded; no training.

Offload-Lossy of DeepCOD (Yao et al., 2020; Huffman there) and the training-free coders that came after it.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

import numpy as np

from offload.codecs.base import HeadedCodec, PayloadError, require_float32
from offload.codecs.quantised import LARGEST
from offload.codecs.symbols import frequencies, range_decode, range_encode, range_model
from offload.errors import OffloadError

if TYPE_CHECKING:
    from offload.codecs.base import Array
    from offload.codecs.quantised import Floats
    from offload.graph.model_graph import Tensor

_SCALE = struct.Struct("<ff")
_SAMPLE = 2**16
"""About as many values are sorted to find the clip points."""
_WORST_SYMBOL_BITS = 17
"""A symbol of the least frequency, 1 of 2**16."""


class Lossy(HeadedCodec):
    """Equal steps between two clip points; off by half a step at most between them.

    The body is the lower clip point and the step (float32), how frequent each symbol is (a byte each, 255 the most
    frequent), and the range coded symbols.

    Args:
        text: What makes it again.
        tensor: Any of float32.
        bits: 2**bits steps, 1 to 8.
        clip: Share of the values that is clipped at either end, estimated from a sample of many; 0 clips none.

    Raises:
        OffloadError: the tensor is not float32.
    """

    def __init__(self, text: str, tensor: Tensor, bits: int, clip: float) -> None:
        require_float32(text, tensor)
        self._levels = 2**bits
        self._clip = clip
        self._count = math.prod(tensor.shape)
        worst = self._count * _WORST_SYMBOL_BITS // 8 + self._count // 1024 + 8
        super().__init__("lossy", text, tensor, _SCALE.size + self._levels + worst)

    def encode_body(self, array: Array) -> bytes:
        """Scale, frequencies, symbols."""
        values = np.asarray(array, np.float32).ravel()
        if not (np.abs([values.min(), values.max()]) <= LARGEST).all():
            raise OffloadError(f"codec {self.text} takes finite values up to {LARGEST:g}")
        low, high = self._clip_points(values)
        low, step = _SCALE.unpack(_SCALE.pack(low, (high - low) / (self._levels - 1)))
        symbols = np.clip(np.rint((values - np.float32(low)) / np.float32(step or 1.0)), 0, self._levels - 1).astype(
            np.int32
        )
        counts = np.bincount(symbols, minlength=self._levels)
        table = bytes((-(-counts * 255 // counts.max())).astype(np.uint8))
        return _SCALE.pack(low, step) + table + range_encode([(symbols, range_model(frequencies(table)))])

    def _clip_points(self, values: Floats) -> tuple[float, float]:
        if self._clip == 0:
            return float(values.min()), float(values.max())
        # An odd stride does not keep to the same columns of rows of even length.
        sample = values[:: values.size // _SAMPLE | 1]
        low, high = np.quantile(sample, [self._clip, 1 - self._clip]).tolist()
        return low, high

    def decode_body(self, body: bytes) -> Array:
        """The values."""
        begin = _SCALE.size + self._levels
        if len(body) < begin:
            raise PayloadError(f"{len(body)} bytes, the scale and the frequencies alone take {begin}")
        low, step = _SCALE.unpack_from(body)
        if not (abs(low) <= LARGEST and 0 <= step <= LARGEST):
            raise PayloadError("damaged payload: a scale that no values have")
        model = range_model(frequencies(body[_SCALE.size : begin]))
        (symbols,) = range_decode(body[begin:], [(self._count, model)])
        values = symbols.astype(np.float32) * np.float32(step) + np.float32(low)
        return values.reshape(self.tensor.shape)
