"""How tensors cross a cut: what is sent in place of a tensor, and how it becomes the tensor again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from offload.graph.model_graph import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


class Codec(Protocol):
    """Encodes on the device, decodes on the server from what crossed and nothing else."""

    name: str

    def wire(self, tensor: Tensor) -> Tensor:
        """What crosses in place of `tensor`: its `size_bytes` is what the network carries, headers included."""

    def encode(self, array: Array) -> Array:
        """The array that crosses; it has the shape and dtype that `wire` tells."""

    def decode(self, encoded: Array, tensor: Tensor) -> Array:
        """An array of `tensor`'s shape and dtype from what crossed."""
