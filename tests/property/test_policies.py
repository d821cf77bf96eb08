"""Policies against brute force: at any rate and load they hold the best of all legal cuts, and what it costs."""

from __future__ import annotations

import dataclasses
import itertools
import random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.artifacts.plan import Target
from offload.artifacts.policy import Choice, Policy, PolicyRow
from offload.errors import OffloadError
from offload.graph.cuts import Cut, make_cut
from offload.planners.base import Problem
from offload.planners.costs import make_option
from offload.planners.parametric import at_point
from offload.planners.thresholds import policy
from tests import synthetic
from tests.property.test_limits_and_fronts import CLOSE, Oracle, limited, too_many_cuts
from tests.random_problems import allowed_cuts, pins_and_privacy, problem, seeds

targets = st.sampled_from(["latency", "energy", "throughput"])
planes = st.sampled_from(["latency", "energy"])


def points(of: Problem, table: Policy, seed: int) -> list[tuple[float, float]]:
    """Rates and loads anywhere in the ranges: corners, the plan's own, and where one row gives way to the next."""
    rng = random.Random(seed)
    rates, loads = (
        (table.slowest_uplink_bps, table.fastest_uplink_bps),
        (table.least_server_load, table.most_server_load),
    )
    anywhere = [
        (rates[0] * (rates[1] / rates[0]) ** rng.random(), loads[0] * (loads[1] / loads[0]) ** rng.random())
        for _ in range(12)
    ]
    borders = [(row.fastest_uplink_bps, row.most_server_load) for row in (*table.by_uplink, *table.by_load)]
    near = [
        (min(rates[1], rate * rng.uniform(0.999, 1.001)), min(loads[1], load * rng.uniform(1.0, 1.001)))
        for rate, load in rng.sample(borders, min(len(borders), 6))
    ]
    return [*itertools.product(rates, loads), (of.link.uplink_bps, of.server_load), *anywhere, *near]


def check_everywhere(of: Problem, table: Policy, cuts: list[Cut], seed: int) -> None:
    """At each point no cut that keeps to the limits is better than the policy's, which costs what the policy says."""
    for rate, load in points(of, table, seed):
        oracle = Oracle(at_point(of, uplink_bps=rate, server_load=load))
        kept = [oracle.cost(cut) for cut in cuts if oracle.keeps(cut)]
        best = table.best(uplink_bps=rate, server_load=load)
        assert (best is None) == (not kept)
        if best is None:
            continue
        cut = make_cut(of.graph, best.device_layers)
        assert cut in cuts
        assert oracle.keeps(cut)
        assert oracle.cost(cut) == pytest.approx(min(kept), rel=1e-8, abs=1e-15)
        told = max(
            terms.at(uplink_bps=rate, server_load=load, radio_fitted_to_bps=table.radio_fitted_to_bps)
            for terms in best.stages
        )
        assert told == pytest.approx(oracle.cost(cut), rel=1e-8, abs=1e-15)


@settings(max_examples=100, deadline=None)
@given(seed=seeds, target=targets, bounded=st.booleans(), pinned=st.booleans())
def test_the_policy_holds_the_best_cut_at_any_rate_and_load(
    seed: int, target: Target, bounded: bool, pinned: bool
) -> None:
    of = problem(seed, target=target, most_layers=6)
    if pinned:
        of = dataclasses.replace(of, constraints=pins_and_privacy(seed, of.graph))
    cuts = list(allowed_cuts(of))
    if not cuts:
        with pytest.raises(OffloadError):
            policy(of)
        return
    if bounded:
        limits = limited(of, seed, cuts).constraints
        together = dataclasses.replace(limits, pins=of.constraints.pins, private_depth=of.constraints.private_depth)
        of = dataclasses.replace(of, constraints=together)
    table = policy(of, loads=(1.0, 4.0))
    assert table.gap == 0
    check_everywhere(of, table, cuts, seed)


@settings(max_examples=50, deadline=None)
@given(seed=seeds, target=planes, pinned=st.booleans())
def test_the_policy_is_the_same_where_cuts_are_too_many_to_visit(seed: int, target: Target, pinned: bool) -> None:
    of = problem(seed, target=target, most_layers=6)
    if pinned:
        of = dataclasses.replace(of, constraints=pins_and_privacy(seed, of.graph))
    cuts = list(allowed_cuts(of))
    if not cuts:
        return
    with too_many_cuts():
        table = policy(of, loads=(1.0, 4.0))
    assert table.gap == 0
    check_everywhere(of, table, cuts, seed)


@settings(max_examples=50, deadline=None)
@given(seed=seeds, target=planes)
def test_what_an_unfinished_search_may_have_missed_is_bounded(seed: int, target: Target) -> None:
    of = problem(seed, target=target, most_layers=7)
    cuts = list(allowed_cuts(of))
    with too_many_cuts(), patch("offload.planners.thresholds._WORK", 1):
        table = policy(of, loads=(), tried=[frozenset(range(len(of.graph.layers)))])
    assert table.gap is not None
    assert (table.gap > 0) == (len(table.notes) == 2)
    for rate, load in points(of, table, seed):
        oracle = Oracle(at_point(of, uplink_bps=rate, server_load=load))
        best = table.best(uplink_bps=rate, server_load=load)
        assert best is not None
        least = min(oracle.cost(cut) for cut in cuts)
        assert least >= oracle.cost(make_cut(of.graph, best.device_layers)) * (1 - table.gap - CLOSE)


