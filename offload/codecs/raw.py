"""Tensors as they are: dense, little-endian, nothing added or lost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from offload.codecs.base import PayloadError
from offload.errors import OffloadError
from offload.graph.model_graph import DTYPE_BYTES, Tensor

if TYPE_CHECKING:
    from offload.codecs.base import Array


class Raw:
    """The tensor's own bytes: dense, C order, little-endian, without a header."""

    text = "raw"
    lossless = True

    def __init__(self, tensor: Tensor) -> None:
        if tensor.dtype not in DTYPE_BYTES or tensor.dtype == "bfloat16":
            raise OffloadError(f"codec raw cannot take {tensor.dtype}")
        if any(length < 1 for length in tensor.shape):
            raise OffloadError(f"codec raw takes tensors of fixed shape, not {tensor.shape}")
        self.tensor = tensor
        self.max_bytes = math.prod(tensor.shape) * DTYPE_BYTES[tensor.dtype]

    def encode(self, array: Array) -> bytes:
        """The bytes.

        Raises:
            OffloadError: the array has another shape or dtype.
        """
        if array.shape != self.tensor.shape or array.dtype.name != self.tensor.dtype:
            raise OffloadError(
                f"codec raw is for {self.tensor.dtype} {self.tensor.shape}, not {array.dtype} {array.shape}"
            )
        return array.astype(array.dtype.newbyteorder("<")).tobytes()

    def decode(self, payload: bytes) -> Array:
        """The array.

        Raises:
            PayloadError: the payload is not as long as the tensor.
        """
        import numpy as np

        if len(payload) != self.max_bytes:
            raise PayloadError(f"payload of {len(payload)} bytes for a tensor of {self.max_bytes}")
        stored = np.frombuffer(payload, np.dtype(self.tensor.dtype).newbyteorder("<"))
        return stored.astype(self.tensor.dtype).reshape(self.tensor.shape)
