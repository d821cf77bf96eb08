"""The two forms in which examples are held: images that become a model's input, and arrays that are one already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from offload.datasets.base import Labels, PixelScale, Task
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor

if TYPE_CHECKING:
    from offload.datasets.base import Array

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images of any size, resized to the model's input and scaled as `pixels` says."""

    name: str
    task: Task
    pixels: PixelScale
    tensor: Tensor
    """The model's input: (1, 1 or 3, height, width), floating point."""
    answers: Labels
    """One for each image."""
    read: Callable[[Sequence[int]], Sequence[Pixels]]
    """The images at these places; each of shape (height, width, channels)."""

    def __len__(self) -> int:
        """How many images."""
        return len(self.answers)

    def inputs(self, indices: Sequence[int]) -> Array:
        """Shape (images, channels, height, width), the model's dtype."""
        _, channels, height, width = self.tensor.shape
        images = np.empty((len(indices), height, width, channels), np.uint8)
        for place, image in enumerate(self.read(indices)):
            if image.shape[2] != channels:
                raise OffloadError(
                    f"{self.name}: image {indices[place]} has {image.shape[2]} channels, "
                    f"the model's input has {channels}",
                    hint="convert the images, or choose a model that takes them",
                )
            images[place] = image if image.shape[:2] == (height, width) else _resized(image, height, width)
        scaled = images.transpose(0, 3, 1, 2).astype(np.float32)
        scaled /= 255
        if any(self.pixels.mean):
            scaled -= np.array(self.pixels.mean, np.float32)[:, None, None]
        if set(self.pixels.std) != {1.0}:
            scaled /= np.array(self.pixels.std, np.float32)[:, None, None]
        return np.ascontiguousarray(scaled, dtype=self.tensor.dtype)

    def labels(self, indices: Sequence[int]) -> Labels:
        """One for each of these images."""
        return [self.answers[index] for index in indices]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Examples that have the shape and dtype of the model's input already."""

    name: str
    task: Task
    answers: Labels
    """One for each example."""
    values: Array
    """Shape (examples, ...)."""
    pixels: PixelScale | None = None

    def __len__(self) -> int:
        """How many examples."""
        return len(self.answers)

    def inputs(self, indices: Sequence[int]) -> Array:
        """Shape (examples, ...)."""
        return self.values[np.asarray(indices, np.int64)]

    def labels(self, indices: Sequence[int]) -> Labels:
        """One for each of these examples."""
        return [self.answers[index] for index in indices]


def check_image_input(tensor: Tensor, scale: PixelScale, *, name: str) -> None:
    """Refuse a model whose input is no image.

    Raises:
        OffloadError: it is not (1, 1 or 3, height, width), floating point, or has fewer channels than the scale.
    """
    shape = tensor.shape
    if len(shape) != 4 or shape[1] not in (1, 3) or not tensor.dtype.startswith("float"):
        raise OffloadError(
            f"{name} holds images, the model's input is {'×'.join(map(str, shape))} {tensor.dtype}",
            hint="choose a model whose input is 1×3×height×width floats, or give arrays of that shape (.npz)",
        )
    if max(len(scale.mean), len(scale.std)) > shape[1]:
        raise OffloadError(
            f"{name}: pixels are scaled for 3 channels, the model's input has {shape[1]}",
            hint="give one number for mean and one for std",
        )


def check_task(asked: Task | None, own: Task, *, name: str) -> Task:
    """The task of data whose answers are of one kind; any data serve detection, which compares with the intact model.

    Raises:
        OffloadError: another was asked for.
    """
    if asked not in (None, own, "detection"):
        raise OffloadError(f"{name} has answers for {own}, not for {asked}", hint=f"use --task {own}")
    return asked or own


def check_classes(labels: Iterable[object], *, name: str) -> None:
    """Refuse data to classify of which all are the same.

    Args:
        labels: Those of all splits.
        name: What the data are called.

    Raises:
        OffloadError: there are no two classes.
    """
    classes = set(labels)
    if len(classes) == 1:
        raise OffloadError(
            f"{name}: all examples are of one class ({classes.pop()})",
            hint="give examples of at least two classes, so that accuracy means something",
        )


def channelled(image: Array) -> Pixels:
    """An 8-bit image as (height, width, channels), from that, from (channels, height, width) or (height, width)."""
    if image.ndim == 2:
        return np.asarray(image[:, :, None], np.uint8)
    return np.asarray(image.transpose(1, 2, 0) if image.shape[0] in (1, 3) else image, np.uint8)


def decoded(file: object, channels: int, *, name: str) -> Pixels:
    """The image in a file, a path or an open one, as (height, width, channels).

    Raises:
        OffloadError: it is no image that Pillow can read.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:  # type: ignore[arg-type]
            converted = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise OffloadError(
            f"{name}: not an image, or a damaged one", hint="remove it, or save it as PNG or JPEG"
        ) from error
    return converted[:, :, None] if channels == 1 else converted


def _resized(image: Pixels, height: int, width: int) -> Pixels:
    from PIL import Image

    flat = image[:, :, 0] if image.shape[2] == 1 else image
    return np.asarray(Image.fromarray(flat).resize((width, height), Image.Resampling.BILINEAR)).reshape(
        height, width, image.shape[2]
    )
