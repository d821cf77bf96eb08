"""The exact planner and all that rests on it, against brute force over every subset of the layers."""

from __future__ import annotations

import dataclasses
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.artifacts.plan import Target
from offload.errors import OffloadError
from offload.planners.base import Problem
from offload.planners.costs import linear_costs
from offload.planners.ideals import legal_cuts
from offload.planners.legality import legality
from offload.planners.mincut import MinCut
from offload.planners.network import CutNetwork
from offload.planners.objective import objective
from tests.random_problems import allowed_cuts, pins_and_privacy, problem, seeds

CLOSE = 1e-11


def check_least(of: Problem) -> None:
    """The least cut costs what the least of all subsets costs; contradictory constraints are refused."""
    cuts = list(allowed_cuts(of))
    if not cuts:
        with pytest.raises(OffloadError, match="pinned"):
            legality(of)
        return
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


@settings(max_examples=2000, deadline=None)
@given(seed=seeds)
def test_the_least_latency_and_energy_of_all_legal_cuts(seed: int) -> None:
    check_least(problem(seed))


@settings(max_examples=500, deadline=None)
@given(seed=seeds)
def test_the_least_of_all_cuts_that_keep_to_pins_and_privacy(seed: int) -> None:
    of = problem(seed)
    check_least(dataclasses.replace(of, constraints=pins_and_privacy(seed, of.graph)))


@settings(max_examples=150, deadline=None)
@given(seed=seeds, target=st.sampled_from(["latency", "energy"]))
def test_a_ranking_without_visiting_every_cut_is_exact_all_the_same(seed: int, target: Target) -> None:
    of = problem(seed, target=target, most_layers=7)
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
