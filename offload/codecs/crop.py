"""`crop`: an image of any size as a JPEG file, for models that take images of any size: regions of a video's frames.

What the model sees are the pixels, scaled, and black to the right and below up to the next multiple of its grid.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from offload.codecs.base import FORMAT_VERSION, HEADER_BYTES, NUMBERS, PayloadError
from offload.codecs.pixels import from_pixels, to_pixels
from offload.errors import OffloadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.codecs.base import Array
    from offload.datasets.base import PixelScale
    from offload.graph.model_graph import Tensor

    Pixels = NDArray[np.uint8]
    """Shape (height, width, 3), RGB."""

MOST_PIXELS = 2**25
"""Of an image; a float32 tensor of it is 400 MB."""
_MOST_BYTES_A_PIXEL = 4


class Crop:
    """Images of up to so many pixels, RGB.

    Args:
        text: What makes it again.
        tensor: float32 (1, 3, -1, -1).
        quality: Of JPEG, 1 to 100; only the encoder minds.
        multiple: Sides of what the model takes are multiples of this many pixels.
        most: Pixels that an image has at most, padding included.
        scale: How pixels become the tensor.

    Raises:
        OffloadError: the tensor is another.
    """

    lossless = False

    def __init__(self, text: str, tensor: Tensor, *, quality: int, multiple: int, most: int, scale: PixelScale) -> None:
        if tensor.dtype != "float32" or tensor.shape != (1, 3, -1, -1):
            raise OffloadError(
                f"codec {text} takes images of any size, float32 (1, 3, any, any), not {tensor.dtype} {tensor.shape}",
                hint="where the model takes one size, use jpeg:quality=80",
            )
        self.text, self.tensor = text, tensor
        self._quality, self._multiple, self._most, self._scale = quality, multiple, most, scale
        self.max_bytes = HEADER_BYTES + _MOST_BYTES_A_PIXEL * most + 4096
        agreed = hashlib.sha256(text.encode()).digest()[:2]
        self._header = bytes([FORMAT_VERSION, NUMBERS["crop"]]) + agreed

    def encode_pixels(self, pixels: Pixels) -> bytes:
        """The payload for an image.

        Raises:
            OffloadError: it is larger than it may be.
        """
        if self._padded(pixels.shape[1], pixels.shape[0]) is None:
            raise OffloadError(f"codec {self.text} takes no image of {pixels.shape[1]} x {pixels.shape[0]} pixels")
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=self._quality)
        return self._header + file.getvalue()

    def encode(self, array: Array) -> bytes:
        """The payload for a tensor (1, 3, height, width); see `Codec.encode`."""
        return self.encode_pixels(to_pixels(array, self._scale))

    def decode(self, payload: bytes) -> Array:
        """The scaled and padded image, (1, 3, height, width); see `Codec.decode`."""
        if len(payload) > self.max_bytes:
            raise PayloadError(f"payload of {len(payload)} bytes, {self.text} makes {self.max_bytes} at most")
        if payload[:HEADER_BYTES] != self._header:
            raise PayloadError(
                f"payload begins with {payload[:HEADER_BYTES].hex() or 'nothing'}, one of {self.text} with "
                f"{self._header.hex()}",
                hint="encode and decode with the same codec and version of offload",
            )
        try:
            with Image.open(io.BytesIO(payload[HEADER_BYTES:]), formats=["JPEG"]) as image:
                size = self._padded(*image.size)
                if size is None:
                    raise PayloadError(
                        f"an image of {image.size[0]} x {image.size[1]} pixels is more than {self._most}"
                    )
                pixels = np.asarray(image.convert("RGB"), np.uint8)
        except PayloadError:
            raise
        except Exception as error:  # Pillow's decoders let through whatever a damaged file made them stumble over.
            raise PayloadError(f"damaged payload: no JPEG image ({error})") from error
        if (size[1], size[0]) != pixels.shape[:2]:
            room = np.zeros((size[1], size[0], 3), np.uint8)
            room[: pixels.shape[0], : pixels.shape[1]] = pixels
            pixels = room
        return from_pixels(pixels, self._scale)

    def _padded(self, width: int, height: int) -> tuple[int, int] | None:
        """Width and height with padding; None for an image that is larger than it may be."""
        wide, high = (-(-side // self._multiple) * self._multiple for side in (width, height))
        return (wide, high) if 0 < wide * high <= self._most else None
