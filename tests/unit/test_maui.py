"""MAUI chooses by what the kernel of the same kind before took; what it reports is what the kernels take."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings

from offload.artifacts.link import Link
from offload.artifacts.profile import Profile
from offload.graph.cuts import make_cut
from offload.graph.model_graph import LayerKind, ModelGraph
from offload.planners.base import Problem
from offload.planners.costs import linear_costs, make_option
from offload.planners.maui import Maui, remembered
from offload.planners.neurosurgeon import Neurosurgeon
from offload.planners.objective import objective
from offload.planners.plan import make_plan
from tests import synthetic

KINDS: tuple[LayerKind, ...] = ("conv", "linear", "linear", "linear")
DEVICE_S = (0.010, 0.100, 0.002, 0.001)
SERVER_S = (0.001, 0.010, 0.0002, 0.0001)


def graph() -> ModelGraph:
    """A convolution whose output is small, then fully connected layers, of which the first is large."""
    chain = synthetic.chain(floats=(12_500, 1250, 100, 100, 10), flops=(10, 10, 10, 10))
    layers = tuple(dataclasses.replace(layer, kind=kind) for layer, kind in zip(chain.layers, KINDS, strict=True))
    return dataclasses.replace(chain, layers=layers)


def problem(**changes: object) -> Problem:
    """At 10 Mbit/s the input takes 40 ms and the convolution's output 4 ms."""
    fields: dict[str, object] = {
        "device": synthetic.profile(graph(), DEVICE_S),
        "server": synthetic.profile(graph(), SERVER_S),
        "link": Link(uplink_bps=10e6, downlink_bps=1e12, rtt_s=0.0),
    }
    return synthetic.problem(**(fields | changes))


def test_each_layer_is_predicted_by_the_one_of_its_kind_before_it() -> None:
    costs = remembered(problem(), linear_costs(problem()))
    assert costs.device == pytest.approx((0.010, 0.001, 0.100, 0.002))
    assert costs.server == pytest.approx((0.001, 0.0001, 0.010, 0.0002))
    assert costs.up == linear_costs(problem()).up


def test_the_large_layer_looks_small_and_the_next_one_large() -> None:
    """It computes the large one here, for 100 ms, where sending what the convolution made takes 4 ms."""
    (by_history, *_), (best, *_) = Maui().rank(problem()).options, Neurosurgeon().rank(problem()).options
    assert best.device_layers == (0,)
    assert by_history.device_layers == (0, 1)
    assert by_history.breakdown.latency_s.value == pytest.approx(0.010 + 0.100 + 0.00032 + 0.0003, rel=1e-6)
    assert best.breakdown.latency_s.value == pytest.approx(0.010 + 0.004 + 0.0103, rel=1e-6)


def test_kernels_are_remembered_whole() -> None:
    fused: dict[str, Profile] = {
        "device": synthetic.profile(graph(), (0.110, 0.002, 0.001), groups=[(0, 1), (2,), (3,)]),
        "server": synthetic.profile(graph(), (0.011, 0.0002, 0.0001), groups=[(0, 1), (2,), (3,)]),
    }
    costs = remembered(problem(**fused), linear_costs(problem(**fused)))
    assert costs.device == pytest.approx((0.110, 0, 0.001, 0.002)), "the first kernel is the only convolution"


def test_kinds_with_one_layer_each_are_planned_as_neurosurgeon_does() -> None:
    for rate_bps in (1e5, 1e7, 1e8, 1e9):
        alike = synthetic.problem(link=Link(uplink_bps=rate_bps, downlink_bps=rate_bps, rtt_s=0.0))
        assert Maui().rank(alike) == Neurosurgeon().rank(alike)


@settings(max_examples=60, deadline=None)
@given(problem=synthetic.problems(targets=("latency", "energy", "throughput")))
def test_never_better_than_neurosurgeon_and_the_rest_by_their_cost(problem: Problem) -> None:
    ours, theirs = Maui().rank(problem), Neurosurgeon().rank(problem)
    values = [objective(problem, option) for option in ours.options]
    assert values[0] >= objective(problem, theirs.options[0]) * (1 - 1e-12)
    assert values[1:] == sorted(values[1:])
    assert not ours.exact
    assert ours.bound is None


def test_a_plan_shows_what_neurosurgeon_would_choose() -> None:
    plan = make_plan(problem(), planner=Maui(), device_hash="d", server_hash="e")
    assert plan.planner == "maui"
    assert plan.chosen.device_layers == (0, 1)
    assert plan.paper_choice is not None
    assert plan.paper_choice.device_layers == (0,)
    assert plan.chosen == make_option(problem(), make_cut(graph(), (0, 1)))
