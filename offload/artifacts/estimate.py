"""A number with its interval, and how one is made from raw samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pydantic import FiniteFloat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 400


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and the interval that holds it with CONFIDENCE; the unit is that of the field it stands in."""

    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat

    @classmethod
    def exactly(cls, value: float) -> Estimate:
        """A value that is defined, not measured."""
        return cls(value=value, low=value, high=value)

    @property
    def relative_half_width(self) -> float:
        """Half of the interval as a fraction of the value; 0 for a value of 0."""
        return (self.high - self.low) / 2 / self.value if self.value else 0.0

    def scaled(self, factor: float) -> Estimate:
        """The estimate times a non-negative factor."""
        return Estimate(value=self.value * factor, low=self.low * factor, high=self.high * factor)

    def less(self, amount: float) -> Estimate:
        """The estimate less a known amount; nowhere below zero."""
        return Estimate(
            value=max(0.0, self.value - amount), low=max(0.0, self.low - amount), high=max(0.0, self.high - amount)
        )

    def overlaps(self, other: Estimate) -> bool:
        """Whether the two intervals have a point in common: then they cannot be told apart."""
        return self.low <= other.high and other.low <= self.high


def add(estimates: Sequence[Estimate]) -> Estimate:
    """The sum of independent estimates: half widths add in quadrature, each side on its own."""
    value = sum(e.value for e in estimates)
    below = sum((e.value - e.low) ** 2 for e in estimates) ** 0.5
    above = sum((e.high - e.value) ** 2 for e in estimates) ** 0.5
    return Estimate(value=value, low=value - below, high=value + above)


def add_dependent(estimates: Sequence[Estimate]) -> Estimate:
    """The sum of estimates that stray together, as what follows from one uncertain time does: half widths add."""
    return Estimate(
        value=sum(e.value for e in estimates), low=sum(e.low for e in estimates), high=sum(e.high for e in estimates)
    )


def median_estimate(samples: Sequence[float]) -> Estimate:
    """The median of the samples with its percentile-bootstrap interval (Efron 1979), seeded so that it repeats.

    Raises:
        ValueError: no samples.
    """
    import numpy as np

    values = np.sort(np.asarray(samples, dtype=np.float64))
    if values.size == 0:
        raise ValueError("an estimate needs at least one sample")
    resampled = values[_resampled_middles(values.size)].mean(axis=1)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail])
    middle = float(np.median(values))
    return Estimate(value=middle, low=min(float(low), middle), high=max(float(high), middle))


@cache
def _resampled_middles(size: int) -> NDArray[np.intp]:
    """Ranks of the middle two of RESAMPLES resamples, int64 (RESAMPLES, 2): the same for all samples of one size."""
    import numpy as np

    ranks = np.sort(np.random.default_rng(0).integers(0, size, (RESAMPLES, size)), axis=1)
    return ranks[:, [(size - 1) // 2, size // 2]]
