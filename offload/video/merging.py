"""One answer from what several servers found in their regions, each object once.

A box that ends at a region's edge is probably a piece of an object that another region shows whole. It counts less
before duplicates are suppressed, as Frigate does; and as a piece overlaps the whole too little for suppression by
intersection over union, one that lies within a whole box of another region is dropped whatever its class, and within a
larger one that may be a piece, too, if that is of its class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from offload.video.boxes import areas, coverages, ious
from offload.video.detections import Detections

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.video.boxes import Boxes

SAME = 0.5
"""Intersection over union above which two boxes of a class are one object."""
_AT_EDGE = 2.0
"""Pixels before a region's edge from which on a box is cut by it."""
_CUT = 0.5
"""What the score of such a box is multiplied by when it is compared with others."""
_WITHIN = 0.8
"""Share of a cut box from which one of another region that has it shows the same object."""


def merged(parts: Sequence[tuple[Boxes, Detections]], *, width: float, height: float) -> Detections:
    """What is left of several answers when each object is kept once, with the scores its detector gave.

    Args:
        parts: Each region, shape (1, 4), with what was found in it, in the frame's pixels. The small frame's new
            finds are a part, too: their region is the frame.
        width: Of the frame, pixels.
        height: Likewise.
    """
    parts = [part for part in parts if len(part[1])]
    found = Detections.together([part for _, part in parts])
    if not parts:
        return found
    origin = np.concatenate([np.full(len(part), number) for number, (_, part) in enumerate(parts)])
    cut = np.concatenate([_cut(region, part.boxes, width, height) for region, part in parts])
    size = areas(found.boxes)
    shows_more = ~cut[None] | ((found.labels[:, None] == found.labels[None]) & (size[:, None] < size[None]))
    shows_more &= origin[:, None] != origin[None]
    kept = ~(cut & (shows_more & (coverages(found.boxes, found.boxes) >= _WITHIN)).any(axis=1))
    found, lowered = found.chosen(kept), np.where(cut, found.scores * _CUT, found.scores)[kept]
    return found.chosen(suppressed(Detections(boxes=found.boxes, scores=lowered, labels=found.labels)))


def suppressed(found: Detections, *, same: float = SAME) -> NDArray[np.int64]:
    """Indices of what non-maximum suppression within each class keeps, the highest score first."""
    order = np.argsort(-found.scores, kind="stable")
    alike = (ious(found.boxes, found.boxes) > same) & (found.labels[:, None] == found.labels[None])
    kept: list[int] = []
    gone = np.zeros(len(found), np.bool_)
    for index in order:
        if not gone[index]:
            kept.append(int(index))
            gone |= alike[index]
    return np.array(kept, np.int64)


def _cut(region: Boxes, boxes: Boxes, width: float, height: float) -> NDArray[np.bool_]:
    """Which boxes a region's edge ends; the frame's own edge cuts nothing that others show."""
    inner = region[0] != np.array([0.0, 0.0, width, height])
    reached = np.concatenate(
        [boxes[:, :2] <= region[0, :2] + _AT_EDGE, boxes[:, 2:] >= region[0, 2:] - _AT_EDGE], axis=1
    )
    ends: NDArray[np.bool_] = (reached & inner).any(axis=1)
    return ends
