"""How one tensor crosses a cut: the bytes that are sent in its place, and how they become a tensor again.

A payload begins with HEADER_BYTES that say how to read it: the version of this format, the codec, and two bytes of a
hash over all that both sides must agree on (parameters, shape, dtype, code tables). A decoder that was told otherwise
refuses it instead of answering with wrong numbers.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from offload.errors import OffloadError
from offload.graph.model_graph import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

HEADER_BYTES = 4
"""What each payload begins with; part of every size that is reported, unless said otherwise."""
FORMAT_VERSION = 1
"""First byte of each payload."""
NUMBERS = {
    "packed": 2, "range": 3, "zstd": 4, "fp16": 5, "int8": 6, "int4": 7, "uint8": 8, "jpeg": 9, "webp": 10, "avif": 11,
    "interpolate": 12, "cs-dct": 13, "cs-wavelet": 14, "lossy": 15, "crop": 16,
}  # fmt: skip
"""Second byte of each payload, by the codec's name; a number is never given to another codec."""


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

        `cs-*`, `jpeg`, `webp` and `avif` compute with libraries that may round differently elsewhere.

        Raises:
            PayloadError: the payload is damaged, cut short, or not this codec's.
        """


class HeadedCodec(ABC):
    """A codec whose payload is the header and a body.

    Args:
        name: One of NUMBERS.
        text: What makes it again.
        tensor: What it takes and gives.
        most_body_bytes: No body is longer.
        tables: Frequencies of symbols that both sides must agree on.

    Raises:
        OffloadError: the tensor's shape is not fixed.
    """

    lossless = False

    def __init__(
        self,
        name: str,
        text: str,
        tensor: Tensor,
        most_body_bytes: int,
        tables: Sequence[Sequence[int]] = (),
    ) -> None:
        if any(length < 1 for length in tensor.shape):
            raise OffloadError(f"codec {text} takes tensors of fixed shape, not {tensor.shape}")
        self.text = text
        self.tensor = tensor
        self.max_bytes = HEADER_BYTES + most_body_bytes
        agreed = f"{text} {tuple(tensor.shape)} {tensor.dtype} {[list(table) for table in tables]}"
        self._header = bytes([FORMAT_VERSION, NUMBERS[name]]) + hashlib.sha256(agreed.encode()).digest()[:2]

    def encode(self, array: Array) -> bytes:
        """The payload for an array of the tensor's shape and dtype.

        Raises:
            OffloadError: the array has another shape or dtype.
        """
        if array.shape != self.tensor.shape or array.dtype.name != self.tensor.dtype:
            raise OffloadError(
                f"codec {self.text} is for {self.tensor.dtype} {self.tensor.shape}, not {array.dtype} {array.shape}"
            )
        payload = self._header + self.encode_body(array)
        if len(payload) > self.max_bytes:
            raise OffloadError(f"codec {self.text} made {len(payload)} bytes, more than the {self.max_bytes} it may")
        return payload

    def decode(self, payload: bytes) -> Array:
        """An array of the tensor's shape and dtype; the same on every machine.

        Raises:
            PayloadError: the payload is damaged, cut short, or not this codec's.
        """
        if len(payload) > self.max_bytes:
            raise PayloadError(f"payload of {len(payload)} bytes, {self.text} makes {self.max_bytes} at most")
        if payload[:HEADER_BYTES] != self._header:
            raise PayloadError(
                f"payload begins with {payload[:HEADER_BYTES].hex() or 'nothing'}, one of {self.text} for "
                f"{self.tensor.dtype} {self.tensor.shape} with {self._header.hex()}",
                hint="encode and decode with the same codec, tensor and version of offload",
            )
        return self.decode_body(payload[HEADER_BYTES:])

    @abstractmethod
    def encode_body(self, array: Array) -> bytes:
        """What follows the header."""

    @abstractmethod
    def decode_body(self, body: bytes) -> Array:
        """The array, or PayloadError; never allocates more than a small multiple of the tensor."""


def require_float32(text: str, tensor: Tensor) -> None:
    """Raises OffloadError unless the tensor is of float32."""
    if tensor.dtype != "float32":
        raise OffloadError(f"codec {text} takes float32, not {tensor.dtype}", hint="raw and zstd take any tensor")
