"""Machines whose power is known: a clock that only moves when something runs, and what meters would tell of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal

from offload.profilers.energy.measure import Stopwatch


class Machine:
    """Draws a power that depends on what runs; time passes only while something runs or sleeps."""

    def __init__(self, idle_w: float = 40.0) -> None:
        self.now_s, self.energy_j, self.idle_w, self.power_w = 1000.0, 0.0, idle_w, idle_w
        self.hooks: list[Callable[[], None]] = []

    def clock(self) -> float:
        return self.now_s

    def pass_time(self, seconds: float, power_w: float) -> None:
        self.power_w = power_w
        self.now_s += seconds
        self.energy_j += seconds * power_w
        for hook in self.hooks:
            hook()

    def sleep(self, seconds: float) -> None:
        self.pass_time(seconds, self.idle_w)

    def workload(self, seconds: float, power_w: float) -> Callable[[int], None]:
        """Something that takes so long a run, at that power."""
        return lambda times: self.pass_time(seconds * times, power_w)

    @property
    def watch(self) -> Stopwatch:
        return Stopwatch(now=self.clock, sleep=self.sleep)


class SimulatedMeter:
    """A counter of a machine's energy that is brought up to date once a period."""

    name = "simulated"
    sensor = "a simulated counter"

    def __init__(
        self,
        machine: Machine,
        *,
        period_s: float = 0.02,
        source: Literal["counter", "integrated"] = "counter",
        factor: float = 1.0,
    ) -> None:
        self._machine, self._period_s, self.source, self._factor = machine, period_s, source, factor
        self._shown: tuple[float, float] = (-1.0, 0.0)

    def reading(self) -> float:
        tick = self._machine.now_s // self._period_s
        if tick != self._shown[0]:
            self._shown = (tick, self._machine.energy_j * self._factor)
        return self._shown[1]

    def energy_j(self) -> float:
        return self.reading()

    def integrated_j(self) -> float | None:
        return None

    def __enter__(self) -> SimulatedMeter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class NvmlError(Exception):
    """As pynvml's: carries the library's code."""

    def __init__(self, value: int) -> None:
        super().__init__({3: "Not Supported", 9: "Driver Not Loaded", 15: "GPU is lost", 6: "Not Found"}[value])
        self.value = value


class FakeNvml:
    """The part of the pynvml module that is used, over a machine; in the library's units."""

    NVMLError = NvmlError
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ERROR_FUNCTION_NOT_FOUND = 13

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.failing: dict[str, int] = {}
        self.sessions = 0
        self.asked_for: str | int | None = None

    def _check(self, call: str) -> None:
        if call in self.failing:
            raise NvmlError(self.failing[call])

    def nvmlInit(self) -> None:  # noqa: N802
        self._check("init")
        self.sessions += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.sessions -= 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        self._check("handle")
        self.asked_for = index
        return "handle"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        self._check("handle")
        self.asked_for = uuid
        return "handle"

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        return "Test GPU"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        self._check("energy")
        return round(self.machine.energy_j * 1000)

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:  # noqa: N802
        self._check("power")
        return round(self.machine.power_w * 1000)


def write_tree(root: Path, files: dict[str, str]) -> Path:
    """A recorded sysfs tree: paths below the root and what they say."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n", encoding="utf-8")
    return root


# Two packages, their parts, and the platform, as Documentation/power/powercap/powercap.rst shows them.
RAPL_TREE = {
    "intel-rapl:0/name": "package-0",
    "intel-rapl:0/energy_uj": "1000000000",
    "intel-rapl:0/max_energy_range_uj": "262143328850",
    "intel-rapl:0:0/name": "core",
    "intel-rapl:0:0/energy_uj": "900000000",
    "intel-rapl:1/name": "package-1",
    "intel-rapl:1/energy_uj": "5000000",
    "intel-rapl:1/max_energy_range_uj": "262143328850",
    "intel-rapl:2/name": "psys",
    "intel-rapl:2/energy_uj": "7000000000",
    "intel-rapl:2/max_energy_range_uj": "262143328850",
}

# A Xavier NX or Orin NX: the kernel's hwmon driver (Documentation/hwmon/ina3221.rst), millivolts and milliamperes.
HWMON_TREE = {
    "ina3221/7-0040/hwmon/hwmon4/in1_label": "VDD_IN",
    "ina3221/7-0040/hwmon/hwmon4/in1_input": "5000",
    "ina3221/7-0040/hwmon/hwmon4/curr1_input": "1200",
    "ina3221/7-0040/hwmon/hwmon4/in2_label": "VDD_CPU_GPU_CV",
    "ina3221/7-0040/hwmon/hwmon4/in2_input": "5000",
    "ina3221/7-0040/hwmon/hwmon4/curr2_input": "400",
    "ina3221/7-0040/hwmon/hwmon4/in3_label": "VDD_SOC",
    "ina3221/7-0040/hwmon/hwmon4/in3_input": "5000",
    "ina3221/7-0040/hwmon/hwmon4/curr3_input": "200",
    "ina3221/7-0040/hwmon/hwmon4/in7_label": "sum of shunt voltages",
    "ina3221/7-0040/hwmon/hwmon4/in7_input": "0",
}

# A Nano on L4T 32: the driver in nvidia/drivers/staging/iio/meter/ina3221.c, milliwatts.
IIO_TREE = {
    "ina3221x/6-0040/iio:device0/rail_name_0": "POM_5V_IN",
    "ina3221x/6-0040/iio:device0/in_power0_input": "2450",
    "ina3221x/6-0040/iio:device0/in_voltage0_input": "5000",
    "ina3221x/6-0040/iio:device0/in_current0_input": "490",
    "ina3221x/6-0040/iio:device0/rail_name_1": "POM_5V_GPU",
    "ina3221x/6-0040/iio:device0/in_power1_input": "120",
    "ina3221x/6-0040/iio:device0/rail_name_2": "POM_5V_CPU",
    "ina3221x/6-0040/iio:device0/in_power2_input": "530",
}

# An AGX Orin: no rail feeds the module, some channels are not connected.
AGX_TREE = {
    "ina3221/1-0040/hwmon/hwmon3/in1_label": "VDD_GPU_SOC",
    "ina3221/1-0040/hwmon/hwmon3/in1_input": "20000",
    "ina3221/1-0040/hwmon/hwmon3/curr1_input": "200",
    "ina3221/1-0040/hwmon/hwmon3/in2_label": "VDD_CPU_CV",
    "ina3221/1-0040/hwmon/hwmon3/in2_input": "20000",
    "ina3221/1-0040/hwmon/hwmon3/curr2_input": "100",
    "ina3221/1-0040/hwmon/hwmon3/in3_label": "NC",
    "ina3221/1-0040/hwmon/hwmon3/in3_input": "0",
    "ina3221/1-0040/hwmon/hwmon3/curr3_input": "0",
}
