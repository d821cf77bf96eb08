"""`fp16`: every value as a half-precision float, 2 bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from offload.codecs.base import HeadedCodec, PayloadError, require_float32

if TYPE_CHECKING:
    from offload.codecs.base import Array
    from offload.graph.model_graph import Tensor

LARGEST = 65504.0
"""The largest half-precision float; what is beyond is sent as this."""


class Half(HeadedCodec):
    """Relative error of at most 2**-11 from 2**-14 to LARGEST, an absolute one of 2**-25 below."""

    def __init__(self, text: str, tensor: Tensor) -> None:
        require_float32(text, tensor)
        self._bytes = 2 * math.prod(tensor.shape)
        super().__init__("fp16", text, tensor, self._bytes)

    def encode_body(self, array: Array) -> bytes:
        """The values, little-endian, C order."""
        return np.clip(np.asarray(array, np.float32), -LARGEST, LARGEST).astype("<f2").tobytes()

    def decode_body(self, body: bytes) -> Array:
        """The values."""
        if len(body) != self._bytes:
            raise PayloadError(f"{len(body)} bytes of values instead of {self._bytes}")
        return np.frombuffer(body, "<f2").astype(np.float32).reshape(self.tensor.shape)
