"""Limits, throughput, fronts and thresholds against brute force, where cuts are visited and where they are too many."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import random
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.artifacts.plan import Option, Side
from offload.artifacts.policy import PolicyRow
from offload.errors import VerdictError
from offload.graph.cuts import Cut, make_cut
from offload.graph.model_graph import ModelGraph
from offload.planners.base import Constraints, Problem
from offload.planners.costs import linear_costs, stage_costs
from offload.planners.mincut import MinCut
from offload.planners.pareto import pareto_front
from offload.planners.thresholds import policy
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


def check_rows(of: Problem, rows: tuple[PolicyRow, ...], cuts: list[Cut]) -> None:
    """In each row, at its ends and within, no cut that keeps to the limits is better.

    Where a row begins because a better cut reaches its limit, that cut still keeps to it: hence just after.
    """
    for row in rows:
        for part in (1e-6, 0.37, 0.5, 1.0):
            seconds_per_bit = (1 - part) / row.fastest_uplink_bps + part / row.slowest_uplink_bps
            load = (1 - part) * row.least_server_load + part * row.most_server_load
            link = of.link.at_rates(uplink_bps=1 / seconds_per_bit, downlink_bps=of.link.downlink_bps)
            there = dataclasses.replace(of, link=link, server_load=load)
            oracle = Oracle(there)
            least = min(oracle.cost(cut) for cut in cuts if oracle.keeps(cut) or cut.device == set(row.device_layers))
            chosen = make_cut(of.graph, row.device_layers)
            assert oracle.cost(chosen) == pytest.approx(least, rel=1e-8)
            assert oracle.keeps(chosen) or part == 1.0


@settings(max_examples=40, deadline=None)
@given(seed=seeds, target=st.sampled_from(["latency", "energy"]), bounded=st.booleans())
def test_each_threshold_parts_the_best_cuts(seed: int, target: str, bounded: bool) -> None:
    of = problem(seed, target=target, most_layers=5)
    cuts = list(allowed_cuts(of))
    if bounded:
        of = limited(of, seed, cuts)
    tables = [policy(of, loads=(1.0, 4.0))]
    if not bounded:
        with too_many_cuts():
            tables.append(policy(of, loads=(1.0, 4.0)))
    for table in tables:
        by_load = {load: [r for r in table.by_uplink if r.least_server_load == load] for load in (1.0, 4.0)}
        for load, rows in by_load.items():
            check_rows(dataclasses.replace(of, server_load=load), tuple(rows), cuts)
            for slower, faster in itertools.pairwise(rows):
                assert slower.fastest_uplink_bps == pytest.approx(faster.slowest_uplink_bps)
                assert slower.device_layers != faster.device_layers
            for rate in (10.0**exponent for exponent in range(4, 12)):
                if not any(row.slowest_uplink_bps <= rate <= row.fastest_uplink_bps for row in rows):
                    link = of.link.at_rates(uplink_bps=rate, downlink_bps=of.link.downlink_bps)
                    oracle = Oracle(dataclasses.replace(of, link=link, server_load=load))
                    assert not any(oracle.keeps(cut) for cut in cuts)
            if not bounded:
                assert rows[0].slowest_uplink_bps == 1e4
                assert rows[-1].fastest_uplink_bps == 1e11
        check_rows(of, table.by_load, cuts)
        if not bounded:
            assert (table.by_load[0].least_server_load, table.by_load[-1].most_server_load) == (1.0, 100.0)
