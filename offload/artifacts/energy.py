"""Energy readings of a model on one machine, raw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from offload.artifacts.base import Positive


@dataclass(frozen=True, kw_only=True)
class EnergyWindow:
    """One stretch of time between two readings of a meter."""

    runs: int
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
    """With the model loaded and nothing running."""
    whole: tuple[EnergyWindow, ...]
    """The whole model, run after run."""
    groups: tuple[GroupEnergy, ...]
    """The kernel groups that were measured by themselves: some of each kind, those with the most time first."""
