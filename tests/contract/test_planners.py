"""What every planner promises, whatever its algorithm."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.artifacts.link import Link
from offload.artifacts.plan import Side
from offload.errors import OffloadError, VerdictError
from offload.graph.cuts import Cut, is_legal, make_cut, prefix_cuts
from offload.planners.base import Constraints, Planner, Problem
from offload.planners.costs import make_option, tears_kernel
from offload.planners.deepcod import DeepCOD
from offload.planners.maui import Maui
from offload.planners.mincut import MinCut
from offload.planners.neurosurgeon import Neurosurgeon
from offload.planners.objective import objective
from offload.planners.plan import PLANNERS, make_plan
from tests import synthetic
from tests.random_problems import allowed_cuts

every_planner = pytest.mark.parametrize("planner", PLANNERS.values(), ids=list(PLANNERS))
BY_COST = [name for name in PLANNERS if name != Maui.name]
"""MAUI chooses by history, so its first option need not be its best."""
every_planner_by_cost = pytest.mark.parametrize("planner", [PLANNERS[name] for name in BY_COST], ids=BY_COST)
some = settings(max_examples=40, deadline=None)


def prefixes(problem: Problem) -> list[Cut]:
    """Brute force: prefix cuts at the borders of both sides' kernels."""
    return [
        cut
        for cut in prefix_cuts(problem.graph)
        if not tears_kernel(problem.device, cut) and not tears_kernel(problem.server, cut)
    ]


def searched(planner: Planner, problem: Problem) -> list[Cut]:
    """Brute force: the cuts that a planner chooses among."""
    return list(allowed_cuts(problem)) if planner.name in (MinCut.name, DeepCOD.name) else prefixes(problem)


def best_prefix(problem: Problem) -> float:
    """The least objective over prefix cuts."""
    return min(objective(problem, make_option(problem, cut)) for cut in prefixes(problem))


@every_planner_by_cost
@some
@given(problem=synthetic.problems())
def test_the_first_is_best_and_no_worse_than_either_baseline(planner: Planner, problem: Problem) -> None:
    ranked = planner.rank(problem).options
    values = [objective(problem, option) for option in ranked]
    assert values == sorted(values)
    baselines = {option.place: option for option in ranked if option.place != "both"}
    assert set(baselines) == {"device", "server"}
    assert values[0] <= min(objective(problem, option) for option in baselines.values())


@every_planner_by_cost
@some
@given(problem=synthetic.problems())
def test_no_worse_than_brute_force_over_prefixes(planner: Planner, problem: Problem) -> None:
    found = objective(problem, planner.rank(problem).options[0])
    if planner.name == Neurosurgeon.name:
        assert found == best_prefix(problem)
    assert found <= best_prefix(problem) * (1 + 1e-12)


@every_planner
@some
@given(problem=synthetic.problems())
def test_options_are_legal_and_send_each_crossing_tensor_once(planner: Planner, problem: Problem) -> None:
    graph = problem.graph
    for option in planner.rank(problem).options:
        here = set(option.device_layers)
        assert is_legal(graph, here)
        crossing = {
            name
            for index, layer in enumerate(graph.layers)
            if index not in here
            for name in layer.inputs
            if name in graph.inputs or graph.producer[name] in here
        }
        assert sorted(tensor.name for tensor in option.sends) == sorted(crossing)
        assert option.uplink_bytes == sum(graph.tensor_by_name[name].size_bytes for name in crossing)
        assert option.downlink_bytes == sum(
            graph.tensor_by_name[name].size_bytes for name in graph.outputs if graph.producer[name] not in here
        )
        if option.place == "device":
            assert option.uplink_bytes == option.downlink_bytes == 0
            assert option.breakdown.uplink_s.value == option.breakdown.server_s.value == 0


@every_planner
@some
@given(problem=synthetic.problems())
def test_planners_are_pure(planner: Planner, problem: Problem) -> None:
    assert planner.rank(problem) == planner.rank(problem)


@every_planner
def test_a_tensor_read_twice_is_sent_once(planner: Planner) -> None:
    graph = synthetic.chain()
    layers = (*graph.layers[:2], dataclasses.replace(graph.layers[2], inputs=("t0", "t1")))
    graph = dataclasses.replace(graph, layers=layers)
    problem = synthetic.problem(
        device=synthetic.profile(graph), server=synthetic.profile(graph, (0.001, 0.0001, 0.0004))
    )
    after_first = next(option for option in planner.rank(problem).options if option.device_layers == (0,))
    assert [tensor.name for tensor in after_first.sends] == ["t0"]
    assert after_first.uplink_bytes == 2400


@every_planner
def test_a_slow_link_keeps_everything_and_a_fast_one_sends_it(planner: Planner) -> None:
    slow = Link(uplink_bps=1e4, downlink_bps=1e4, rtt_s=0.1)
    fast = Link(uplink_bps=1e10, downlink_bps=1e10, rtt_s=0.0)
    assert planner.rank(synthetic.problem(link=slow)).options[0].place == "device"
    assert planner.rank(synthetic.problem(link=fast)).options[0].place == "server"


