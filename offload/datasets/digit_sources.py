"""What the made-up images and clips are made of: handwritten digits and two photographs that scikit-learn ships.

Both are divided among the splits before anything is composed: no test image holds a digit's drawing, or a piece of a
photograph, that a training image held.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from offload.datasets.draws import permuted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.datasets.base import Split

    Pixels = NDArray[np.uint8]

SIDE = 64
_GLYPHS: dict[Split, slice] = {"train": slice(0, 1200), "validation": slice(1200, 1440), "test": slice(1440, None)}
_COLUMNS: dict[Split, slice] = {"train": slice(0, 384), "validation": slice(384, 480), "test": slice(480, 640)}
"""Of both photographs, which are 427 by 640."""


@cache
def glyphs(split: Split) -> tuple[Pixels, NDArray[np.int64]]:
    """Handwritten digits of a split: opacity 0 to 255, shape (glyphs, 64, 64), and which digit each is."""
    from sklearn.datasets import load_digits

    data = load_digits()
    kept = permuted(len(data.target), key=0)[_GLYPHS[split]]
    return _enlarged(data.images[kept].astype(np.int32)), data.target[kept].astype(np.int64)


@cache
def photographs(split: Split) -> Pixels:
    """A split's columns of both photographs, shape (2, 427, columns, 3)."""
    from sklearn.datasets import load_sample_images

    both = np.stack([np.asarray(image) for image in load_sample_images().images])
    return np.ascontiguousarray(both[:, :, _COLUMNS[split]])


def _enlarged(drawings: NDArray[np.int32]) -> Pixels:
    """Bilinear, 8 samples a pixel, made steeper so that strokes have edges; values 0 to 16 become 0 to 255."""
    padded = np.pad(drawings, ((0, 0), (1, 1), (1, 1)))
    at = 2 * np.arange(SIDE) + 1 + 8  # in sixteenths of a pixel, from the centre of the first of the padded pixels
    low, part = at // 16, at % 16
    rows = padded[:, low] * (16 - part)[:, None] + padded[:, low + 1] * part[:, None]
    both = rows[:, :, low] * (16 - part) + rows[:, :, low + 1] * part
    return np.clip((both - 16 * 256 // 4) * 255 // (16 * 256 // 2), 0, 255).astype(np.uint8)
