"""A detector as a model: one ONNX graph from an image to boxes, scores and labels, and what goes around it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from offload.codecs.pixels import from_pixels
from offload.datasets.base import PixelScale
from offload.video.detections import Detections
from offload.video.merging import suppressed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.runtimes.base import Array, Session
    from offload.video.clips import Frame

LEAST_SCORE = 0.05
"""Objects that are less likely are not told of."""


@dataclass(frozen=True, kw_only=True)
class Detector:
    """What finds objects in an image of any size that its grid allows, or of one size."""

    name: str
    onnx: bytes
    """Takes `input`, float32 (1, 3, H, W); gives `boxes` (1, K, 4), `scores` (1, K), `labels` (1, K)."""
    input: str
    """The name of what it takes."""
    classes: tuple[str, ...]
    pixels: PixelScale
    multiple: int
    """Sides of an image are multiples of this many pixels."""
    size: tuple[int, int] | None
    """Width and height where the model takes one size only."""

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the graph."""
        return hashlib.sha256(self.onnx).hexdigest()

    def shape(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of what the model sees of an image: its one size, or the next multiples."""
        if self.size is not None:
            return self.size
        grid = self.multiple
        return -(-width // grid) * grid, -(-height // grid) * grid

    def sent(self, image: Frame) -> tuple[Frame, float]:
        """What travels of an image to where the model is, (height, width, 3), and image pixels for each of its.

        A model of one size is sent the image scaled to fit, black where nothing of it is; others the image itself.
        """
        if self.size is None:
            return image, 1.0
        height, width = image.shape[:2]
        scale = max(width / self.size[0], height / self.size[1])
        return _with_room(
            resized(image, max(1, round(width / scale)), max(1, round(height / scale))), *self.size
        ), scale

    def prepared(self, image: Frame) -> tuple[NDArray[np.float32], float]:
        """What the model takes of an image, (1, 3, H, W), and image pixels for each of the model's.

        A model of one size sees the image scaled to fit; what is left is black.
        """
        image, scale = self.sent(image)
        return from_pixels(_with_room(image, *self.shape(image.shape[1], image.shape[0])), self.pixels), scale

    def found(self, outputs: Mapping[str, Array], *, scale: float = 1.0) -> Detections:
        """The objects in what the model gave, duplicates suppressed, in the image's pixels."""
        boxes, scores, labels = (np.asarray(outputs[name])[0] for name in ("boxes", "scores", "labels"))
        kept = np.isfinite(boxes).all(axis=1) & (scores >= LEAST_SCORE)
        kept &= (labels >= 0) & (labels < len(self.classes))
        found = Detections(
            boxes=boxes[kept].astype(np.float64) * scale,
            scores=np.clip(scores[kept].astype(np.float64), 0, 1),
            labels=labels[kept].astype(np.int64),
        )
        return found.chosen(suppressed(found))

    def detect(self, session: Session, image: Frame) -> Detections:
        """What a loaded model finds in an image."""
        feed, scale = self.prepared(image)
        return self.found(session.run({self.input: feed}), scale=scale)


def _with_room(image: Frame, width: int, height: int) -> Frame:
    """An image of this size with another one in its corner, black besides."""
    if image.shape[:2] == (height, width):
        return image
    room = np.zeros((height, width, 3), np.uint8)
    room[: image.shape[0], : image.shape[1]] = image
    return room


def resized(image: Frame, width: int, height: int) -> Frame:
    """An image made smaller or larger: areas are averaged, or bilinear."""
    from PIL import Image

    if image.shape[:2] == (height, width):
        return image
    smaller = width * height < image.shape[0] * image.shape[1]
    how = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize((width, height), how))