@settings(max_examples=50, deadline=None)
@given(seed=seeds, target=targets, bounded=st.booleans())
def test_a_policy_of_few_choices_tells_what_it_leaves_out(seed: int, target: Target, bounded: bool) -> None:
    of = problem(seed, target=target, most_layers=7)
    cuts = list(allowed_cuts(of))
    of = limited(of, seed, cuts) if bounded or target != "throughput" else of
    with patch("offload.planners.thresholds.MOST_CHOICES", 3):
        table = policy(of, loads=())
    assert table.gap is not None
    for rate, load in points(of, table, seed):
        oracle = Oracle(at_point(of, uplink_bps=rate, server_load=load))
        kept = [oracle.cost(cut) for cut in cuts if oracle.keeps(cut)]
        best = table.best(uplink_bps=rate, server_load=load)
        assert (best is None) == (not kept)
        if best is not None:
            assert oracle.cost(make_cut(of.graph, best.device_layers)) <= min(kept) * (1 + table.gap + CLOSE) + 1e-15


@settings(max_examples=40, deadline=None)
@given(seed=seeds, target=targets, bounded=st.booleans())
def test_where_cuts_are_too_many_and_no_planes_those_tried_are_compared(
    seed: int, target: Target, bounded: bool
) -> None:
    of = problem(seed, target=target, most_layers=6)
    cuts = list(allowed_cuts(of))
    of = limited(of, seed, cuts) if bounded or target != "throughput" else of
    with too_many_cuts():
        table = policy(of, loads=(1.0,), tried=[cut.device for cut in cuts])
    assert table.gap is None
    assert "others than the" in table.notes[-1]
    check_everywhere(of, table, cuts, seed)


def along(table: Policy, row: PolicyRow, part: float) -> tuple[float, float]:
    """A point of a row: the seconds a bit takes, and the load, `part` of the way from one end to the other."""
    bit_s = (1 - part) / row.fastest_uplink_bps + part / row.slowest_uplink_bps
    return 1 / bit_s, (1 - part) * row.least_server_load + part * row.most_server_load


def cost(table: Policy, choice: Choice, rate: float, load: float) -> float:
    """What the policy says of a choice."""
    return max(
        terms.at(uplink_bps=rate, server_load=load, radio_fitted_to_bps=table.radio_fitted_to_bps)
        for terms in choice.stages
    )


@settings(max_examples=100, deadline=None)
@given(seed=seeds, target=targets, bounded=st.booleans(), pinned=st.booleans())
def test_the_rows_part_the_ranges_where_the_best_choice_changes(
    seed: int, target: Target, bounded: bool, pinned: bool
) -> None:
    of = problem(seed, target=target, most_layers=6)
    cuts = list(allowed_cuts(of))
    if bounded:
        of = limited(of, seed, cuts)
    table = policy(of, loads=(1.0, 4.0))
    for row in (*table.by_uplink, *table.by_load):
        for part in (1e-6, 0.37, 0.5, 0.999):
            # Where a row begins because a better cut reaches its limit, that cut still keeps to it: hence just after.
            rate, load = along(table, row, part)
            best = table.best(uplink_bps=rate, server_load=load)
            assert best is not None
            reached = cost(table, table.choices[row.choice], rate, load)
            least = cost(table, best, rate, load)
            assert reached == pytest.approx(least, rel=1e-8, abs=1e-15) or (bounded and part == 1e-6)
    lines = [[row for row in table.by_uplink if row.least_server_load == load] for load in (1.0, 4.0, of.server_load)]
    for rows in lines:
        for slower, faster in itertools.pairwise(rows):
            assert slower.fastest_uplink_bps == faster.slowest_uplink_bps
            assert slower.choice != faster.choice
        if not bounded:
            assert rows[0].slowest_uplink_bps == 1e4
            assert rows[-1].fastest_uplink_bps == 1e11
        elif rows and rows[0].slowest_uplink_bps > 1e4:
            below = rows[0].slowest_uplink_bps * (1 - 1e-6)
            assert table.best(uplink_bps=below, server_load=rows[0].least_server_load) is None
    for less, more in itertools.pairwise(table.by_load):
        assert less.most_server_load == more.least_server_load
        assert less.choice != more.choice
    if not bounded:
        assert (table.by_load[0].least_server_load, table.by_load[-1].most_server_load) == (1.0, 100.0)


@settings(max_examples=60, deadline=None)
@given(of=synthetic.problems(targets=("latency", "energy", "throughput")), seed=seeds)
def test_what_a_choice_costs_is_what_is_predicted_over_declared_and_measured_links(of: Problem, seed: int) -> None:
    table = policy(of, loads=())
    for rate, load in points(of, table, seed):
        there = at_point(of, uplink_bps=rate, server_load=load)
        for choice in table.choices:
            option = make_option(there, make_cut(of.graph, choice.device_layers))
            predicted = option.cost(of.target)
            assert predicted is not None
            assert cost(table, choice, rate, load) == pytest.approx(predicted.value, rel=1e-9)
