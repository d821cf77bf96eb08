"""Which of some cuts is best along one parameter: a sweep from its lowest value to its highest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.policy import KEEPING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Line:
    """What cuts cost, the largest of their stages, and what of them is limited; all affine in the parameter."""

    constant: Array
    """Shape (stages, cuts)."""
    slope: Array
    """Likewise."""
    limited_constant: Array
    """Shape (limits, cuts)."""
    limited_slope: Array
    """Likewise; at least 0 but for rounding."""
    most: Array
    """Shape (limits,)."""


@dataclass(frozen=True)
class Piece:
    """A range of the parameter in which one cut is best."""

    start: float
    end: float
    choice: int


def sweep(line: Line, low: float, high: float) -> list[Piece]:
    """The pieces from one end to the other; none from where no cut keeps to the limits any more."""
    import numpy as np

    ends = _ends(line, low)
    at, found = low, list[Piece]()
    allowed = ends >= at
    while at < high and allowed.any():
        stages = line.constant + at * line.slope
        cost = stages.max(axis=0)
        least = float(cost[allowed].min())
        reached = stages >= cost - np.abs(cost) * _ROUNDING
        growth = np.where(reached, line.slope, -np.inf).max(axis=0)
        tied = allowed & (cost <= least + abs(least) * _ROUNDING)
        best = int(np.where(tied, growth, np.inf).argmin())
        active = int(np.where(reached[:, best], line.slope[:, best], -np.inf).argmax())
        constant, slope = line.constant[active, best], line.slope[active, best]
        enter, leave = _below(line, constant, slope)
        enter = np.maximum(enter, at)
        challengers = allowed & ~tied & (enter < np.minimum(leave, ends))
        kink = np.where(line.slope[:, best] > slope, _crossing(line, constant, slope)[:, best], np.inf)
        kink = kink[~reached[:, best]].min(initial=np.inf)
        until = min(high, float(ends[best]), float(kink), float(enter[challengers].min(initial=np.inf)))
        found.append(Piece(at, until, best))
        if until <= at:
            # The next is nearer than numbers can tell apart.
            until = float(np.nextafter(at, np.inf))
        at, allowed = until, ends > until
    return _joined(found)


def _ends(line: Line, low: float) -> Array:
    """Up to where each cut keeps to the limits; below the start where it never does; shape (cuts,)."""
    import numpy as np

    ends = np.full(line.constant.shape[1], np.inf)
    for constant, slope, most in zip(line.limited_constant, line.limited_slope, line.most * KEEPING, strict=True):
        kept = constant + low * slope <= most
        reach = np.divide(most - constant, slope, out=np.full(len(ends), np.inf), where=slope > 0)
        ends = np.minimum(ends, np.where(kept, np.maximum(reach, low), -np.inf))
    return ends


def _crossing(line: Line, constant: float, slope: float) -> Array:
    """Where each stage of each cut crosses a line; shape (stages, cuts), infinite for parallels."""
    import numpy as np

    steeper = line.slope - slope
    found = np.full(steeper.shape, np.inf)
    np.divide(constant - line.constant, steeper, out=found, where=steeper != 0)
    return found


def _below(line: Line, constant: float, slope: float) -> tuple[Array, Array]:
    """From where to where all stages of each cut are below a line; each of shape (cuts,)."""
    import numpy as np

    crossing, steeper = _crossing(line, constant, slope), line.slope - slope
    never = (steeper == 0) & (line.constant >= constant)
    enter = np.where(steeper < 0, crossing, np.where(never, np.inf, -np.inf)).max(axis=0)
    leave = np.where(steeper > 0, crossing, np.inf).min(axis=0)
    return enter, leave


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours with one cut made one, without those of no length."""
    found: list[Piece] = []
    for piece in pieces:
        if piece.start >= piece.end:
            continue
        if found and found[-1].choice == piece.choice:
            piece = Piece(found.pop().start, piece.end, piece.choice)
        found.append(piece)
    return found
