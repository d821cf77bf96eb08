"""`digits-in-clutter`: a handwritten digit on clutter, 64x64 pixels in colour; the answer is the digit.

Composed on demand from what scikit-learn ships: 8x8 glyphs of the UCI optical digits (`load_digits`), and its two
sample photographs, divided among the splits before anything is composed. An image depends on its split and index only,
in integers throughout: the same bits on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from offload.datasets.base import PixelScale, Split, Task
from offload.datasets.digit_sources import SIDE, glyphs, photographs
from offload.datasets.draws import Keys, between, draws
from offload.datasets.examples import Images, check_image_input, check_task
from offload.graph.model_graph import Tensor

Pixels = NDArray[np.uint8]

NAME = "digits-in-clutter"
CLASSES = 10
SIZES: dict[Split, int] = {"train": 12_000, "validation": 1_000, "test": 2_000}
_KEYS: dict[Split, int] = {"train": 1, "validation": 2, "test": 3}
_DISTRACTORS = 5
_FIRST_LAYER, _PER_LAYER = 16, 8
"""Draws for the whole image, and for each thing on it."""
_DIGIT = _FIRST_LAYER + _DISTRACTORS * _PER_LAYER
"""Where the digit's own begin."""
_BATCH = 32
"""Images composed at once: what they take in between fits a processor's cache."""


@dataclass(frozen=True, kw_only=True)
class _Sources:
    """What the images of one split are made of."""

    glyphs: Pixels
    """Opacity of each enlarged glyph; shape (glyphs, 66, 66)."""
    digits: NDArray[np.int64]
    fragments: Pixels
    """Opacity of their quarters, and of a bar, which is last; shape (4 · glyphs + 1, 34, 34)."""
    photographs: Pixels
    """Shape (2, 427, columns, 3)."""


def load(tensor: Tensor, split: Split, task: Task | None, scale: PixelScale) -> Images:
    """One split, for a model whose input is `tensor`; other sizes than 64x64 are resized to.

    Raises:
        OffloadError: the model takes no images, or the task is another than classification.
    """
    check_image_input(tensor, scale, name=NAME)
    composed = _Composed(split)
    return Images(
        name=NAME,
        task=check_task(task, "classification", name=NAME),
        pixels=scale,
        tensor=tensor,
        answers=[int(digit) for digit in answers(split, np.arange(SIZES[split]))],
        read=composed.read,
    )


def compose(split: Split, indices: NDArray[np.int64]) -> tuple[Pixels, NDArray[np.int64]]:
    """The images with these indices, shape (indices, 64, 64, 3), and their digits. Any index from 0 makes an image."""
    images = np.empty((len(indices), SIDE, SIDE, 3), np.uint8)
    for start in range(0, len(indices), _BATCH):
        part = slice(start, start + _BATCH)
        images[part] = _composed(split, indices[part])
    return images, answers(split, indices)


