"""The procedure on machines of known power, and the estimates made of its readings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from offload.artifacts.energy import EnergyWindow, GroupEnergy, ProfileEnergy
from offload.artifacts.energy_shares import GroupShares
from offload.artifacts.estimate import Estimate
from offload.artifacts.profile import Profile
from offload.errors import OffloadError
from offload.profilers.energy.base import MeterLostError
from offload.profilers.energy.measure import (
    affordable_groups,
    choose_groups,
    measure_energy,
    sensor_period_s,
    window_s,
)
from tests import synthetic
from tests.fake_meters import Machine, SimulatedMeter

IDLE_W = 40.0
TIMES_S = (0.010, 0.004, 0.006, 0.008, 0.002, 0.005, 0.006, 0.001, 0.003, 0.007, 0.002, 0.004)
"""Of the groups of a chain; their kinds are conv, activation, linear, conv, …"""
POWER_W = {"conv": 300.0, "activation": 120.0, "linear": 200.0}
JITTER = (1.0, 1.02, 0.99, 0.98, 1.0, 1.01, 1.01, 0.99, 1.0, 1.01, 1.01, 0.98)
"""How each group's power differs from that of its kind."""


def true_j() -> list[float]:
    kinds = profile().group_kinds
    return [POWER_W[kind] * own * time for kind, own, time in zip(kinds, JITTER, TIMES_S, strict=True)]


def profile(energy: ProfileEnergy | None = None, **changes: Any) -> Profile:
    graph = synthetic.chain((10,) * (len(TIMES_S) + 1), (1000,) * len(TIMES_S))
    return synthetic.profile(graph, TIMES_S, energy=energy, **changes)


def measured(groups: Sequence[int], *, period_s: float = 0.02, meter_factor: float = 1.0) -> ProfileEnergy:
    machine = Machine(idle_w=IDLE_W)
    joules = true_j()
    whole_w = sum(joules) / sum(TIMES_S)
    meter = SimulatedMeter(machine, period_s=period_s, factor=meter_factor)
    return measure_energy(
        meter,
        machine.workload(sum(TIMES_S), whole_w),
        {n: machine.workload(TIMES_S[n], joules[n] / TIMES_S[n]) for n in groups},
        period_s=period_s,
        budget_s=100.0,
        watch=machine.watch,
    )


def holds(low: float, value: float, high: float) -> bool:
    return low <= value <= high


@pytest.mark.parametrize("groups", [range(12), (0, 1, 2, 3, 4, 5), (0, 3, 1, 2), (0, 1, 2), (0, 3), (0,), ()])
def test_the_true_joules_are_within_the_interval(groups: Sequence[int]) -> None:
    made = profile(measured(groups))
    expected = true_j()
    assert made.energy_source == "counter"
    whole = made.energy_of(range(12))
    assert whole is not None
    assert whole.value == pytest.approx(sum(expected), rel=0.05)
    assert holds(whole.low, sum(expected), whole.high)
    for some in (range(6), range(6, 12), (0,), (5, 7), (11,), (1, 4, 7, 10)):
        estimate = made.energy_of(some)
        assert estimate is not None
        assert holds(estimate.low, sum(expected[n] for n in some), estimate.high), (some, estimate)


def test_with_every_group_measured_little_is_left_to_doubt() -> None:
    made = profile(measured(range(12)))
    estimate = made.energy_of((0, 3))
    assert estimate is not None
    assert estimate.value == pytest.approx(true_j()[0] + true_j()[3], rel=0.03)
    assert estimate.relative_half_width < 0.1


def test_groups_sum_to_the_measured_whole_and_the_raw_gap_is_shown() -> None:
    energy = measured((0, 1, 2))
    twice = tuple(
        GroupEnergy(group=one.group, windows=tuple(dataclasses.replace(w, gross_j=w.gross_j * 2) for w in one.windows))
        for one in energy.groups
    )
    made = profile(dataclasses.replace(energy, groups=twice))
    each = [made.energy_of([n]) for n in range(12)]
    assert sum(e.value for e in each if e is not None) == pytest.approx(energy.whole_j.value)
    assert made.energy_shares is not None
    assert made.energy_shares.raw_gap == pytest.approx(1.0, abs=0.05)


def test_fewer_measured_groups_mean_wider_intervals() -> None:
    widths = []
    for groups in (range(12), (0, 3, 1, 2), ()):
        estimate = profile(measured(groups)).energy_of((6, 7))
        assert estimate is not None
        widths.append(estimate.relative_half_width)
    assert widths == sorted(widths)


