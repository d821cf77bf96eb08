"""Jetson boards: INA3221 power monitors on the I2C bus, as sysfs shows them.

Layouts: the kernel's Documentation/hwmon/ina3221.rst (`hwmon/hwmon*/in[123]_label`, `in[123]_input` in mV,
`curr[123]_input` in mA; `in7_label` is a sum of shunt voltages, not a rail), and the driver of L4T up to release 32,
`nvidia/drivers/staging/iio/meter/ina3221.c` (`iio:device*/rail_name_[012]`, `in_power[012]_input` in mW, or
`in_voltage` in mV and `in_current` in mA). Which rails there are and which make up the module: NVIDIA's Jetson
developer guide, "Clock Frequency and Power Management".
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self

from offload.profilers.energy.base import Clock, MeterLostError, NoMeterError, PowerIntegrator
from offload.profilers.energy.sysfs import read_number, read_text

ROOT = Path("/sys/bus/i2c/drivers")
_WHOLE_MODULE = ("VDD_IN", "POM_5V_IN", "5V_IN")
"""Rails that feed everything on the module. Boards without one (AGX) are measured by the sum of their rails."""
_NOT_CONNECTED = ("", "NC")
_LABELS = ("ina3221*/*/hwmon/hwmon*/in?_label", "ina3221*/*/iio:device*/rail_name_?")
_W_PER_MW = 1e-3
_A_PER_MA = 1e-3
_V_PER_MV = 1e-3

Watts = Callable[[], float]


class JetsonMeter:
    """The power that the module draws, integrated."""

    name = "jetson"
    source: Literal["counter", "integrated"] = "integrated"

    def __init__(self, root: Path = ROOT, *, clock: Clock = time.monotonic) -> None:
        """Find the rails.

        Raises:
            NoMeterError: there are none, or they may not be read.
        """
        rails = _rails(root)
        if not rails:
            raise NoMeterError(f"no INA3221 rail under {root}", hint="choose another --meter, or declare --power")
        whole = [name for name in _WHOLE_MODULE if name in rails][:1]
        names = whole or list(rails)
        self._watts = [rails[name] for name in names]
        self.sensor = f"INA3221, {' + '.join(names)}"
        self._integrator = PowerIntegrator(self._power_w, sensor=self.sensor, clock=clock)
        try:
            self._power_w()
        except MeterLostError as error:
            raise NoMeterError(error.message, hint="choose another --meter, or declare --power") from error

    def reading(self) -> float:
        """See `Meter.reading`."""
        return self._integrator.power_w()

    def energy_j(self) -> float:
        """See `Meter.energy_j`."""
        return self._integrator.energy_j()

    def integrated_j(self) -> None:
        """There is no counter to check by."""

    def __enter__(self) -> Self:
        """See `Meter`."""
        self._integrator.start()
        return self

    def __exit__(self, *unused: object) -> None:
        """See `Meter`."""
        self._integrator.stop()

    def _power_w(self) -> float:
        return sum(watts() for watts in self._watts)


def _rails(root: Path) -> dict[str, Watts]:
    """How to read each rail, by its label, in the order of the devices' addresses and channels."""
    found: dict[str, Watts] = {}
    try:
        for label in sorted(file for layout in _LABELS for file in root.glob(layout)):
            name, channel, folder = read_text(label), re.sub(r"\D", "", label.name), label.parent
            if name in _NOT_CONNECTED or label.name == "in7_label":
                continue
            if label.name.endswith("_label"):
                found[name] = _voltage_times_current(folder / f"in{channel}_input", folder / f"curr{channel}_input")
            elif (folder / f"in_power{channel}_input").exists():
                found[name] = _power(folder / f"in_power{channel}_input")
            else:
                found[name] = _voltage_times_current(
                    folder / f"in_voltage{channel}_input", folder / f"in_current{channel}_input"
                )
    except OSError as error:
        raise NoMeterError(
            f"the power rails under {root} cannot be read: {error.strerror}",
            hint="choose another --meter, or declare --power",
        ) from error
    return found


def _power(milliwatts: Path) -> Watts:
    return lambda: read_number(milliwatts) * _W_PER_MW


def _voltage_times_current(millivolts: Path, milliamperes: Path) -> Watts:
    return lambda: read_number(millivolts) * _V_PER_MV * read_number(milliamperes) * _A_PER_MA
