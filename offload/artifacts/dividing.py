"""What dividing a model costs beyond its layers, from runs of it in two parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offload.artifacts.base import Positive
from offload.artifacts.estimate import CONFIDENCE, Estimate, median_estimate

_MOST_CALL = 0.9
"""Of the whole: layers take some of it."""
NOTHING = Estimate.exactly(0.0)


@dataclass(frozen=True, kw_only=True)
class DividedRuns:
    """A model run in two parts, and whole, one sample of each in every round."""

    device_layers: tuple[int, ...]
    """Indices of the first part's layers."""
    whole_s: tuple[Positive, ...]
    head_s: tuple[Positive, ...]
    """The first part alone."""
    tail_s: tuple[Positive, ...]
    """The rest alone."""


@dataclass(frozen=True, kw_only=True)
class DividingCosts:
    """What a part of a model takes beyond its layers, whose times sum to the whole's.

    Of a model that takes W seconds, a part whose layers take the share f of W takes f (W - call_s) + call_s, and
    head_s or tail_s more, depending on which part it is. The whole takes W.
    """

    call_s: float = 0.0
    """What every call takes whatever its layers are; the whole is one call, too."""
    head_s: Estimate = NOTHING
    """What handing over inner tensors adds."""
    tail_s: Estimate = NOTHING
    """What beginning in the middle adds: memory and instructions are cold, layouts are changed."""


def dividing_costs(runs: Sequence[DividedRuns], shares: Sequence[float], whole_s: float) -> DividingCosts:
    """The three costs by least squares over all runs, none of them negative.

    The intervals hold one more cut with CONFIDENCE (Student's t), and how far the rounds of each cut stray.

    Args:
        runs: The runs; none gives no costs.
        shares: The share of the whole's time that each run's first part has.
        whole_s: Seconds of the whole.
    """
    import numpy as np
    from scipy.optimize import nnls
    from scipy.special import stdtrit

    if not runs:
        return DividingCosts()
    rows, extra_s, stray_s = [], [], []
    for run, share in zip(runs, shares, strict=True):
        whole = np.asarray(run.whole_s)
        for part_s, its_share, row in (
            (run.head_s, share, (1 - share, 1.0, 0.0)),
            (run.tail_s, 1 - share, (share, 0.0, 1.0)),
        ):
            found = median_estimate((np.asarray(part_s) - its_share * whole).tolist())
            rows.append(row)
            extra_s.append(found.value)
            stray_s.append((found.high - found.low) / 2)
    solution, residual = nnls(np.array(rows), np.array(extra_s))
    call_s, head_s, tail_s = map(float, solution)
    freedom = len(rows) - int(np.count_nonzero(solution))
    spread_s = max(np.abs(extra_s))  # of which one cut tells nothing
    if freedom:
        spread_s = residual * ((1 + 1 / len(runs)) / freedom) ** 0.5 * stdtrit(freedom, (1 + CONFIDENCE) / 2)
    half_s = float(np.hypot(spread_s, np.median(stray_s)))
    return DividingCosts(
        call_s=min(call_s, _MOST_CALL * whole_s),
        head_s=Estimate(value=head_s, low=head_s - half_s, high=head_s + half_s),
        tail_s=Estimate(value=tail_s, low=tail_s - half_s, high=tail_s + half_s),
    )
