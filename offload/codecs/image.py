"""`jpeg`, `webp` and `avif`: an image input as the file that Pillow writes, all its headers and tables included.

Decoders of two versions may differ by a level or so; the payload is the same file for both.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, features

from offload.codecs.base import HeadedCodec, PayloadError
from offload.codecs.pixels import from_pixels, require_image, to_pixels
from offload.errors import OffloadError

if TYPE_CHECKING:
    from offload.codecs.base import Array
    from offload.datasets.base import PixelScale
    from offload.graph.model_graph import Tensor

ImageFormat = Literal["jpeg", "webp", "avif"]
_MODES = {1: "L", 3: "RGB"}


class ImageFile(HeadedCodec):
    """A lossy image file of 8 bits a channel.

    Args:
        image_format: Which kind of file; the name of the codec.
        text: What makes it again.
        tensor: The image.
        quality: From 1 (small) to 100, each format in its own measure.
        scale: How the pixels became the tensor.

    Raises:
        OffloadError: the tensor is no image, or this Pillow cannot write such files.
    """

    def __init__(self, image_format: ImageFormat, text: str, tensor: Tensor, quality: int, scale: PixelScale) -> None:
        require_image(text, tensor, scale)
        if not features.check("jpg" if image_format == "jpeg" else image_format):
            raise OffloadError(f"this Pillow was built without {image_format}", hint="pip install --upgrade pillow")
        self._format = image_format
        self._quality = quality
        self._scale = scale
        _, _, height, width = tensor.shape
        # A coefficient of JPEG has a code of 16 bits at most and 11 of its own, all of them escaped if they are ones:
        # 54 bits. What the others make of noise is far below. Blocks are 16 pixels a side, the rest is headers.
        blocks = -(-height // 16) * -(-width // 16)
        super().__init__(image_format, text, tensor, blocks * 256 * 3 * 7 + 4096)

    def encode_body(self, array: Array) -> bytes:
        """The file."""
        pixels = to_pixels(array, self._scale)
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        file = io.BytesIO()
        image.save(file, self._format, quality=self._quality)
        return file.getvalue()

    def decode_body(self, body: bytes) -> Array:
        """The image; pixels are decoded only when the file is as large as the tensor says."""
        _, channels, height, width = self.tensor.shape
        try:
            with Image.open(io.BytesIO(body), formats=[self._format]) as image:
                if image.size != (width, height):
                    raise PayloadError(f"an image of {image.size[0]} x {image.size[1]} instead of {width} x {height}")
                pixels = np.asarray(image.convert(_MODES[channels]), np.uint8)
        except PayloadError:
            raise
        except Exception as error:  # Pillow's decoders let through whatever a damaged file made them stumble over.
            raise PayloadError(f"damaged payload: no {self._format} image ({error})") from error
        return from_pixels(pixels.reshape(height, width, channels), self._scale)
