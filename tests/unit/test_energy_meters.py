"""Meters over fakes and recorded trees: units, wraps, and every way in which a sensor fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from offload.errors import UsageError
from offload.profilers.energy import choose
from offload.profilers.energy.base import CounterReader, Meter, MeterLostError, NoMeterError, PowerIntegrator
from offload.profilers.energy.choose import METER_NAMES, open_meter
from offload.profilers.energy.jetson import JetsonMeter
from offload.profilers.energy.nvml import NvmlMeter
from offload.profilers.energy.rapl import RaplMeter
from tests.fake_meters import AGX_TREE, HWMON_TREE, IIO_TREE, RAPL_TREE, FakeNvml, Machine, write_tree


def integrator_of(meter: object) -> PowerIntegrator:
    return meter._integrator  # type: ignore[attr-defined, no-any-return]


def nvml_meter(machine: Machine, **failing: int) -> tuple[NvmlMeter, FakeNvml]:
    nvml = FakeNvml(machine)
    nvml.failing |= failing
    return NvmlMeter(nvml=nvml, clock=machine.clock), nvml


def test_nvml_counts_millijoules_and_integrates_milliwatts() -> None:
    machine = Machine(idle_w=100.0)
    machine.energy_j = 5e6
    meter, nvml = nvml_meter(machine)
    assert meter.source == "counter"
    assert "Test GPU" in meter.sensor
    with meter:
        machine.pass_time(0.0, 300.0)
        before = meter.integrated_j()
        machine.pass_time(2.0, 300.0)
        after = meter.integrated_j()
        assert meter.energy_j() == pytest.approx(600.0)
        assert before is not None
        assert after is not None
        assert after - before == pytest.approx(600.0)
    assert nvml.sessions == 0


def test_nvml_without_a_counter_integrates_its_power() -> None:
    machine = Machine(idle_w=30.0)
    meter, _ = nvml_meter(machine, energy=3)
    assert meter.source == "integrated"
    with meter:
        assert meter.reading() == pytest.approx(30.0)
        machine.pass_time(4.0, 30.0)
        assert meter.energy_j() == pytest.approx(120.0)
        assert meter.integrated_j() is None


def test_nvml_without_power_has_no_cross_check() -> None:
    machine = Machine()
    meter, _ = nvml_meter(machine, power=3)
    with meter:
        machine.pass_time(1.0, 50.0)
        assert meter.energy_j() == pytest.approx(50.0)
        assert meter.integrated_j() is None


@pytest.mark.parametrize(
    ("failing", "message"),
    [
        ({"init": 9}, "Driver Not Loaded"),
        ({"handle": 6}, "Not Found"),
        ({"energy": 3, "power": 3}, "neither energy nor power"),
        ({"energy": 15}, "GPU is lost"),
    ],
)
def test_nvml_that_cannot_be_used_is_no_meter(failing: dict[str, int], message: str) -> None:
    nvml = FakeNvml(Machine())
    nvml.failing |= failing
    with pytest.raises(NoMeterError, match=message) as raised:
        NvmlMeter(nvml=nvml)
    assert raised.value.hint
    assert nvml.sessions == 0


def test_a_gpu_is_found_by_its_identity() -> None:
    nvml = FakeNvml(Machine())
    NvmlMeter(nvml=nvml, index=1, uuid="GPU-7")
    assert nvml.asked_for == "GPU-7"


def test_a_gpu_that_is_lost_on_the_way_is_an_error() -> None:
    meter, nvml = nvml_meter(Machine())
    with meter:
        nvml.failing["energy"] = 15
        with pytest.raises(MeterLostError, match="GPU is lost"):
            meter.energy_j()
        with pytest.raises(MeterLostError, match="GPU is lost"):
            meter.reading()


def counter(values: list[float], *, wraps_at_j: float | None = None, step_s: float = 1.0) -> CounterReader:
    clock = iter(range(len(values)))
    readings = iter(values)
    return CounterReader(
        lambda: next(readings), sensor="the counter", wraps_at_j=wraps_at_j, clock=lambda: next(clock) * step_s
    )


def test_a_counter_adds_up_and_wraps() -> None:
    reader = counter([90.0, 95.0, 5.0, 25.0], wraps_at_j=100.0)
    assert [reader.energy_j() for _ in range(3)] == [5.0, 15.0, 35.0]


@pytest.mark.parametrize("wraps_at_j", [None, 262_143.0])
def test_a_counter_that_goes_backwards_is_no_wrap(wraps_at_j: float | None) -> None:
    reader = counter([200_000.0, 199_000.0], wraps_at_j=wraps_at_j)
    with pytest.raises(MeterLostError, match="went backwards, from 200000 J to 199000 J"):
        reader.energy_j()


@pytest.mark.parametrize("value", [1e9, float("inf"), float("nan")])
def test_a_counter_that_leaps_is_absurd(value: float) -> None:
    reader = counter([0.0, value])
    with pytest.raises(MeterLostError, match="which no machine draws"):
        reader.energy_j()


@pytest.mark.parametrize("watts", [-0.5, 1e6, float("nan"), float("inf")])
def test_power_that_cannot_be_true_is_refused(watts: float) -> None:
    with pytest.raises(MeterLostError, match="cannot be true"):
        PowerIntegrator(lambda: watts, sensor="x").energy_j()


def test_what_the_sampling_thread_meets_is_told_by_the_next_reading() -> None:
    readings = iter([1.0, -1.0])
    integrator = PowerIntegrator(lambda: next(readings, 1.0), sensor="x")
    integrator.start()
    assert integrator._thread is not None
    integrator._thread.join(timeout=10)
    with pytest.raises(MeterLostError, match="-1 W"):
        integrator.energy_j()
    integrator.stop()


def test_power_is_integrated_under_the_trapezoidal_rule() -> None:
    clock, watts = iter([0.0, 1.0, 3.0]), iter([2.0, 4.0, 4.0])
    integrator = PowerIntegrator(lambda: next(watts), sensor="x", clock=lambda: next(clock))
    assert [integrator.energy_j() for _ in range(3)] == [0.0, 3.0, 11.0]


def test_rapl_sums_packages_in_microjoules_and_nothing_else(tmp_path: Path) -> None:
    root = write_tree(tmp_path, RAPL_TREE)
    times = iter(range(100))
    meter = RaplMeter(root, clock=lambda: float(next(times)))
    assert meter.reading() == pytest.approx(1005.0)
    assert "2 processor packages" in meter.sensor
    with meter:
        write_tree(root, {"intel-rapl:0/energy_uj": "1030000000", "intel-rapl:1/energy_uj": "9000000"})
        assert meter.energy_j() == pytest.approx(34.0)
        assert meter.integrated_j() is None


def test_rapl_wraps_at_its_own_range(tmp_path: Path) -> None:
    root = write_tree(tmp_path, RAPL_TREE | {"intel-rapl:0/energy_uj": "262143000000"})
    times = iter(range(100))
    with RaplMeter(root, clock=lambda: float(next(times))) as meter:
        write_tree(root, {"intel-rapl:0/energy_uj": "671150"})
        assert meter.energy_j() == pytest.approx(1.0)


def test_rapl_that_vanishes_goes_backwards_or_says_nothing_is_lost(tmp_path: Path) -> None:
    root = write_tree(tmp_path, RAPL_TREE)
    with RaplMeter(root) as meter:
        write_tree(root, {"intel-rapl:0/energy_uj": "999000000"})
        with pytest.raises(MeterLostError, match="went backwards"):
            meter.energy_j()
        write_tree(root, {"intel-rapl:0/energy_uj": ""})
        with pytest.raises(MeterLostError, match="not a number"):
            meter.energy_j()
        (root / "intel-rapl:0/energy_uj").unlink()
        with pytest.raises(MeterLostError, match="cannot be read any more"):
            meter.energy_j()


def refuse(error: OSError) -> Callable[[Path], str]:
    def read(file: Path) -> str:
        if file.name == "energy_uj":
            raise error
        return file.read_text(encoding="utf-8").strip()

    return read


def test_rapl_that_only_root_may_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_tree(tmp_path, RAPL_TREE)
    monkeypatch.setattr("offload.profilers.energy.rapl.read_text", refuse(PermissionError(13, "Permission denied")))
    with pytest.raises(NoMeterError, match="root only") as raised:
        RaplMeter(root)
    assert "chmod" in raised.value.hint


def test_rapl_that_is_not_there_is_no_meter(tmp_path: Path) -> None:
    with pytest.raises(NoMeterError, match="no RAPL package"):
        RaplMeter(tmp_path / "none")
    root = write_tree(tmp_path, {"intel-rapl:0/name": "package-0"})
    with pytest.raises(NoMeterError, match="cannot be read"):
        RaplMeter(root)


@pytest.mark.parametrize(
    ("tree", "watts", "sensor"),
    [
        (HWMON_TREE, 6.0, "INA3221, VDD_IN"),
        (IIO_TREE, 2.45, "INA3221, POM_5V_IN"),
        ({k: v for k, v in IIO_TREE.items() if "in_power0" not in k}, 2.45, "INA3221, POM_5V_IN"),
        (AGX_TREE, 6.0, "INA3221, VDD_GPU_SOC + VDD_CPU_CV"),
    ],
)
def test_jetson_reads_the_modules_rail_or_sums_all(
    tmp_path: Path, tree: dict[str, str], watts: float, sensor: str
) -> None:
    machine = Machine()
    meter = JetsonMeter(write_tree(tmp_path, tree), clock=machine.clock)
    assert meter.source == "integrated"
    assert meter.sensor == sensor
    assert meter.reading() == pytest.approx(watts)
    with meter:
        machine.pass_time(10.0, 0.0)
        assert meter.energy_j() == pytest.approx(10 * watts)
        assert meter.integrated_j() is None


def test_jetson_rails_that_vanish_or_turn_negative_are_lost(tmp_path: Path) -> None:
    root = write_tree(tmp_path, HWMON_TREE)
    meter = JetsonMeter(root)
    current = "ina3221/7-0040/hwmon/hwmon4/curr1_input"
    write_tree(root, {current: "-1200"})
    with pytest.raises(MeterLostError, match="-6 W"):
        meter.reading()
    (root / current).unlink()
    with pytest.raises(MeterLostError, match="cannot be read any more"):
        meter.reading()
    with pytest.raises(NoMeterError, match="cannot be read"):
        JetsonMeter(root)


def test_no_jetson_is_no_meter(tmp_path: Path) -> None:
    with pytest.raises(NoMeterError, match="no INA3221 rail"):
        JetsonMeter(tmp_path)


def unavailable() -> Meter:
    raise NoMeterError("not here", hint="x")


def test_auto_takes_the_first_meter_that_can_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    board = JetsonMeter(write_tree(tmp_path, IIO_TREE))
    monkeypatch.setattr(choose, "RaplMeter", unavailable)
    monkeypatch.setattr(choose, "JetsonMeter", lambda: board)
    assert open_meter("auto", "cpu") is board
    monkeypatch.setattr(choose, "JetsonMeter", unavailable)
    assert open_meter("auto", "cpu") is None
    with pytest.raises(NoMeterError, match="not here"):
        open_meter("rapl", "cpu")


def test_auto_takes_nvml_on_cuda_and_the_boards_rails_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    board, (gpu, _) = JetsonMeter(write_tree(tmp_path, IIO_TREE)), nvml_meter(Machine())
    asked: list[int] = []

    def open_gpu(*, index: int, uuid: str | None) -> NvmlMeter:
        asked.append(index)
        return gpu

    monkeypatch.setattr(choose, "JetsonMeter", lambda: board)
    monkeypatch.setattr(choose, "NvmlMeter", open_gpu)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert open_meter("auto", "cuda:1") is gpu
    assert asked == [1]
    monkeypatch.setattr(choose, "NvmlMeter", lambda **_: unavailable())
    assert open_meter("auto", "cuda") is board


def test_meters_that_do_not_fit_are_usage_errors() -> None:
    assert open_meter("none", "cpu") is None
    with pytest.raises(UsageError, match="does not measure cpu") as raised:
        open_meter("nvml", "cpu")
    assert "rapl" in raised.value.hint
    with pytest.raises(UsageError, match="no meter 'wattmeter'") as raised:
        open_meter("wattmeter", "cpu")
    assert all(name in raised.value.hint for name in METER_NAMES)
