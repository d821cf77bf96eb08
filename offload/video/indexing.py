"""Which box of a frame is which of the frame before (ELF's RP indexing): detectors answer in any order.

Zhang et al., MobiCom 2021: a box matches one of the frame before if its centre moved and its area changed by less than
a threshold, greedily, the smallest first, each once. Ours: of several that fit, the one whose centre moved least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offload.video.boxes import areas, centres

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.video.boxes import Boxes

MOST_MOVED = 0.02
"""Of the frame's sides, along either: the published threshold."""
MOST_GROWN = 0.2
"""Of the frame's area, likewise; so small objects are told apart by their places alone."""
NEW = -1


def indexed(before: Boxes, now: Boxes, *, width: float, height: float) -> NDArray[np.int64]:
    """For each box of now its index in before, each of those once; `NEW` for what was not there.

    Which box matches which does not depend on the order of either.

    Args:
        before: Boxes of the frame before, or where they were predicted; pixels.
        now: Boxes of this frame.
        width: Of the frame, pixels.
        height: Likewise.
    """
    found = np.full(len(now), NEW, np.int64)
    if not len(before) or not len(now):
        return found
    sorted_before = _smallest_first(before)
    candidates = before[sorted_before]
    shift = np.abs(centres(now)[:, None] - centres(candidates)[None]) / np.array([width, height])
    grown = np.abs(areas(now)[:, None] - areas(candidates)[None]) / (width * height)
    fits = (shift < MOST_MOVED).all(axis=2) & (grown < MOST_GROWN)
    away = np.where(fits, np.hypot(shift[..., 0], shift[..., 1]), np.inf)
    for index in _smallest_first(now):
        nearest = int(away[index].argmin())
        if np.isfinite(away[index, nearest]):
            found[index] = sorted_before[nearest]
            away[:, nearest] = np.inf
    return found


def _smallest_first(boxes: Boxes) -> NDArray[np.int64]:
    """Indices by area; among equals by place, so that the order in which boxes are given decides nothing."""
    return np.lexsort((*boxes.T, areas(boxes)))
