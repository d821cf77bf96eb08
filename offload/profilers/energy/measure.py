"""The procedure: what a meter reads while nothing, the whole model, and some of its kernel groups run.

Idle first, then passes. A pass holds one window of the whole and one of each chosen group, each thing repeated until
the window is long against the sensor's measured period; passes are repeated while the time lasts, so that a drift
(clocks, temperature) falls on all alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from offload.artifacts.energy import EnergyWindow, GroupEnergy, ProfileEnergy
from offload.profilers.energy.base import MOST_W, Clock, Meter, MeterLostError
from offload.progress import NullProgress, Progress

Repeat = Callable[[int], None]
"""Runs a thing so many times, one after the other, and returns when the last is done."""

_PERIODS = 20
"""A reading may be a period old at either end of a window; so it is within 5 % whatever the power did before."""
_SHORTEST_S = 0.5
"""Time for clocks and power to settle, whatever the sensor's period."""
_LOOKS = 20
"""The device is let go of at least so often in a window, to look at the clock."""
WARM_UP = 0.2
"""Of a window: what runs, or rests, before it, so that the power has settled."""
IDLE_WINDOWS = 3
_PASSES = 3
"""As many are wanted of everything, to see how it spreads."""
_CHANGES = 10
_POLL_S = 0.0002
_PATIENCE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Stopwatch:
    """The clock of a measurement; tests have one of their own."""

    now: Clock = time.perf_counter
    sleep: Callable[[float], None] = time.sleep


def sensor_period_s(meter: Meter, watch: Stopwatch | None = None) -> float:
    """How often the meter's figure changes: the median time between changes, in seconds, seen by polling.

    Raises:
        MeterLostError: it never changes, or cannot be read.
    """
    watch = watch or Stopwatch()
    started = watch.now()
    changes: list[float] = []
    last = meter.reading()
    while len(changes) <= _CHANGES:
        watch.sleep(_POLL_S)
        now, value = watch.now(), meter.reading()
        if value != last:
            last = value
            changes.append(now)
        elif now - started > _PATIENCE_S:
            break
    if len(changes) < 3:
        raise MeterLostError(
            f"{meter.sensor} changed {len(changes)} times in {_PATIENCE_S:g} s: it does not measure",
            hint="choose another --meter, or declare --power",
        )
    return statistics.median(after - before for before, after in pairwise(changes))


def window_s(period_s: float) -> float:
    """How long a window must be for a sensor of that period."""
    return max(_PERIODS * period_s, _SHORTEST_S)


def choose_groups(kinds: Sequence[str], times_s: Sequence[float], most: int) -> tuple[int, ...]:
    """Which groups to measure by themselves: a sample stratified by kind.

    The slowest of each kind first, kinds by their share of the time; then the slowest of what is left.

    Args:
        kinds: Kind of each group.
        times_s: Time of each group; groups without any are left out.
        most: As many at most.
    """
    by_time = sorted((n for n in range(len(kinds)) if times_s[n] > 0), key=lambda n: -times_s[n])
    share: dict[str, float] = {}
    for number in by_time:
        share[kinds[number]] = share.get(kinds[number], 0.0) + times_s[number]
    slowest: dict[str, int] = {}
    for number in by_time:
        slowest.setdefault(kinds[number], number)
    first = [slowest[kind] for kind in sorted(share, key=lambda kind: -share[kind])]
    return tuple([*first, *(number for number in by_time if number not in set(first))][:most])


def affordable_groups(budget_s: float, period_s: float, *, kinds: int) -> int:
    """How many groups may be measured in a time, beside idle and the whole.

    As many as leave time for every pass; where that is less than one a kind, as many of the kinds as one pass has
    time for.
    """
    windows = budget_s / (window_s(period_s) * (1 + WARM_UP)) - IDLE_WINDOWS
    return max(0, int(windows / _PASSES) - 1, min(kinds, int(windows) - 1))


