"""`uint8`: the pixels that an image input was made from, as they are; the honest baseline of every image codec."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from offload.codecs.base import HeadedCodec, PayloadError
from offload.datasets.base import PixelScale
from offload.errors import OffloadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.codecs.base import Array
    from offload.graph.model_graph import Tensor

LONGEST_SIDE = 16383
"""Pixels; what a WebP may have."""


class Pixels(HeadedCodec):
    """A byte for each channel of each pixel; exact where the input came from pixels scaled as it is told."""

    def __init__(self, text: str, tensor: Tensor, scale: PixelScale) -> None:
        require_image(text, tensor, scale)
        self._scale = scale
        super().__init__("uint8", text, tensor, math.prod(tensor.shape))

    def encode_body(self, array: Array) -> bytes:
        """Rows of pixels, the channels of a pixel together."""
        return to_pixels(array, self._scale).tobytes()

    def decode_body(self, body: bytes) -> Array:
        """The scaled image."""
        _, channels, height, width = self.tensor.shape
        if len(body) != channels * height * width:
            raise PayloadError(f"{len(body)} bytes of pixels instead of {channels * height * width}")
        return from_pixels(np.frombuffer(body, np.uint8).reshape(height, width, channels), self._scale)


def require_image(text: str, tensor: Tensor, scale: PixelScale) -> None:
    """Raises OffloadError unless the tensor is one image of 1 or 3 channels, which the scale fits."""
    shape = tensor.shape
    fits = tensor.dtype == "float32" and len(shape) == 4 and shape[0] == 1 and shape[1] in (1, 3)
    if not fits or not all(1 <= side <= LONGEST_SIDE for side in shape[2:]):
        raise OffloadError(
            f"codec {text} takes an image, float32 (1, 1 or 3, height, width), not {tensor.dtype} {shape}",
            hint="at other cuts take int8+zstd, lossy:bits=3 or a trained codec",
        )
    if any(len(values) not in (1, shape[1]) for values in (scale.mean, scale.std)):
        raise OffloadError(f"codec {text}: mean and std must be 1 number, or {shape[1]} as the image has channels")


def to_pixels(array: Array, scale: PixelScale) -> NDArray[np.uint8]:
    """The nearest pixels, shape (height, width, channels), of an image (1, channels, height, width)."""
    image = np.moveaxis(np.asarray(array, np.float64)[0], 0, -1)
    scaled = (image * np.asarray(scale.std) + np.asarray(scale.mean)) * 255
    pixels: NDArray[np.uint8] = np.clip(np.rint(np.nan_to_num(scaled)), 0, 255).astype(np.uint8)
    return pixels


def from_pixels(pixels: NDArray[np.uint8], scale: PixelScale) -> NDArray[np.float32]:
    """The image (1, channels, height, width) as `(pixel / 255 - mean) / std`, in float32 arithmetic."""
    height, width, channels = pixels.shape
    image = np.empty((1, channels, height, width), np.float32)
    means, stds = (np.broadcast_to(np.asarray(values, np.float32), channels) for values in (scale.mean, scale.std))
    for channel, (plane, mean, std) in enumerate(zip(image[0], means, stds, strict=True)):  # each fits the cache better
        np.divide(pixels[:, :, channel], np.float32(255), out=plane, dtype=np.float32)
        if mean:
            plane -= mean
        if std != 1:
            plane /= std
    return image
