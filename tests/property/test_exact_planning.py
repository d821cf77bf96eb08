"""The exact planner and all that rests on it, against brute force over every subset of the layers."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offload.artifacts.plan import Target
from offload.artifacts.profile import Profile
from offload.errors import OffloadError
from offload.graph.cuts import Cut, prefix_cuts
from offload.planners.base import Problem
from offload.planners.costs import linear_costs
from offload.planners.ideals import legal_cuts
from offload.planners.legality import legality
from offload.planners.mincut import MinCut
from offload.planners.network import CutNetwork
from offload.planners.objective import objective
from tests import synthetic
from tests.random_problems import allowed_cuts, divided_runs, pins_and_privacy, problem, seeds

CLOSE = 1e-11
MOST_LAYERS = 10


def each_layer_alone(of: Problem, rng: random.Random) -> Problem:
    """The same graph, no two layers of which are executed as one kernel, so that it has many cuts."""

    def alone(fused: Profile, scale: float) -> Profile:
        times = [scale * 10 ** rng.uniform(-4, -1) for _ in of.graph.layers]
        each = [(index,) for index in range(len(times))]
        return synthetic.profile(
            of.graph, times, rounds=1, divided=divided_runs(rng, each, sum(times)),
            power_w=fused.power_w, idle_power_w=fused.idle_power_w, protocol=fused.protocol,
            environment=fused.environment,
        )  # fmt: skip

    return dataclasses.replace(of, device=alone(of.device, 1.0), server=alone(of.server, 10 ** rng.uniform(-2, 0.3)))


def constrained(seed: int, held: int, **changes: object) -> Problem:
    """A random problem with pins and privacy, either of which may be missing, and drawn apart from the rest of it."""
    rng = random.Random(held)
    of = problem(seed, most_layers=MOST_LAYERS, **changes)  # type: ignore[arg-type]
    if rng.random() < 0.5:
        of = each_layer_alone(of, rng)
    return dataclasses.replace(of, constraints=pins_and_privacy(rng.getrandbits(32), of.graph))


def without_contradiction(of: Problem) -> Problem:
    """What the device holds only: the cut with all layers on the device keeps to that."""
    pins = {index: side for index, side in of.constraints.pins.items() if side == "device"}
    return dataclasses.replace(of, constraints=dataclasses.replace(of.constraints, pins=pins))


def check_refused(of: Problem) -> None:
    with pytest.raises(OffloadError, match="pinned"):
        legality(of)


def check_least(of: Problem, cuts: list[Cut]) -> None:
    """The least cut costs what the least of all subsets costs, and the table of cuts holds all of them."""
    legal = legality(of)
    network, table = CutNetwork(legal), legal_cuts(legal)
    assert table is not None
    visited = [table.device(cut) for cut in range(table.size)]
    assert len(visited) == len(set(visited)) == len(cuts)
    for target in ("latency", "energy"):
        costs = linear_costs(dataclasses.replace(of, target=target))
        by_device = {cut.device: costs.of(cut) for cut in cuts}
        assert by_device[network.least(costs)] <= min(by_device.values()) * (1 + CLOSE)
        assert table.sums(costs).tolist() == pytest.approx([by_device[each] for each in visited], rel=1e-9)


def features(of: Problem, cuts: list[Cut]) -> dict[str, bool]:
    """What of the planner a problem puts to the test."""
    graph, pins, private = of.graph, bool(of.constraints.pins), of.constraints.private_depth is not None
    kernels = [group.layers for side in (of.device, of.server) for group in side.groups]
    return {
        "pins alone": pins and not private,
        "privacy alone": private and not pins,
        "pins and privacy": pins and private,
        "neither": not pins and not private,
        "contradiction": not cuts,
        "ten cuts or more": len(cuts) >= 10,
        "ten layers": len(graph.layers) == MOST_LAYERS,
        "kernels of several layers": any(len(layers) > 1 for layers in kernels),
        "tensors read by several layers": any(len(readers) > 1 for readers in graph.consumers.values()),
        "layers with several results": any(len(layer.outputs) > 1 for layer in graph.layers),
        "several inputs": len(graph.inputs) > 1,
        "several outputs": len(graph.outputs) > 1,
    }


@pytest.mark.parametrize("problems", [500, pytest.param(2000, marks=pytest.mark.slow)])
def test_the_least_latency_and_energy_of_all_cuts_that_keep_to_pins_and_privacy(problems: int) -> None:
    met: set[tuple[int, int]] = set()
    having: Counter[str] = Counter()

    @settings(max_examples=problems + problems // 20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(seed=seeds, held=seeds)
    def check(seed: int, held: int) -> None:
        of = constrained(seed, held)
        cuts = list(allowed_cuts(of))
        if (seed, held) not in met:
            met.add((seed, held))
            having.update(features(of, cuts))
        if not cuts:
            check_refused(of)
            of = without_contradiction(of)
            cuts = list(allowed_cuts(of))
        check_least(of, cuts)

    check()
    assert len(met) >= problems, "each problem counts once, and each had cuts to compare"
    assert all(count >= problems // 25 for count in having.values()), having


@settings(max_examples=150, deadline=None)
@given(seed=seeds, held=seeds, target=st.sampled_from(["latency", "energy"]))
def test_a_ranking_without_visiting_every_cut_is_exact_all_the_same(seed: int, held: int, target: Target) -> None:
    of = constrained(seed, held, target=target)
    if not list(allowed_cuts(of)):
        of = without_contradiction(of)
    costs = linear_costs(of)
    by_device = {cut.device: costs.of(cut) for cut in allowed_cuts(of)}
    visited = MinCut().rank(of)
    with patch("offload.planners.mincut.legal_cuts", return_value=None):
        searched = MinCut().rank(of)
    for ranking in (visited, searched):
        assert ranking.exact
        assert ranking.bound == pytest.approx(min(by_device.values()), rel=1e-9)
        devices = [frozenset(option.device_layers) for option in ranking.options]
        assert set(devices) <= set(by_device)
    best_of_each = sorted(by_device.values())[: len(visited.options)]
    assert [objective(of, option) for option in visited.options] == pytest.approx(best_of_each, rel=1e-9)
    assert (visited.legal_cuts, searched.legal_cuts) == (len(by_device), None)


@settings(max_examples=300, deadline=None)
@given(seed=seeds, held=seeds)
def test_the_prefixes_that_are_allowed(seed: int, held: int) -> None:
    of = without_contradiction(constrained(seed, held))
    legal = legality(of)
    wanted = [len(cut.device) for cut in prefix_cuts(of.graph) if legal.allows(cut.device)]
    assert legal.prefix_lengths() == wanted