@every_planner
@some
@given(problem=synthetic.problems(), pinned=st.integers(0, 6), side=st.sampled_from(["device", "server"]))
def test_pins_hold_for_whole_kernels_and_are_told(planner: Planner, problem: Problem, pinned: int, side: Side) -> None:
    index = min(pinned, len(problem.graph.layers) - 1)
    problem = dataclasses.replace(problem, constraints=Constraints(pins={index: side}))
    ranking = planner.rank(problem)
    for option in ranking.options:
        here = set(option.device_layers)
        assert (index in here) == (side == "device")
        assert is_legal(problem.graph, here)
        cut = make_cut(problem.graph, here)
        assert not tears_kernel(problem.device, cut)
        assert not tears_kernel(problem.server, cut)
    torn = any(index in group.layers and len(group.layers) > 1 for group in problem.device.groups)
    assert not torn or any(problem.graph.layers[index].name in note for note in ranking.notes)


@every_planner
@some
@given(problem=synthetic.problems(), depth=st.integers(0, 6))
def test_nothing_above_the_private_depth_is_sent(planner: Planner, problem: Problem, depth: int) -> None:
    depth = min(depth, len(problem.graph.layers) - 1)
    problem = dataclasses.replace(problem, constraints=Constraints(private_depth=depth))
    above = {*problem.graph.inputs, *(name for layer in problem.graph.layers[:depth] for name in layer.outputs)}
    for option in planner.rank(problem).options:
        assert depth in option.device_layers
        assert not above & {tensor.name for tensor in option.sends}


@every_planner
@some
@given(problem=synthetic.problems(), part=st.floats(0.5, 2.0))
def test_every_option_keeps_to_the_limits(planner: Planner, problem: Problem, part: float) -> None:
    free = planner.rank(problem).options
    most = free[len(free) // 2].breakdown.latency_s.value * part
    limited = dataclasses.replace(problem, constraints=Constraints(max_latency_s=most))
    least = min(make_option(problem, cut).breakdown.latency_s.value for cut in searched(planner, problem))
    try:
        found = planner.rank(limited).options
    except VerdictError:
        assert least > most, "a cut that the planner searches keeps to the limit"
        return
    assert all(option.breakdown.latency_s.value <= most * (1 + 1e-8) for option in found)
    kept = [objective(limited, option) for option in free if option.breakdown.latency_s.value <= most]
    if planner.name in BY_COST:
        assert objective(limited, found[0]) <= min(kept, default=math.inf) * (1 + 1e-9)


@every_planner
@some
@given(problem=synthetic.problems(targets=("latency", "energy", "throughput")))
def test_what_is_said_of_the_search_is_true(planner: Planner, problem: Problem) -> None:
    ranking = planner.rank(problem)
    first = objective(problem, ranking.options[0])
    assert ranking.considered >= len(ranking.options)
    assert len({option.device_layers for option in ranking.options}) == len(ranking.options)
    assert ranking.bound is None or ranking.bound <= first
    assert not ranking.exact or ranking.bound == first


@every_planner
@pytest.mark.parametrize(
    ("pins", "depth", "said"),
    [
        ({2: "device", 0: "server"}, None, "layer2 is pinned to the device but comes after layer0"),
        ({1: "server"}, 1, "layer1 is pinned to the server, but --private-depth layer1"),
        ({0: "server"}, 2, "layer0 is pinned to the server, but --private-depth layer2"),
        ({7: "server"}, None, "no layer 7: the model has 3"),
        ({}, 3, "no layer 3: the model has 3"),
    ],
)
def test_contradictory_pins_are_one_line_that_names_both(
    planner: Planner, pins: dict[int, Side], depth: int | None, said: str
) -> None:
    problem = synthetic.problem(constraints=Constraints(pins=pins, private_depth=depth))
    with pytest.raises(OffloadError, match=said) as raised:
        planner.rank(problem)
    assert "\n" not in raised.value.message
    assert raised.value.exit_code == 1


@every_planner
def test_pins_of_one_kernel_to_both_sides_contradict(planner: Planner) -> None:
    device = synthetic.profile(groups=[(0,), (1, 2)], times_s=(0.01, 0.005))
    problem = synthetic.problem(device=device, constraints=Constraints(pins={1: "device", 2: "server"}))
    with pytest.raises(OffloadError, match=r"layer1 is pinned to the device and layer2 to the server.*one kernel"):
        planner.rank(problem)


@every_planner
@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (
            Constraints(max_latency_s=0.001),
            r"the least latency any (prefix )?cut reaches is 3\.57 ms, --max-latency asks for 1\.00 ms: 2\.57 ms short",
        ),
        (
            Constraints(max_latency_s=0.001, device_memory_bytes=1e9),
            r"the least latency any (prefix )?cut within the other limits reaches is 3\.57 ms",
        ),
        (
            Constraints(device_memory_bytes=10, server_memory_bytes=10),
            r"the least (device|server) memory .* asks for 10 B",
        ),
    ],
)
def test_the_verdict_names_the_limit_and_how_short_it_falls(planner: Planner, limits: Constraints, said: str) -> None:
    with pytest.raises(VerdictError, match=said) as raised:
        planner.rank(synthetic.problem(constraints=limits))
    assert raised.value.exit_code == 4


@every_planner
def test_a_plan_names_its_planner_and_what_it_cannot_tell_apart(planner: Planner) -> None:
    noisy = synthetic.profile(whole_s=(0.010, 0.02, 0.012, 0.018, 0.015))
    plan = make_plan(synthetic.problem(device=noisy), planner=planner, device_hash="d", server_hash="e")
    assert plan.planner == planner.name
    assert plan.chosen not in plan.alternatives
    assert len(plan.alternatives) <= 5
    assert plan.device_only.place == "device"
    assert plan.server_only.place == "server"
