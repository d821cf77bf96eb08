"""Limits, throughput and fronts against brute force, where cuts are visited and where they are too many."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.artifacts.plan import Option, Side
from offload.errors import VerdictError
from offload.graph.cuts import Cut, make_cut
from offload.graph.model_graph import ModelGraph
from offload.planners.base import Constraints, Problem
from offload.planners.costs import linear_costs, stage_costs
from offload.planners.mincut import MinCut
from offload.planners.pareto import pareto_front
from tests.random_problems import allowed_cuts, problem, seeds

some = settings(max_examples=150, deadline=None)
CLOSE = 1e-9


@contextlib.contextmanager
def too_many_cuts() -> Iterator[None]:
    """As if no search could visit all legal cuts."""
    with contextlib.ExitStack() as stack:
        for module in ("mincut", "pareto", "thresholds"):
            stack.enter_context(patch(f"offload.planners.{module}.legal_cuts", return_value=None))
        yield


class Oracle:
    """What a cut of a problem takes."""

    def __init__(self, of: Problem) -> None:
        self.of = of
        self.latency = linear_costs(dataclasses.replace(of, target="latency"))
        self.energy = linear_costs(dataclasses.replace(of, target="energy"))
        self.stages = stage_costs(of)

    def cost(self, cut: Cut) -> float:
        if self.of.target == "throughput":
            return max(stage.of(cut) for stage in self.stages)
        return (self.latency if self.of.target == "latency" else self.energy).of(cut)

    def keeps(self, cut: Cut) -> bool:
        limits, graph = self.of.constraints, self.of.graph
        return all(
            most is None or figure(cut) <= most * (1 + CLOSE)
            for most, figure in (
                (limits.max_latency_s, self.latency.of),
                (limits.max_energy_j, self.energy.of),
                (limits.device_memory_bytes, lambda each: memory_bytes(graph, each, "device")),
                (limits.server_memory_bytes, lambda each: memory_bytes(graph, each, "server")),
            )
        )


def memory_bytes(graph: ModelGraph, cut: Cut, side: Side) -> float:
    """Weights, and the most of the tensors that live at once, by walking through the side's layers."""
    here = [index for index in range(len(graph.layers)) if (index in cut.device) == (side == "device")]
    read = {name for index in here for name in graph.layers[index].inputs}
    made = {name for index in here for name in graph.layers[index].outputs}
    given_to = read - made
    given_by = (set(cut.crossing) if side == "device" else set()) | set(graph.outputs)
    live, most = set(given_to), sum(graph.tensor_by_name[name].size_bytes for name in given_to)
    for step, index in enumerate(here):
        live |= set(graph.layers[index].outputs)
        most = max(most, sum(graph.tensor_by_name[name].size_bytes for name in live))
        later = {name for other in here[step + 1 :] for name in graph.layers[other].inputs}
        live = {name for name in live if name in later or name in given_to or name in given_by}
    return most + sum(graph.layers[index].weight_bytes for index in here)


def limited(of: Problem, seed: int, cuts: list[Cut]) -> Problem:
    """The problem with one to three limits, each drawn near what some cut takes."""
    rng, graph, oracle = random.Random(seed), of.graph, Oracle(of)
    figures = {
        "max_latency_s": oracle.latency.of,
        "max_energy_j": oracle.energy.of,
        "device_memory_bytes": lambda cut: memory_bytes(graph, cut, "device"),
        "server_memory_bytes": lambda cut: memory_bytes(graph, cut, "server"),
    }
    drawn = {
        name: figures[name](rng.choice(cuts)) * rng.choice([0.8, 1.0001, 1.3])
        for name in rng.sample(sorted(figures), rng.randint(1, 3))
    }
    return dataclasses.replace(of, constraints=Constraints(**drawn))


@some
@given(seed=seeds, target=st.sampled_from(["latency", "energy", "throughput"]))
def test_the_best_cut_within_limits(seed: int, target: str) -> None:
    of = problem(seed, target=target, most_layers=6)
    cuts = list(allowed_cuts(of))
    of = limited(of, seed, cuts)
    oracle = Oracle(of)
    kept = [oracle.cost(cut) for cut in cuts if oracle.keeps(cut)]
    if not kept:
        for search in (contextlib.nullcontext(), too_many_cuts()):
            with search, pytest.raises(VerdictError, match=r"short|no cut"):
                MinCut().rank(of)
        return
    visited = MinCut().rank(of)
    assert visited.exact
    assert visited.legal_cuts == len(cuts)
    assert visited.bound == pytest.approx(min(kept), rel=CLOSE)
    assert all(oracle.keeps(make_cut(of.graph, option.device_layers)) for option in visited.options)
    with too_many_cuts(), contextlib.suppress(VerdictError):
        searched = MinCut().rank(of)
        best = make_cut(of.graph, searched.options[0].device_layers)
        assert oracle.keeps(best)
        assert searched.bound is not None
        assert searched.bound <= min(kept) * (1 + CLOSE)
        if searched.exact:
            assert oracle.cost(best) == pytest.approx(min(kept), rel=1e-6)


@some
@given(seed=seeds)
def test_throughput_is_the_least_of_the_slowest_stages(seed: int) -> None:
    of = problem(seed, target="throughput", most_layers=7)
    oracle = Oracle(of)
    least = min(oracle.cost(cut) for cut in allowed_cuts(of))
    visited = MinCut().rank(of)
    assert visited.exact
    assert visited.bound == pytest.approx(least, rel=CLOSE)
    with too_many_cuts():
        searched = MinCut().rank(of)
    reached = oracle.cost(make_cut(of.graph, searched.options[0].device_layers))
    assert searched.bound is not None
    assert searched.bound <= least * (1 + CLOSE)
    assert not searched.exact or reached == pytest.approx(least, rel=1e-6)
    assert searched.legal_cuts is None


def figures(options: tuple[Option, ...]) -> list[tuple[float, float]]:
    return [(option.breakdown.latency_s.value, option.breakdown.energy_j.value) for option in options]  # type: ignore[union-attr]


@some
@given(seed=seeds)
def test_the_front_holds_all_that_no_cut_beats_in_both(seed: int) -> None:
    of = problem(seed, most_layers=7)
    oracle = Oracle(of)
    points = sorted((oracle.latency.of(cut), oracle.energy.of(cut)) for cut in allowed_cuts(of))
    expected: list[tuple[float, float]] = []
    for point in points:
        if not expected or point[1] < expected[-1][1] * (1 - CLOSE):
            expected.append(point)
    front = pareto_front(of)
    assert front.exact
    found = figures(front.options)
    assert found == sorted(found)
    for seconds, joules in expected:
        assert any(s <= seconds * (1 + CLOSE) and j <= joules * (1 + CLOSE) for s, j in found)
    for seconds, joules in found:
        assert any(s >= seconds * (1 - CLOSE) and j >= joules * (1 - CLOSE) for s, j in expected)
    with too_many_cuts():
        supported = pareto_front(of)
    assert not supported.exact
    for weight in (0.0, 0.01, 0.3, 0.5, 0.9, 1.0):
        least = min((1 - weight) * seconds + weight * joules for seconds, joules in points)
        reached = min((1 - weight) * seconds + weight * joules for seconds, joules in figures(supported.options))
        assert reached == pytest.approx(least, rel=CLOSE)
