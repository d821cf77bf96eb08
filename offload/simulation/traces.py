"""A value that changes in steps and repeats, such as a link's rate; how long an amount takes to pass at that rate."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """A value over time: each of `values` from its start to the next one's, all of it again after each period.

    Times are seconds since the trace began. The value may be 0 for a while, but not all the time.
    """

    starts_s: tuple[float, ...]
    """Rising, the first 0."""
    values: tuple[float, ...]
    """Not negative."""
    period_s: float
    """After the last start."""

    def __post_init__(self) -> None:
        """Refuse steps that are out of order, and a trace under which nothing would ever pass."""
        edges = (*self.starts_s, self.period_s)
        if not self.values or len(self.values) != len(self.starts_s) or edges[0] != 0:
            raise ValueError("a trace needs a value at 0 and as many values as starts")
        if any(one >= other for one, other in itertools.pairwise(edges)):
            raise ValueError("the times do not rise")
        if min(self.values) < 0 or max(self.values) <= 0:
            raise ValueError("the values are negative, or all 0")

    @classmethod
    def constant(cls, value: float) -> Trace:
        """One value at all times."""
        return cls(starts_s=(0.0,), values=(value,), period_s=1.0)

    def mapped(self, function: Callable[[float], float]) -> Trace:
        """The trace of a function of the value."""
        return Trace(starts_s=self.starts_s, values=tuple(map(function, self.values)), period_s=self.period_s)

    def at(self, times_s: ArrayLike) -> Array:
        """The value at each time, float64 of the same shape."""
        import numpy as np

        within = np.remainder(np.asarray(times_s, dtype=np.float64), self.period_s)
        values: Array = np.asarray(self.values)[np.searchsorted(self._edges, within, side="right") - 1]
        return values

    def between(self, starts_s: ArrayLike, ends_s: ArrayLike) -> Array:
        """The integral of the value over each span: bits, of a rate in bits per second."""
        return self._until(ends_s) - self._until(starts_s)

    def finish(self, starts_s: ArrayLike, amount: float) -> Array:
        """When `amount` has passed that began to at each start: the value's integral since then reaches it."""
        import numpy as np

        starts = np.asarray(starts_s, dtype=np.float64)
        if amount <= 0:
            return starts.copy()
        # from the start of the period that each began in, so that a long trace does not cost digits
        periods = np.floor(starts / self.period_s)
        target = self._within(starts - periods * self.period_s) + amount
        whole = self._passed[-1]
        more = np.maximum(0.0, np.ceil(target / whole) - 1)
        left = target - more * whole
        step = np.clip(np.searchsorted(self._passed, left, side="left"), 1, len(self.values))
        inside = self._edges[step - 1] + (left - self._passed[step - 1]) / np.asarray(self.values)[step - 1]
        ends: Array = np.maximum(starts, (periods + more) * self.period_s + inside)
        return ends

    @cached_property
    def _edges(self) -> Array:
        import numpy as np

        return np.array([*self.starts_s, self.period_s])

    @cached_property
    def _passed(self) -> Array:
        """The integral from 0 to each edge."""
        import numpy as np

        return np.concatenate([[0.0], np.cumsum(np.diff(self._edges) * np.asarray(self.values))])

    def _within(self, times: Array) -> Array:
        """The integral from 0 to times within the first period."""
        import numpy as np

        return np.interp(times, self._edges, self._passed)

    def _until(self, times_s: ArrayLike) -> Array:
        import numpy as np

        times = np.asarray(times_s, dtype=np.float64)
        periods = np.floor(times / self.period_s)
        until: Array = periods * self._passed[-1] + self._within(times - periods * self.period_s)
        return until
