"""RAPL: the energy that processor packages count themselves, as the kernel's powercap framework shows it.

Layout, from the kernel's Documentation/power/powercap/powercap.rst: each zone is a folder `intel-rapl:N` (AMD
processors included) with `name` (`package-0`, `package-0-die-1`, `psys`), `energy_uj`, a counter in microjoules, and
`max_energy_range_uj`, where it starts again from zero. Zones inside a package (`intel-rapl:N:M`: cores, memory
controller) are parts of it and would count twice; `psys` is the whole platform and contains the packages.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, Self

from offload.profilers.energy.base import Clock, CounterReader, NoMeterError
from offload.profilers.energy.sysfs import read_number, read_text

ROOT = Path("/sys/class/powercap")
_J_PER_UJ = 1e-6


class RaplMeter:
    """The packages' counters, summed."""

    name = "rapl"
    source: Literal["counter", "integrated"] = "counter"

    def __init__(self, root: Path = ROOT, *, clock: Clock = time.monotonic) -> None:
        """Find the packages.

        Raises:
            NoMeterError: there are none, or they may not be read.
        """
        zones = sorted(zone for zone in root.glob("intel-rapl:*") if zone.name.count(":") == 1)
        self._packages = [zone for zone in zones if _name(zone).startswith("package")]
        if not self._packages:
            raise NoMeterError(f"no RAPL package under {root}", hint="choose another --meter, or declare --power")
        for zone in self._packages:
            try:
                read_text(zone / "energy_uj")
            except PermissionError as error:
                raise NoMeterError(
                    f"{zone / 'energy_uj'} may be read by root only",
                    hint=f"sudo chmod a+r {root}/intel-rapl:*/energy_uj, or declare --power",
                ) from error
            except OSError as error:
                raise NoMeterError(
                    f"{zone / 'energy_uj'} cannot be read: {error.strerror}",
                    hint="choose another --meter, or declare --power",
                ) from error
        self._clock = clock
        self._counters: list[CounterReader] = []
        self.sensor = f"RAPL, {len(self._packages)} processor package{'' if len(self._packages) == 1 else 's'}"

    def reading(self) -> float:
        """See `Meter.reading`."""
        return sum(_joules(zone / "energy_uj") for zone in self._packages)

    def energy_j(self) -> float:
        """See `Meter.energy_j`."""
        return sum(counter.energy_j() for counter in self._counters)

    def integrated_j(self) -> None:
        """RAPL has no power sensor beside its counter."""

    def __enter__(self) -> Self:
        """See `Meter`."""
        self._counters = [self._counter(zone) for zone in self._packages]
        return self

    def __exit__(self, *unused: object) -> None:
        """See `Meter`."""

    def _counter(self, zone: Path) -> CounterReader:
        file = zone / "energy_uj"
        return CounterReader(
            lambda: _joules(file),
            sensor=f"the counter {file}",
            wraps_at_j=_joules(zone / "max_energy_range_uj"),
            clock=self._clock,
        )


def _name(zone: Path) -> str:
    try:
        return read_text(zone / "name")
    except OSError:
        return ""


def _joules(file: Path) -> float:
    return read_number(file) * _J_PER_UJ
