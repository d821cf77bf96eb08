"""What a frame's answer holds where nobody looked: objects where they are expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offload.video.boxes import centres, coverages, ious
from offload.video.detections import Detections
from offload.video.merging import SAME

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.video.boxes import Boxes

_SEEN = 0.5
"""Share of a box from which a region that was looked at has the last word on the object."""


def held(predicted: Boxes, looked_at: Boxes, before: Detections, found: Detections) -> Detections:
    """Objects that are expected outside the regions that were looked at, with the scores and labels that they had last.

    Args:
        predicted: Where objects are expected in the frame, pixels; none by a method that does not predict, and then
            they stay where they were.
        looked_at: Regions of the frame that were looked at in full resolution, (regions, 4).
        before: The answer of the frame before.
        found: What was found in this one: what the small frame shows is not held besides.
    """
    expected = predicted if len(predicted) else before.boxes
    seen = coverages(expected, looked_at).max(axis=1, initial=0.0) >= _SEEN
    unseen = expected[~seen & (ious(expected, found.boxes).max(axis=1, initial=0.0) <= SAME)]
    was, now = _nearest(before.boxes, unseen)
    return Detections(boxes=unseen[now], scores=before.scores[was], labels=before.labels[was])


def _nearest(before: Boxes, now: Boxes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of pairs whose centres are together the nearest, each box once, none farther than its own diagonal."""
    from scipy.optimize import linear_sum_assignment

    apart = np.linalg.norm(centres(before)[:, None] - centres(now)[None], axis=2)
    was, is_now = linear_sum_assignment(apart)
    reach = np.linalg.norm(now[:, 2:] - now[:, :2], axis=1)
    near = apart[was, is_now] <= reach[is_now]
    return was[near], is_now[near]
