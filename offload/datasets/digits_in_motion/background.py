"""What does not move by itself: a mosaic of photographs, the posts on it, and the camera that looks at a part of it."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from offload.datasets.digit_sources import photographs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.datasets.base import Split

MARGIN = 160
"""Pixels of background around where the camera looks at first, over which it moves."""
_TILE = 128
"""Side of the pieces of photographs that the mosaic is laid with, at their native resolution."""
_POSTS = 3
_PAN = 0.8
"""Of the margin; the rest is for shaking."""
_SHAKE = 1.2
"""Pixels, standard deviation of what each frame adds."""


def mosaic(random: np.random.Generator, split: Split, width: int, height: int) -> NDArray[np.uint8]:
    """Pieces of the split's photographs, some mirrored; shape (height + 320, width + 320, 3)."""
    sources = _ways_round(split)
    side = min(_TILE, *sources.shape[1:3])
    rows, columns = (-(-(length + 2 * MARGIN) // side) for length in (height, width))
    laid = np.empty((rows * side, columns * side, 3), np.uint8)
    room = [len(sources), sources.shape[1] - side + 1, sources.shape[2] - side + 1]
    drawn = random.integers(0, room, (rows, columns, len(room)))
    for row in range(rows):
        for column in range(columns):
            which, y, x = (int(value) for value in drawn[row, column])
            piece = sources[which, y : y + side, x : x + side]
            laid[row * side : (row + 1) * side, column * side : (column + 1) * side] = piece
    return laid[: height + 2 * MARGIN, : width + 2 * MARGIN]


@cache
def _ways_round(split: Split) -> NDArray[np.uint8]:
    """A split's photographs as they are, upside down, mirrored, and both; shape (8, height, width, 3)."""
    upright = photographs(split)
    return np.concatenate([upright[:, ::down, ::across] for down in (1, -1) for across in (1, -1)])


def camera(random: np.random.Generator, frames: int, fps: float) -> NDArray[np.int64]:
    """Left and top of each frame on the background, shape (frames, 2): a slow pan, and a hand that shakes."""
    time_s = np.arange(frames) / fps
    pans = [np.sin(2 * math.pi * (time_s / random.uniform(8, 16) + random.uniform())) for _ in range(2)]
    shake = np.zeros((frames, 2))
    for frame in range(1, frames):
        shake[frame] = 0.8 * shake[frame - 1] + random.normal(0, _SHAKE, 2)
    places = MARGIN + _PAN * MARGIN * np.stack(pans, axis=1) + shake
    return np.clip(np.rint(places), 0, 2 * MARGIN).astype(np.int64)


def posts(random: np.random.Generator, width: int) -> list[tuple[int, int, int]]:
    """Upright bars that things pass behind: left and right on the background, and where their look is taken from."""
    found = []
    for _ in range(_POSTS):
        broad = int(random.integers(24, max(25, width // 24)))
        left = MARGIN + int(random.integers(0, max(1, width - broad)))
        found.append((left, left + broad, int(random.integers(0, width + 2 * MARGIN - broad))))
    return found