def answers(split: Split, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """The digits on the images with these indices."""
    sources = _sources(split)
    return sources.digits[_glyph(sources, _drawn(split, indices)[:, _DIGIT:])]


class _Composed:
    """The images of one split, each composed when it is first read."""

    def __init__(self, split: Split) -> None:
        self._split = split
        self._images = np.zeros((SIZES[split], SIDE, SIDE, 3), np.uint8)
        self._there = np.zeros(SIZES[split], np.bool_)

    def read(self, indices: Sequence[int]) -> list[Pixels]:
        asked = np.asarray(indices, np.int64)
        missing = np.unique(asked[~self._there[asked]])
        self._images[missing] = compose(self._split, missing)[0]
        self._there[missing] = True
        return list(self._images[asked])


@cache
def _sources(split: Split) -> _Sources:
    whole, digits = glyphs(split)
    quarters = [whole[:, y : y + 32, x : x + 32] for y in (0, 32) for x in (0, 32)]
    bar = np.zeros((1, 32, 32), np.uint8)
    bar[:, 13:19] = 255
    return _Sources(
        glyphs=_bordered(whole),
        digits=digits,
        fragments=_bordered(np.concatenate([*quarters, bar])),
        photographs=photographs(split),
    )


def _bordered(maps: Pixels) -> Pixels:
    """With nothing around, which is what is seen past the edge."""
    return np.pad(maps, ((0, 0), (1, 1), (1, 1)))


def _drawn(split: Split, indices: NDArray[np.int64]) -> Keys:
    """Everything that chance decides about each image, but its noise."""
    return draws(_keys(split, indices), _DIGIT + _PER_LAYER)


def _keys(split: Split, indices: NDArray[np.int64]) -> Keys:
    return np.asarray(indices, np.uint64) + np.uint64(_KEYS[split] << 48)


def _glyph(sources: _Sources, place: Keys) -> NDArray[np.int32]:
    return between(place[:, 0], 0, len(sources.digits))


def _composed(split: Split, indices: NDArray[np.int64]) -> Pixels:
    sources, drawn = _sources(split), _drawn(split, indices)
    bright = (between(drawn[:, 0], 0, 2) == 1)[:, None]
    canvas = _photographs(sources, drawn[:, 1:8])
    # The photograph keeps to one end of the range and the digit's colour to the other, so that the digit is never
    # lost in it; distractors have any colour.
    canvas = canvas * 5 // 8 + np.where(bright, 0, 96)[:, :, None, None].astype(np.int16)
    for layer in range(_DISTRACTORS):
        place = drawn[:, _FIRST_LAYER + _PER_LAYER * layer :]
        which = between(place[:, 0], 0, len(sources.fragments) * 3 // 2)
        which = np.minimum(which, len(sources.fragments) - 1)  # a third are bars
        room = np.full_like(which, SIDE // 2 - 4)
        _blend(canvas, _placed(sources.fragments, which, place, turned=180, room=room), _colours(place, 0, 256))
    place = drawn[:, _DIGIT:]
    which = _glyph(sources, place)
    colours = _colours(place, 0, 112) + np.where(bright, 144, 0)
    room = (SIDE - _size(place)) // 2
    _blend(canvas, _placed(sources.glyphs, which, place, turned=25, room=room), colours)
    _add_noise(canvas, _keys(split, indices), between(drawn[:, 8], 8, 40))
    return np.clip(canvas, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def _colours(drawn: Keys, low: int, high: int) -> NDArray[np.int32]:
    return np.stack([between(drawn[:, 5 + channel], low, high) for channel in range(3)], axis=1)


def _photographs(sources: _Sources, drawn: Keys) -> NDArray[np.int16]:
    """A piece of a photograph for each image, enlarged up to twice or shrunk by a third; (images, 3, 64, 64)."""
    _, height, width, _ = sources.photographs.shape
    step = between(drawn[:, 0], 128, 384)  # in 1/256 pixel
    span = (step * (SIDE - 1) >> 8) + 1
    top = (between(drawn[:, 1], 0, 1 << 16) * (height - span + 1)) >> 16
    left = (between(drawn[:, 2], 0, 1 << 16) * (width - span + 1)) >> 16
    steps = np.arange(SIDE, dtype=np.int32)[None] * step[:, None] >> 8
    across = np.where((between(drawn[:, 3], 0, 2) == 1)[:, None], steps, steps[:, ::-1])
    photograph = between(drawn[:, 4], 0, 2)
    rows, columns = (top[:, None] + steps)[:, :, None], (left[:, None] + across)[:, None]
    pieces = sources.photographs[photograph[:, None, None], rows, columns]
    return np.asarray(pieces.transpose(0, 3, 1, 2), np.int16)


def _placed(
    maps: Pixels, which: NDArray[np.int32], drawn: Keys, *, turned: int, room: NDArray[np.int32]
) -> NDArray[np.int16]:
    """Opacity, 0 to 256, of each image's shape, at most `room` pixels from the middle; shape (images, 64, 64).

    Args:
        maps: Opacity of all shapes; shape (shapes, side, side), nothing along the border.
        which: The shape for each image.
        drawn: Draws for each image.
        turned: By how many degrees at most, either way.
        room: For each image.
    """
    side = maps.shape[1]
    x, y = ((between(drawn[:, 2 + axis], 0, 1 << 16) * (2 * room + 1) >> 16) - room + SIDE // 2 for axis in range(2))
    turn = between(drawn[:, 4], -turned, turned + 1)
    scale = (64 << 8) // _size(drawn)
    along, over = scale * _COSINES[turn % 360] >> 8, scale * _COSINES[(turn - 90) % 360] >> 8
    grid = np.arange(SIDE, dtype=np.int32)[None]
    dx, dy = grid - x[:, None], grid - y[:, None]
    centre = np.int32(side << 15)  # places on the map are in 1/65536 of a sample
    u = ((along[:, None] * dx + centre)[:, None, :] + (over[:, None] * dy)[:, :, None]) >> 16
    v = ((-over[:, None] * dx + centre)[:, None, :] + (along[:, None] * dy)[:, :, None]) >> 16
    np.clip(u, 0, side - 1, out=u)
    np.clip(v, 0, side - 1, out=v)
    v *= side
    v += u
    v += (which * side**2)[:, None, None]
    opacity = np.asarray(maps.reshape(-1)[v], np.int16)
    opacity += opacity >> 7
    return opacity


def _size(drawn: Keys) -> NDArray[np.int32]:
    """Pixels that a whole glyph is enlarged to."""
    return between(drawn[:, 1], 24, 48)


def _blend(canvas: NDArray[np.int16], opacity: NDArray[np.int16], colour: NDArray[np.int32]) -> None:
    for channel in range(3):
        plane = canvas[:, channel]
        difference = colour[:, channel].astype(np.int16)[:, None, None] - plane
        plane += ((difference >> 1) * opacity) >> 7


def _add_noise(canvas: NDArray[np.int16], keys: Keys, amplitude: NDArray[np.int32]) -> None:
    """Adds to each value a number from -amplitude to amplitude, small ones more often."""
    words = canvas[0].size // 8
    noise = draws(keys ^ np.uint64(1 << 60), 2 * words).astype("<u8").view(np.uint8).reshape(len(keys), 2, -1)
    triangular = noise[:, 0].astype(np.int16) - noise[:, 1]
    triangular = (triangular >> 1) * amplitude[:, None].astype(np.int16) >> 7
    canvas += triangular.reshape(canvas.shape)


_COSINES = np.round(np.cos(np.deg2rad(np.arange(360))) * 65536).astype(np.int32)
"""Of whole degrees, in 1/65536."""
