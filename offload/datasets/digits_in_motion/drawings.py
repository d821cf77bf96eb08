"""A handwritten digit at the size at which it is pasted: its ink, and a halo that tells it from any background."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from offload.datasets.digit_sources import SIDE, glyphs

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from offload.datasets.base import Split

_RIM = 6
"""Of a drawing's 64 pixels, on each side: room for the halo."""
_REACH = 4
"""How far the halo goes, likewise."""
_INK = 96
"""Opacity from which a pixel counts as the digit's."""
_COVERING = 128
"""Opacity of a halo from which nothing behind it counts as seen."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawing:
    """One glyph, square."""

    opacity: Image
    """Of the strokes, 0 to 255."""
    halo: Image
    """Of what is around and under them, likewise."""
    ink: NDArray[np.bool_]
    """Which pixels are the digit's, shape (side, side)."""
    covering: NDArray[np.bool_]
    """Which pixels hide what is behind, likewise; all of the ink is among them."""
    box: tuple[int, int, int, int]
    """Left, top, right and bottom of the ink, the last two exclusive."""


@lru_cache(maxsize=256)
def drawing(split: Split, which: int, size: int) -> Drawing:
    """A split's glyph, its 64 pixels scaled to `size`; the drawing is wider by the halo's room."""
    from PIL import Image

    side = round(size * (SIDE + 2 * _RIM) / SIDE)
    opacity, halo = (
        Image.fromarray(map_).resize((side, side), Image.Resampling.BILINEAR) for map_ in _maps(split, which)
    )
    ink = np.asarray(opacity) >= _INK
    columns, rows = (np.flatnonzero(ink.any(axis=axis)) for axis in (0, 1))
    return Drawing(
        opacity=opacity,
        halo=halo,
        ink=ink,
        covering=ink | (np.asarray(halo) >= _COVERING),
        box=(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1),
    )


@cache
def _maps(split: Split, which: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Opacity of a glyph and of its halo, (76, 76)."""
    from scipy.ndimage import maximum_filter, uniform_filter

    glyph = np.pad(glyphs(split)[0][which], _RIM)
    return glyph, uniform_filter(maximum_filter(glyph, 2 * _REACH + 1), 3)
