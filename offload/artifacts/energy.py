"""Energy readings of a model on one machine, raw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from offload.artifacts.base import Amount, Positive
from offload.artifacts.estimate import Estimate, add, median_estimate


@dataclass(frozen=True, kw_only=True)
class EnergyWindow:
    """One stretch of time between two readings of a meter."""

    runs: Amount
    """How often the measured thing ran in it; 0 while idle."""
    seconds: Positive
    gross_j: Positive
    """What the meter's reading grew by, everything the machine draws included."""
    integrated_j: Positive | None = None
    """The same by another way, power readings integrated, where the meter has both."""

    @property
    def power_w(self) -> float:
        """Mean power, in watts."""
        return self.gross_j / self.seconds


@dataclass(frozen=True, kw_only=True)
class GroupEnergy:
    """The readings of one kernel group, repeated by itself."""

    group: int
    """Index into the profile's groups."""
    windows: tuple[EnergyWindow, ...]


@dataclass(frozen=True, kw_only=True)
class ProfileEnergy:
    """What a meter read while nothing, the whole model, and some of its kernel groups ran."""

    source: Literal["counter", "integrated"]
    sensor: str
    """Which sensor, in words."""
    sensor_period_s: Positive
    """How often the sensor's figure changes, as measured; every window is long against it."""
    idle: tuple[EnergyWindow, ...]
    """With the model loaded and nothing running, soon after it ran: as while a request waits for its answer."""
    whole: tuple[EnergyWindow, ...]
    """The whole model, run after run."""
    groups: tuple[GroupEnergy, ...]
    """The kernel groups that were measured by themselves: some of each kind, those with the most time first."""

    def __post_init__(self) -> None:
        """Refuse what no summary can be made of."""
        busy = (self.whole, *(measured.windows for measured in self.groups))
        if not self.idle or not all(busy):
            raise ValueError("it holds energy without readings")
        if any(window.runs < 1 for windows in busy for window in windows):
            raise ValueError("it holds energy of nothing that ran")
        if len({measured.group for measured in self.groups}) != len(self.groups):
            raise ValueError("it holds the energy of one group twice")

    @cached_property
    def whole_j(self) -> Estimate:
        """Gross joules of one run of the whole model, one after the other."""
        return self._widened(median_estimate([window.gross_j / window.runs for window in self.whole]), self.whole)

    @cached_property
    def whole_power_w(self) -> Estimate:
        """Mean power while the whole model runs, in watts."""
        return self._power(self.whole)

    @cached_property
    def idle_power_w(self) -> Estimate:
        """Mean power while nothing runs, in watts."""
        return self._power(self.idle)

    @cached_property
    def above_idle_j(self) -> Estimate:
        """Joules of one run of the whole above what the machine draws anyway."""
        seconds = sum(window.seconds for window in self.whole) / sum(window.runs for window in self.whole)
        gross, idle = self.whole_j, self.idle_power_w.scaled(seconds)
        return add([gross, Estimate(value=-idle.value, low=-idle.high, high=-idle.low)])

    @property
    def cross_check(self) -> float | None:
        """How far the integrated power is from the counter while the whole runs, a fraction; None with one sensor."""
        pairs = [(window.integrated_j, window.gross_j) for window in self.whole if window.integrated_j is not None]
        return sum(pair[0] for pair in pairs) / sum(pair[1] for pair in pairs) - 1 if pairs else None

    def power_of(self, measured: GroupEnergy) -> Estimate:
        """Mean power while a group runs by itself, in watts."""
        return self._power(measured.windows)

    def _power(self, windows: Sequence[EnergyWindow]) -> Estimate:
        return self._widened(median_estimate([window.power_w for window in windows]), windows)

    def _widened(self, estimate: Estimate, windows: Sequence[EnergyWindow]) -> Estimate:
        """The estimate with what the sensor may be late: a period at either end of a window."""
        late = estimate.value * max(self.sensor_period_s / window.seconds for window in windows)
        below = ((estimate.value - estimate.low) ** 2 + late**2) ** 0.5
        above = ((estimate.high - estimate.value) ** 2 + late**2) ** 0.5
        return Estimate(value=estimate.value, low=max(0.0, estimate.value - below), high=estimate.value + above)
