"""Tensors as they are: dense, little-endian, nothing added or lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.graph.model_graph import Tensor

if TYPE_CHECKING:
    from offload.codecs.base import Array


class Raw:
    """The identity codec."""

    name = "raw"

    def wire(self, tensor: Tensor) -> Tensor:
        """The tensor itself."""
        return tensor

    def encode(self, array: Array) -> Array:
        """The array itself."""
        return array

    def decode(self, encoded: Array, tensor: Tensor) -> Array:
        """The array itself."""
        return encoded
