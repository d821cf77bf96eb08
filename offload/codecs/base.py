"""How one tensor crosses a cut: the bytes that are sent in its place, and how they become a tensor again.

A payload begins with HEADER_BYTES that say how to read it: the version of this format, the codec, and two bytes of a
hash over all that both sides must agree on (parameters, shape, dtype, code tables). A decoder that was told otherwise
refuses it instead of answering with wrong numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from offload.errors import OffloadError
from offload.graph.model_graph import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

HEADER_BYTES = 4
"""What each payload begins with; part of every size that is reported, unless said otherwise."""


class PayloadError(OffloadError):
    """A payload that is damaged, cut short, or was made by another codec."""


class Codec(Protocol):
    """Encodes one tensor on the device, decodes it on the server from the payload and nothing else.

    Bound to the tensor when it is made (`catalogue.make_codec`), which refuses tensors that the codec cannot take.
    """

    text: str
    """What makes the same codec again: its name, its parameters and what follows it, such as `int8+zstd`."""
    tensor: Tensor
    """What it takes and gives."""
    lossless: bool
    """Whether `decode(encode(x))` is `x`, bit by bit."""
    max_bytes: int
    """No payload is longer; one that is, is refused undecoded."""

    def encode(self, array: Array) -> bytes:
        """The payload for an array of the tensor's shape and dtype."""

    def decode(self, payload: bytes) -> Array:
        """An array of the tensor's shape and dtype; the same on every machine.

        Raises:
            PayloadError: the payload is damaged, cut short, or not this codec's.
        """
