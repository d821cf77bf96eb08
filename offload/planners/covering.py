"""Of many cuts, few among which the best is at every rate and load: where the least is no envelope of planes.

A cut's cost is the largest of its stages, and limits rule it out from some rate or load on. All of these only grow with
the seconds a bit takes and with the load, so that over a small box a cut is of no use when at its best corner it costs
more than another, which keeps to the limits all over the box, at its worst; or when another is no worse in anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.policy import KEEPING
from offload.planners.parametric import Box, Region

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

_SPLITS = ((4, 4), (4, 4), (2, 2))
"""Into how many parts a box is divided along the seconds a bit and along the load, again and again."""
_ROUNDING = 1e-12
_SMALLEST_GAP, _LARGEST_GAP = 1e-4, 1.0


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The four coefficients of what cuts cost and of what is limited."""

    region: Region
    stages: Array
    """Shape (stages, 4, cuts)."""
    limited: Array
    """Shape (limits, 4, cuts)."""
    most: Array
    """The most that the limited may be; shape (limits,)."""

    def of(self, cuts: NDArray[np.intp]) -> Figures:
        """Those of some of the cuts."""
        return Figures(
            region=self.region, stages=self.stages[:, :, cuts], limited=self.limited[:, :, cuts], most=self.most
        )

    @property
    def size(self) -> int:
        """How many cuts there are."""
        return int(self.stages.shape[2])

    def at(self, bit_s: float, load: float) -> tuple[Array, Mask]:
        """The stages at a point, shape (stages, cuts), and which cuts keep to the limits there, shape (cuts,)."""
        import numpy as np

        powers = np.array(self.region.powers(bit_s, load))
        kept = np.all(powers @ self.limited <= (self.most * KEEPING)[:, None], axis=0)
        return np.asarray(powers @ self.stages), np.asarray(kept)


def useful(figures: Figures, *, most: int) -> tuple[NDArray[np.intp], float]:
    """Cuts among which the best is at every point of the region, and by which fraction another may be better.

    Args:
        figures: The cuts; of equals the earlier is taken.
        most: How many to take: where more are best somewhere, those are left out that others come nearest to. No cut
            is left out that keeps to a limit better than those that are taken: then there are more.
    """
    import numpy as np

    found = np.zeros(figures.size, dtype=np.bool_)
    for box in figures.region.boxes:
        _mark(figures, box, np.arange(figures.size), found, depth=0)
    marked, gap = np.flatnonzero(found), 0.0
    cuts, every = marked, np.ones(marked.size, dtype=np.bool_)
    corners = [corner for box in figures.region.boxes for corner in box.corners]
    while cuts.size > most and gap < _LARGEST_GAP:
        gap = max(2 * gap, _SMALLEST_GAP)
        cuts = marked[_undominated(figures.of(marked), corners, every, gap)]
    return cuts, gap


def _mark(figures: Figures, box: Box, cuts: NDArray[np.intp], found: Mask, *, depth: int) -> None:
    """Mark, of some cuts, those that may be best somewhere in a box."""
    import numpy as np

    these = figures.of(cuts)
    low, able = these.at(box.fast_s, box.light)
    high, sure = these.at(box.slow_s, box.heavy)
    if sure.any():
        worst = np.where(sure, high.max(axis=0), np.inf)
        least = worst.min()
        best = int(worst.argmin())
        able &= low.max(axis=0) < least - abs(least) * _ROUNDING
        able[best] = True
    if depth == len(_SPLITS) or able.sum() < 2:
        found[cuts[_undominated(these, box.corners, able, 0.0)]] = True
        return
    left = cuts[able]
    if found[left].all():
        return
    along, across = _SPLITS[depth]
    seconds = np.geomspace(box.fast_s, box.slow_s, along + 1).tolist()
    loads = np.geomspace(box.light, box.heavy, across + 1).tolist()
    for fast_s, slow_s in itertools.pairwise(seconds):
        for light, heavy in itertools.pairwise(loads):
            part = Box(fast_s=fast_s, slow_s=slow_s, light=light, heavy=heavy)
            _mark(figures, part, left, found, depth=depth + 1)


def _undominated(
    figures: Figures, corners: Sequence[tuple[float, float]], waiting: Mask, gap: float
) -> NDArray[np.intp]:
    """Of the cuts waiting, those that no other is as good as, but for a gap, in every stage and limit at all corners.

    Between the corners, too, then: all is affine there.
    """
    import numpy as np

    cuts = np.flatnonzero(waiting)
    powers = np.array([figures.region.powers(*corner) for corner in corners])
    stages, limited = (
        (powers @ each[:, :, cuts]).reshape(len(each) * len(powers), cuts.size)
        for each in (figures.stages, figures.limited)
    )
    slack = np.r_[np.full(len(stages), 1 + max(gap, _ROUNDING)), np.full(len(limited), 1 + _ROUNDING)]
    rows = np.r_[stages, limited]
    left, kept = np.ones(cuts.size, dtype=np.bool_), []
    for cut in np.argsort(stages.sum(axis=0), kind="stable").tolist():
        if left[cut]:
            kept.append(cut)
            left &= (rows[:, [cut]] > rows * slack[:, None]).any(axis=0)
    return cuts[np.sort(np.array(kept, dtype=np.intp))]
