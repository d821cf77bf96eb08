"""Arithmetic on boxes: arrays (count, 4) of left, top, right and bottom in pixels, the last two exclusive.

All functions are pure; arrays are float64 and are not changed in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Boxes = NDArray[np.float64]
    """Shape (count, 4)."""

NO_BOXES = np.zeros((0, 4))


def as_boxes(rows: Iterable[Iterable[float]]) -> Boxes:
    """Rows of four numbers as an array, (0, 4) where there are none."""
    return np.array([tuple(row) for row in rows], np.float64).reshape(-1, 4)


def areas(boxes: Boxes) -> NDArray[np.float64]:
    """Square pixels of each box, shape (count,); 0 where a side is not positive."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    product: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return product


def centres(boxes: Boxes) -> NDArray[np.float64]:
    """The middle of each box, shape (count, 2)."""
    middle: NDArray[np.float64] = (boxes[:, :2] + boxes[:, 2:]) / 2
    return middle


def intersections(some: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Square pixels that each of some shares with each of others, shape (some, others)."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    sides = np.maximum(high - low, 0)
    product: NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    return product


def ious(some: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Intersection over union of each pair, shape (some, others); 0 for two boxes without area."""
    shared = intersections(some, others)
    union = areas(some)[:, None] + areas(others)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def coverages(inner: Boxes, outer: Boxes) -> NDArray[np.float64]:
    """Which share of each inner box lies in each outer one, shape (inner, outer)."""
    whole = np.broadcast_to(areas(inner)[:, None], (len(inner), len(outer)))
    shared = intersections(inner, outer)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def clipped(boxes: Boxes, width: float, height: float) -> Boxes:
    """What of each box lies in a frame."""
    most = np.array([width, height, width, height], np.float64)
    inside: Boxes = np.clip(boxes, 0, most)
    return inside


def moved(boxes: Boxes, right: float, down: float) -> Boxes:
    """All boxes by the same offset."""
    shifted: Boxes = boxes + np.array([right, down, right, down])
    return shifted


def hull(boxes: Boxes) -> Boxes:
    """The smallest box around all of them, shape (1, 4); (0, 4) where there is none."""
    if not len(boxes):
        return NO_BOXES
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])[None]


def rounded(boxes: Boxes) -> tuple[tuple[float, float, float, float], ...]:
    """Rows to a tenth of a pixel, for documents; what is left of or above the frame begins at its edge."""
    rows = np.maximum(boxes, 0).round(1).tolist()
    return tuple((left, top, right, bottom) for left, top, right, bottom in rows)
