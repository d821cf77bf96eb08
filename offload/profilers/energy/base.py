"""What a meter must offer, and how counters and power sensors become joules that only grow."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Literal, Protocol, Self

from offload.errors import OffloadError

MOST_W = 20_000.0
"""No one machine draws more: a figure beyond it is a broken sensor, or the wrong unit."""
_SAMPLING_S = 0.01
"""Faster than any sensor here changes but RAPL, which counts by itself; slow enough to cost nothing."""

Clock = Callable[[], float]
"""Seconds that never go backwards."""


class NoMeterError(OffloadError):
    """This meter is not on this machine, or may not be read; the message says why in one line."""


class MeterLostError(OffloadError):
    """A meter that worked has stopped to, or tells what cannot be true."""


class Meter(Protocol):
    """Something that tells the joules a device has drawn; used as a context, in which it is being read."""

    @property
    def name(self) -> str:
        """What `--meter` calls it."""

    @property
    def sensor(self) -> str:
        """Which sensor it reads, in words."""

    @property
    def source(self) -> Literal["counter", "integrated"]:
        """Whether the hardware counts energy, or power readings are integrated here."""

    def reading(self) -> float:
        """The sensor's raw figure, in joules of a counter or watts of a power sensor; changes once a sensor period.

        Raises:
            MeterLostError: it cannot be read any more.
        """

    def energy_j(self) -> float:
        """Joules since the context was entered; never decreases.

        Raises:
            MeterLostError: it cannot be read any more, went backwards, or tells what cannot be true.
        """

    def integrated_j(self) -> float | None:
        """The same from power readings, where the hardware has both a counter and a power sensor; None elsewhere.

        Raises:
            MeterLostError: as for `energy_j`.
        """

    def __enter__(self) -> Self:
        """Start reading."""

    def __exit__(self, *unused: object) -> None:
        """Stop reading and let go of the sensor."""


class CounterReader:
    """Joules of a hardware counter since the first reading, across wraps."""

    def __init__(
        self, read: Callable[[], float], *, sensor: str, wraps_at_j: float | None = None, clock: Clock = time.monotonic
    ) -> None:
        """Take the first reading.

        Args:
            read: The counter, in joules.
            sensor: Its name in errors.
            wraps_at_j: Where it starts again from zero; None when it does not.
            clock: To tell a wrap from a counter that went backwards, by the power either would mean.
        """
        self._read, self._sensor, self._wraps_at_j, self._clock = read, sensor, wraps_at_j, clock
        self._total_j = 0.0
        self._last_j, self._last_s = read(), clock()

    def energy_j(self) -> float:
        """Joules since the first reading; see `Meter.energy_j`."""
        value, now = self._read(), self._clock()
        grown = value - self._last_j
        # A counter that changes once a period may grow by a period's energy in no time at all.
        most = MOST_W * (now - self._last_s + 1.0)
        if grown < 0:
            wrapped = math.inf if self._wraps_at_j is None else grown + self._wraps_at_j
            if not 0 <= wrapped <= most:
                raise MeterLostError(
                    f"{self._sensor} went backwards, from {self._last_j:.6g} J to {value:.6g} J",
                    hint="its driver was reset, or another program resets it: profile again, or declare --power",
                )
            grown = wrapped
        if not grown <= most:
            raise MeterLostError(
                f"{self._sensor} grew by {grown:.6g} J in {now - self._last_s:.3g} s, which no machine draws",
                hint="the sensor is broken: declare --power instead",
            )
        self._total_j += grown
        self._last_j, self._last_s = value, now
        return self._total_j


class PowerIntegrator:
    """Joules from a power sensor: its readings, taken by a thread, under the trapezoidal rule."""

    def __init__(self, read: Callable[[], float], *, sensor: str, clock: Clock = time.monotonic) -> None:
        """Nothing is read before `start`.

        Args:
            read: The sensor, in watts.
            sensor: Its name in errors.
            clock: When a reading was taken.
        """
        self._read, self._sensor, self._clock = read, sensor, clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lost: OffloadError | None = None
        self._last: tuple[float, float] | None = None
        self._total_j = 0.0

    def power_w(self) -> float:
        """The sensor's figure now, in watts.

        Raises:
            MeterLostError: it cannot be read, or cannot be true.
        """
        watts = self._read()
        if not 0 <= watts <= MOST_W:
            raise MeterLostError(
                f"{self._sensor} reads {watts:.6g} W, which cannot be true",
                hint="the sensor is broken or was wired the wrong way round: declare --power instead",
            )
        return watts

    def sample(self) -> None:
        """Take one reading and add the energy since the one before."""
        with self._lock:
            now, watts = self._clock(), self.power_w()
            if self._last is not None:
                before_s, before_w = self._last
                self._total_j += (now - before_s) * (watts + before_w) / 2
            self._last = (now, watts)

    def energy_j(self) -> float:
        """Joules since the first reading; takes one more, so that it is up to date."""
        if self._lost is not None:
            raise self._lost
        self.sample()
        return self._total_j

    def start(self) -> None:
        """Sample in the background until `stop`."""
        self._stop.clear()
        self.sample()
        self._thread = threading.Thread(target=self._keep_sampling, name="offload-power", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the background sampling; what it met is told by the next `energy_j`."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _keep_sampling(self) -> None:
        while not self._stop.wait(_SAMPLING_S):
            try:
                self.sample()
            except OffloadError as error:
                self._lost = error
                return
