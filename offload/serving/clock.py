"""The server's clock over the length of a measurement: two clocks run apart, by tens of microseconds a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from offload.serving.timing import ClockOffset, InferResult, best_offset


@dataclass(frozen=True, kw_only=True)
class ServerClock:
    """The server's clock against ours, as a line over our time."""

    best: ClockOffset
    """From the fastest of all tiny calls."""
    best_at_ns: int
    drift: float
    """How fast the server's clock runs away from ours, seconds a second."""

    @classmethod
    def of(cls, rounds: Sequence[Sequence[InferResult]]) -> Self | None:
        """From tiny calls made in rounds, the fastest of each standing for it; None when the server told no times.

        The drift is the median of the slopes between all pairs of rounds (Theil-Sen).
        """
        import numpy as np

        fastest = [
            (best, min(calls, key=lambda call: call.network_s).started_ns)
            for calls in rounds
            if (best := best_offset(calls)) is not None
        ]
        if not fastest:
            return None
        at = np.array([at_ns for _, at_ns in fastest], dtype=np.float64)
        # as differences: nanoseconds of an arbitrary epoch are more than a float64 holds
        offset = np.array([best.offset_ns - fastest[0][0].offset_ns for best, _ in fastest], dtype=np.float64)
        first, second = np.triu_indices(at.size, k=1)
        slopes = (offset[second] - offset[first]) / (at[second] - at[first])
        best, best_at_ns = min(fastest, key=lambda pair: pair[0].uncertainty_ns)
        return cls(best=best, best_at_ns=best_at_ns, drift=float(np.median(slopes)) if slopes.size else 0.0)

    def at(self, our_ns: int) -> ClockOffset:
        """The offset at a moment of ours (`time.perf_counter_ns`)."""
        moved_ns = round(self.drift * (our_ns - self.best_at_ns))
        return ClockOffset(
            offset_ns=self.best.offset_ns + moved_ns,
            uncertainty_ns=self.best.uncertainty_ns,
        )