def test_a_factor_of_a_thousand_is_seen() -> None:
    assert measured((), meter_factor=1.0).whole_j.value == pytest.approx(sum(true_j()), rel=0.05)
    with pytest.raises(MeterLostError, match="which no machine draws"):
        measured((), meter_factor=1000.0)


def test_idle_and_what_is_above_it() -> None:
    energy = measured(())
    assert energy.idle_power_w.value == pytest.approx(IDLE_W, rel=0.05)
    above = sum(true_j()) - IDLE_W * sum(TIMES_S)
    assert holds(energy.above_idle_j.low, above, energy.above_idle_j.high)
    assert all(window.runs == 0 for window in energy.idle)


@pytest.mark.parametrize("period_s", [0.001, 0.02, 0.1])
def test_windows_are_long_against_the_sensors_period(period_s: float) -> None:
    energy = measured((0, 1), period_s=period_s)
    windows = [*energy.idle, *energy.whole, *(w for one in energy.groups for w in one.windows)]
    assert all(window.seconds >= max(20 * period_s, 0.5) * 0.999 for window in windows)
    assert len(energy.whole) == 3
    assert all(window.gross_j / window.seconds > 0.9 * IDLE_W for window in windows)


def test_passes_end_with_the_time_but_the_first_is_made_in_any_case() -> None:
    machine = Machine()
    energy = measure_energy(
        SimulatedMeter(machine),
        machine.workload(0.01, 100.0),
        {0: machine.workload(0.01, 100.0)},
        period_s=0.02,
        budget_s=0.001,
        watch=machine.watch,
    )
    assert len(energy.whole) == len(energy.groups[0].windows) == 1


@pytest.mark.parametrize("run_s", [1e-5, 0.03, 7.0])
def test_runs_are_counted_whatever_their_length(run_s: float) -> None:
    machine = Machine()
    counted = 0

    def run(times: int) -> None:
        nonlocal counted
        counted += times
        machine.pass_time(run_s * times, 100.0)

    energy = measure_energy(SimulatedMeter(machine), run, {}, period_s=0.02, budget_s=0.001, watch=machine.watch)
    assert energy.whole[0].runs * run_s == pytest.approx(energy.whole[0].seconds)
    assert energy.whole[0].runs < counted


@pytest.mark.parametrize("period_s", [0.001, 0.0205, 0.1])
def test_the_sensors_period_is_measured(period_s: float) -> None:
    machine = Machine()
    meter = SimulatedMeter(machine, period_s=period_s)
    assert sensor_period_s(meter, machine.watch) == pytest.approx(period_s, rel=0.25)


def test_a_counter_that_never_changes_is_lost() -> None:
    machine = Machine(idle_w=0.0)
    meter = SimulatedMeter(machine)
    with pytest.raises(MeterLostError, match="changed 0 times in 5 s"):
        sensor_period_s(meter, machine.watch)
    with pytest.raises(MeterLostError, match="stood still"):
        measure_energy(meter, machine.workload(0.01, 100.0), {}, period_s=0.02, budget_s=1.0, watch=machine.watch)


def test_one_of_each_kind_comes_first_then_the_slowest() -> None:
    kinds = ["conv", "conv", "pool", "linear", "conv", "pool", "shape"]
    times = [5.0, 6.0, 1.0, 4.0, 2.0, 3.0, 0.0]
    assert choose_groups(kinds, times, 10) == (1, 3, 5, 0, 4, 2)
    assert choose_groups(kinds, times, 3) == (1, 3, 5)
    assert choose_groups(kinds, times, 1) == (1,)
    assert choose_groups(kinds, times, 0) == ()


def test_what_the_time_allows() -> None:
    long = window_s(0.1)
    assert affordable_groups(0.0, 0.1, kinds=5) == 0
    few = affordable_groups(long * 1.2 * 8.1, 0.1, kinds=5)
    assert few == 4
    assert affordable_groups(long * 1.2 * 36.1, 0.1, kinds=5) == 10


def test_declared_power_is_modelled_and_no_reading_is_none() -> None:
    declared = profile(power_w=5.0)
    assert declared.energy_source == "modelled"
    some = declared.energy_of((0, 1))
    assert some is not None
    assert some.value == pytest.approx(5.0 * 0.014)
    nothing = profile()
    assert nothing.energy_source == "none"
    assert nothing.energy_of((0, 1)) is None
    assert nothing.energy_of(()) is None
    for known in (declared, profile(measured(()))):
        none = known.energy_of(())
        assert none is not None
        assert (none.value, none.low, none.high) == (0.0, 0.0, 0.0)


