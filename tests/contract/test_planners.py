"""What every planner promises, whatever its algorithm."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings

from offload.artifacts.link import Link
from offload.graph.cuts import is_legal, prefix_cuts
from offload.planners.base import Planner, Problem
from offload.planners.costs import make_option, tears_kernel
from offload.planners.neurosurgeon import Neurosurgeon
from offload.planners.objective import objective
from offload.planners.plan import PLANNERS, make_plan
from tests import synthetic

every_planner = pytest.mark.parametrize("planner", PLANNERS.values(), ids=list(PLANNERS))
some = settings(max_examples=40, deadline=None)


def best_prefix(problem: Problem) -> float:
    """Brute force: the least objective over prefix cuts at the borders of both sides' kernels."""
    return min(
        objective(problem, make_option(problem, cut))
        for cut in prefix_cuts(problem.graph)
        if not tears_kernel(problem.device, cut) and not tears_kernel(problem.server, cut)
    )


@every_planner
@some
@given(problem=synthetic.problems())
def test_the_first_is_best_and_no_worse_than_either_baseline(planner: Planner, problem: Problem) -> None:
    ranked = planner.rank(problem).options
    values = [objective(problem, option) for option in ranked]
    assert values == sorted(values)
    baselines = {option.place: option for option in ranked if option.place != "both"}
    assert set(baselines) == {"device", "server"}
    assert values[0] <= min(objective(problem, option) for option in baselines.values())


@every_planner
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
def test_a_plan_names_its_planner_and_what_it_cannot_tell_apart(planner: Planner) -> None:
    noisy = synthetic.profile(whole_s=(0.010, 0.02, 0.012, 0.018, 0.015))
    plan = make_plan(synthetic.problem(device=noisy), planner=planner, device_hash="d", server_hash="e")
    assert plan.planner == planner.name
    assert plan.chosen not in plan.alternatives
    assert len(plan.alternatives) <= 5
    assert plan.device_only.place == "device"
    assert plan.server_only.place == "server"