def measure_energy(
    meter: Meter,
    whole: Repeat,
    groups: Mapping[int, Repeat],
    *,
    period_s: float,
    budget_s: float,
    progress: Progress | None = None,
    watch: Stopwatch | None = None,
) -> ProfileEnergy:
    """Read the meter while nothing, the whole model, and each group by itself run.

    Args:
        meter: What to read, entered.
        whole: Runs the model.
        groups: Run a group by itself, by its number.
        period_s: The sensor's measured period.
        budget_s: Begin no further pass when it would end later; the first one is measured in any case.
        progress: Told of windows done.
        watch: The clock.

    Raises:
        MeterLostError: the meter fails, stands still, or tells what cannot be true.
    """
    watch, progress = watch or Stopwatch(), progress or NullProgress()
    length_s = window_s(period_s)
    started = watch.now()
    progress.start("measuring energy", IDLE_WINDOWS + _PASSES * (1 + len(groups)))
    try:
        watch.sleep(WARM_UP * length_s)
        idle = [_step(progress, idle_window(meter, length_s, watch)) for _ in range(IDLE_WINDOWS)]
        wholes: list[EnergyWindow] = []
        apart: dict[int, list[EnergyWindow]] = {number: [] for number in groups}
        for _ in range(_PASSES):
            began = watch.now()
            wholes.append(_step(progress, busy_window(meter, whole, length_s, watch)))
            for number, repeat in groups.items():
                apart[number].append(_step(progress, busy_window(meter, repeat, length_s, watch)))
            now = watch.now()
            if now + (now - began) > started + budget_s:
                break
    finally:
        progress.finish()
    return ProfileEnergy(
        source=meter.source,
        sensor=meter.sensor,
        sensor_period_s=period_s,
        idle=tuple(idle),
        whole=tuple(wholes),
        groups=tuple(GroupEnergy(group=number, windows=tuple(windows)) for number, windows in apart.items()),
    )


def _step(progress: Progress, window: EnergyWindow) -> EnergyWindow:
    progress.advance()
    return window


def idle_window(meter: Meter, length_s: float, watch: Stopwatch) -> EnergyWindow:
    """One window in which nothing runs.

    Raises:
        MeterLostError: as for `measure_energy`.
    """
    before = _Readings.take(meter, watch)
    watch.sleep(length_s)
    return before.until(_Readings.take(meter, watch), runs=0, sensor=meter.sensor)


def busy_window(meter: Meter, repeat: Repeat, length_s: float, watch: Stopwatch) -> EnergyWindow:
    """One window, after warming up; a run that takes longer than a window makes its own length.

    Raises:
        MeterLostError: as for `measure_energy`.
    """
    started, runs, at_once = watch.now(), 0, 1
    while watch.now() - started < WARM_UP * length_s:
        repeat(at_once)
        runs += at_once
        at_once = max(1, int(length_s / _LOOKS * runs / max(watch.now() - started, 1e-9)))
    before, runs = _Readings.take(meter, watch), 0
    while watch.now() - before.now_s < length_s:
        repeat(at_once)
        runs += at_once
    return before.until(_Readings.take(meter, watch), runs=runs, sensor=meter.sensor)


@dataclass(frozen=True, kw_only=True)
class _Readings:
    """What clock and meter tell at one moment."""

    now_s: float
    energy_j: float
    integrated_j: float | None

    @classmethod
    def take(cls, meter: Meter, watch: Stopwatch) -> _Readings:
        return cls(now_s=watch.now(), energy_j=meter.energy_j(), integrated_j=meter.integrated_j())

    def until(self, later: _Readings, *, runs: int, sensor: str) -> EnergyWindow:
        seconds, gross_j = later.now_s - self.now_s, later.energy_j - self.energy_j
        if not gross_j > 0:
            raise MeterLostError(
                f"{sensor} stood still for {seconds:.3g} s", hint="choose another --meter, or declare --power"
            )
        if not gross_j <= MOST_W * seconds:
            raise MeterLostError(
                f"{sensor} tells {gross_j / seconds:.6g} W, which no machine draws",
                hint="the sensor is broken: declare --power instead",
            )
        integrated_j = None
        if self.integrated_j is not None and later.integrated_j is not None:
            integrated_j = (later.integrated_j - self.integrated_j) or None
        return EnergyWindow(runs=runs, seconds=seconds, gross_j=gross_j, integrated_j=integrated_j)