def test_counter_and_integrated_power_are_compared() -> None:
    energy = measured(())
    assert energy.cross_check is None
    both = tuple(dataclasses.replace(window, integrated_j=window.gross_j * 0.97) for window in energy.whole)
    assert dataclasses.replace(energy, whole=both).cross_check == pytest.approx(-0.03)


def test_readings_survive_the_file() -> None:
    made = profile(measured((0, 1)), idle_power_w=IDLE_W)
    again = Profile.from_json(made.to_json(), source="x")
    assert again == made
    assert again.energy_of((2,)) == made.energy_of((2,))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gross_j", -1.0),
        ("gross_j", 0.0),
        ("gross_j", 1e300),
        ("gross_j", "much"),
        ("seconds", 0.0),
        ("runs", 0),
        ("integrated_j", -1.0),
    ],
)
def test_absurd_readings_are_refused(field: str, value: object) -> None:
    document = json.loads(profile(measured((0,))).to_json())
    document["energy"]["whole"][0][field] = value
    with pytest.raises(OffloadError, match=r"^p\.json is damaged at energy"):
        Profile.from_json(json.dumps(document), source="p.json")


@pytest.mark.parametrize(
    "change",
    [
        {"whole": []},
        {"idle": []},
        {"sensor_period_s": 0.0},
        {"source": "guessed"},
        {"groups": [{"group": 0, "windows": []}]},
        {"groups": [{"group": 99, "windows": [{"runs": 1, "seconds": 1.0, "gross_j": 1.0}]}]},
        {"groups": [{"group": 0, "windows": [{"runs": 1, "seconds": 1.0, "gross_j": 1.0}]}] * 2},
    ],
)
def test_energy_that_is_not_of_this_profile_is_refused(change: dict[str, object]) -> None:
    document = json.loads(profile(measured((0,))).to_json())
    document["energy"] |= change
    with pytest.raises(OffloadError, match=r"^p\.json is damaged"):
        Profile.from_json(json.dumps(document), source="p.json")


def test_a_profile_without_energy_fields_still_loads() -> None:
    document = json.loads(profile(power_w=3.0).to_json())
    for field in ("energy", "energy_lost", "idle_power_w"):
        del document[field]
    old = Profile.from_json(json.dumps(document), source="p.json")
    assert old.energy_source == "modelled"
    assert old.idle_power_w is None


def test_the_power_of_a_window() -> None:
    assert EnergyWindow(runs=1, seconds=2.0, gross_j=5.0).power_w == 2.5


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Random machines: each kind has a power, each group its own around it; a few groups of each kind are measured."""
    generator = np.random.default_rng(0)
    kinds = ["conv"] * 10 + ["linear"] * 5 + ["pool"] * 4 + ["norm"] * 5
    held = asked = 0
    for _ in range(150):
        times_s = generator.uniform(0.001, 0.02, len(kinds))
        of_kind = {kind: generator.uniform(80, 300) for kind in sorted(set(kinds))}
        power_w = np.array([of_kind[kind] for kind in kinds]) * np.exp(generator.normal(0, 0.1, len(kinds)))
        joules = power_w * times_s
        chosen = choose_groups(kinds, times_s.tolist(), int(generator.integers(5, 12)))
        energy = ProfileEnergy(
            source="counter",
            sensor="x",
            sensor_period_s=1e-3,
            idle=(EnergyWindow(runs=0, seconds=1.0, gross_j=40.0),),
            whole=(EnergyWindow(runs=10, seconds=10 * times_s.sum(), gross_j=10 * joules.sum()),),
            groups=tuple(
                GroupEnergy(group=n, windows=(EnergyWindow(runs=1, seconds=1.0, gross_j=power_w[n]),)) for n in chosen
            ),
        )
        shares = GroupShares(energy, kinds, times_s)
        for _ in range(4):
            some = generator.permutation(len(kinds))[: generator.integers(1, len(kinds))].tolist()
            estimate = shares.joules_of(some, Estimate.exactly(float(times_s[some].sum())))
            held += holds(estimate.low, joules[some].sum(), estimate.high)
            asked += 1
    assert held / asked >= 0.93
