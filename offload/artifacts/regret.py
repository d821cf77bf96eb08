"""How much better the best option was than the chosen one, as far as measuring can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.estimate import CONFIDENCE, Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """What requests of one option took, in seconds or joules, and the round each was made in."""

    costs: Sequence[float]
    """Above 0."""
    rounds: Sequence[int]
    """As many as costs; requests of a round were made close together, whatever the option."""


@dataclass(frozen=True, kw_only=True)
class Regret:
    """Median cost of the chosen option over that of the best measured one, less 1; never below 0."""

    fraction: Estimate
    """With the 95 % interval over all comparisons together."""
    best: str
    """The option with the smallest median; the chosen one itself when nothing was better."""
    over: tuple[str, ...]
    """The options that the chosen one was compared with."""

    @property
    def established(self) -> bool:
        """Whether some option is better beyond what chance explains: the interval excludes 0."""
        return self.fraction.low > 0


def regret(chosen: Sampled, others: Mapping[str, Sampled], *, chosen_name: str = "chosen") -> Regret:
    """The regret of a choice among measured options.

    Each other option gives the ratio of the medians, chosen / other - 1, with a percentile bootstrap of whole rounds
    (Efron 1979): rounds that hold both options are drawn with both, so that what slows a round slows both and
    cancels. The intervals are simultaneous (Bonferroni), so the largest of their low ends and the largest of their
    high ends bound the largest ratio, which is the regret; the chosen option compared with itself is exactly 0.

    Raises:
        ValueError: an option without samples.
    """
    import numpy as np

    middle = float(np.median(_values(chosen)))
    medians = {name: float(np.median(_values(other))) for name, other in others.items()}
    best = min(medians, key=lambda name: medians[name], default=chosen_name)
    value = max(0.0, middle / medians[best] - 1) if medians else 0.0
    low = high = 0.0
    for other in others.values():
        below, above = np.percentile(_ratios(chosen, other), _tails(len(others)))
        low, high = max(low, float(below) - 1), max(high, float(above) - 1)
    return Regret(
        fraction=Estimate(value=value, low=min(low, value), high=max(high, value)),
        best=best if value else chosen_name,
        over=tuple(others),
    )


def ratio_of_medians(one: Sampled, other: Sampled) -> Estimate:
    """Median of one over the median of the other, with its 95 % interval; see `regret` for how it is made."""
    import numpy as np

    value = float(np.median(_values(one)) / np.median(_values(other)))
    low, high = np.percentile(_ratios(one, other), _tails(1))
    return Estimate(value=value, low=min(float(low), value), high=max(float(high), value))


def _tails(comparisons: int) -> tuple[float, float]:
    tail = 100 * (1 - CONFIDENCE) / 2 / comparisons
    return tail, 100 - tail


def _values(sampled: Sampled) -> NDArray[np.float64]:
    import numpy as np

    if not len(sampled.costs):
        raise ValueError("an option without samples has no median")
    return np.asarray(sampled.costs, dtype=np.float64)


def _ratios(one: Sampled, other: Sampled) -> NDArray[np.float64]:
    """Ratios of the medians in resamples of whole rounds; rounds with both, with one and with the other are strata."""
    import numpy as np

    generator = np.random.default_rng(0)
    rounds = sorted(set(one.rounds) | set(other.rounds))
    held = np.isin(rounds, one.rounds) + 2 * np.isin(rounds, other.rounds)
    strata = [np.flatnonzero(held == kind) for kind in (1, 2, 3)]
    sides = [_sorted(sampled, rounds) for sampled in (one, other)]
    ratios = np.empty(_RESAMPLES)
    times_drawn = np.empty(len(rounds), dtype=np.int64)
    for number in range(_RESAMPLES):
        for stratum in strata:
            drawn = generator.integers(0, len(stratum), len(stratum)) if len(stratum) else stratum
            times_drawn[stratum] = np.bincount(drawn, minlength=len(stratum))
        above, below = (_weighted_median(values, times_drawn[places]) for values, places in sides)
        ratios[number] = above / below
    return ratios


def _sorted(sampled: Sampled, rounds: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The values in order, and where in `rounds` the round of each stands."""
    import numpy as np

    values = _values(sampled)
    order = np.argsort(values)
    return values[order], np.searchsorted(rounds, np.asarray(sampled.rounds)[order])


def _weighted_median(values: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """The median of sorted values that each occur `counts` times."""
    reached = counts.cumsum()
    total = int(reached[-1])
    low, high = reached.searchsorted([(total - 1) // 2, total // 2], side="right")
    return float(values[low] + values[high]) / 2
