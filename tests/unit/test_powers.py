"""Power by kind of kernel, on machines whose power is known: a factor of 2 or 1000 shows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offload import api
from offload.api import fits
from offload.artifacts.costs import Costs
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError
from offload.models.executed import Kernel, TimedNetwork
from offload.predictors import fitting
from offload.predictors.powers import choose_networks, family_powers, time_shares
from offload.profilers.energy import networks as powers
from offload.profilers.energy.base import Meter, MeterLostError
from offload.profilers.energy.networks import measure_network_powers
from offload.progress import NullProgress
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.serving import protocol_cost
from tests.fake_meters import Machine, SimulatedMeter
from tests.fitted import gemm, plain, roofline_law, timed

IDLE_W = 40.0
TRUE_W = {"linear": 200.0, "softmax": 90.0, "activation": 120.0}
SHARES = {
    0: {"linear": 0.97, "softmax": 0.02, "activation": 0.01},
    1: {"linear": 0.9, "activation": 0.1},
    2: {"softmax": 0.8, "linear": 0.2},
    3: {"activation": 0.7, "linear": 0.2, "softmax": 0.1},
    4: {"activation": 0.6, "softmax": 0.4},
    5: {"linear": 0.5, "activation": 0.5},
}


def network_w(shares: dict[str, float]) -> float:
    return sum(share * TRUE_W[family] for family, share in shares.items())


def test_shares_are_of_the_time_and_leave_out_what_has_no_costs() -> None:
    kernels = [gemm(50, 500, 500), plain("Softmax", (64, 500)), plain("Reshape", (64, 500)), plain("Relu", (64, 500))]
    shares = time_shares([timed(7, kernels)], frozenset({"linear", "softmax"}))
    times = [roofline_law(kernel) for kernel in kernels]
    assert shares == {
        7: {
            "linear": pytest.approx(times[0] / (times[0] + times[1])),
            "softmax": pytest.approx(times[1] / (times[0] + times[1])),
        }
    }
    assert time_shares([timed(7, kernels)], frozenset({"conv"})) == {}


def test_those_networks_are_chosen_in_which_a_family_takes_most_of_the_time() -> None:
    chosen = choose_networks(SHARES, for_each=2)
    assert set(chosen[:3]) == {3, 0, 2}, "the best of each family first"
    assert set(chosen) == {0, 1, 2, 3, 4}
    assert len(choose_networks(SHARES, for_each=10)) == len(SHARES)


def test_the_families_powers_are_found() -> None:
    read = {number: network_w(shares) for number, shares in SHARES.items()}
    found = family_powers(SHARES, read, idle_w=IDLE_W, families=sorted(TRUE_W))
    for family, watts in TRUE_W.items():
        assert found[family] == pytest.approx(watts, rel=0.1), family
    doubled = family_powers(SHARES, {n: 2 * watts for n, watts in read.items()}, idle_w=IDLE_W, families=sorted(TRUE_W))
    assert doubled["linear"] == pytest.approx(2 * found["linear"])


def test_a_family_that_no_network_has_draws_the_mean_and_none_draws_less_than_idle() -> None:
    read = {number: network_w(shares) for number, shares in SHARES.items()}
    found = family_powers(SHARES, read, idle_w=IDLE_W, families=[*sorted(TRUE_W), "conv"])
    assert found["conv"] == pytest.approx(sum(read.values()) / len(read))
    assert family_powers(SHARES, read, idle_w=500.0, families=["linear"]) == {"linear": 500.0}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine on which every network draws a power of its own."""
    machine = Machine(idle_w=IDLE_W)

    def load(number: int, runtime: object, threads: int, **_: object) -> Callable[[int], None]:
        return machine.workload(0.004, network_w(SHARES[number % len(SHARES)]))

    @contextlib.contextmanager
    def running(_: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(powers, "_loaded", load)
    monkeypatch.setattr(powers, "running", running)
    monkeypatch.setattr(powers, "Stopwatch", lambda: machine.watch)
    return machine


def read(meter: Meter) -> powers.NetworkPowers:
    return measure_network_powers(tuple(SHARES), OnnxRuntime(device="cpu"), meter, threads=1, progress=NullProgress())


@pytest.mark.parametrize("period_s", [0.001, 0.05])
def test_a_meter_reads_the_networks_powers(machine: Machine, period_s: float) -> None:
    found = read(SimulatedMeter(machine, period_s=period_s))
    assert found.idle_w == pytest.approx(IDLE_W, rel=0.06)
    assert found.sensor_period_s == pytest.approx(period_s, rel=0.3)
    for number, watts in found.networks_w.items():
        assert watts == pytest.approx(network_w(SHARES[number]), rel=0.06), number


def test_a_meter_in_another_unit_is_refused_or_shows(machine: Machine) -> None:
    with pytest.raises(MeterLostError, match="which no machine draws"):
        read(SimulatedMeter(machine, factor=1000.0))
    doubled = read(SimulatedMeter(machine, factor=2.0))
    assert doubled.networks_w[0] == pytest.approx(2 * network_w(SHARES[0]), rel=0.06)


def test_a_slow_sensor_has_time_for_the_first_networks_only(machine: Machine) -> None:
    found = read(SimulatedMeter(machine, period_s=1.5))
    assert 1 <= len(found.networks_w) < len(SHARES)
    assert next(iter(found.networks_w)) == 0


def test_a_network_that_the_runtime_refuses_is_left_out(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = powers._loaded

    def load(number: int, runtime: object, threads: int, **_: object) -> object:
        if number == 2:
            raise OffloadError("out of memory")
        return loaded(number, runtime, threads, precision="fp32")  # type: ignore[arg-type]

    monkeypatch.setattr(powers, "_loaded", load)
    assert set(read(SimulatedMeter(machine)).networks_w) == set(SHARES) - {2}


@pytest.fixture
def fit(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Costs]:
    """`api.fit` where networks were measured, with a meter on the machine."""
    kernels = {
        "linear": gemm(100, 300, 300),
        "softmax": plain("Softmax", (90, 900)),
        "activation": plain("Relu", (9, 9000)),
    }

    def law_of(number: int) -> list[Kernel]:
        shares = SHARES[number % len(SHARES)]
        return [kernels[family] for family in shares]

    def network(number: int) -> TimedNetwork:
        shares = SHARES[number % len(SHARES)]
        made = timed(number, law_of(number))
        return type(made)(
            **{
                **vars(made),
                "kernel_s": tuple((1e-3 * share,) * 4 for share in shares.values()),
                "whole_s": (1.1e-3,) * 4,
            }
        )

    monkeypatch.setattr(fits, "_measured", lambda *_: ([network(number) for number in range(60)], "budget"))
    monkeypatch.setattr(fitting, "FEWEST_FOR_TREES", 10**9)
    monkeypatch.setattr(protocol_cost, "measure_protocol", lambda _: ())

    def run(meter: Meter | None, **changes: object) -> Costs:
        monkeypatch.setattr(fits, "chosen_meter", lambda *_, **__: meter)
        return api.fit(api.FitRequest(threads=1, **changes), workspace=Workspace(tmp_path))  # type: ignore[arg-type]

    return run


def test_a_fit_with_a_meter_has_the_power_of_each_kind(machine: Machine, fit: Callable[..., Costs]) -> None:
    costs = fit(SimulatedMeter(machine))
    for family in costs.families:
        assert family.power_w == pytest.approx(TRUE_W[family.family], rel=0.12), family.family
    assert costs.idle_power_w == pytest.approx(IDLE_W, rel=0.06)
    assert costs.power_source == "simulated: a simulated counter"
    assert Costs.from_json(costs.to_json(), source="it").power_source == costs.power_source
    assert fit(SimulatedMeter(machine), idle_power_w=33.0).idle_power_w == 33.0


def test_a_meter_that_fails_leaves_the_times(machine: Machine, fit: Callable[..., Costs]) -> None:
    costs = fit(SimulatedMeter(machine, factor=1000.0))
    assert costs.power_source is None
    assert all(family.power_w is None for family in costs.families)


def test_without_a_meter_the_declared_power_stands(fit: Callable[..., Costs]) -> None:
    costs = fit(None, power_w=3.2, idle_power_w=1.0)
    assert (costs.power_w, costs.idle_power_w, costs.power_source) == (3.2, 1.0, None)


def test_an_interrupt_while_the_meter_is_read_keeps_the_times(
    machine: Machine, fit: Callable[..., Costs], monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(powers, "_loaded", press)
    costs = fit(SimulatedMeter(machine))
    assert costs.stopped == "interrupted"
    assert costs.families
