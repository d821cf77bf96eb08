"""Replaying traces, against walking through them in tiny steps and against the plan's own predictions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.artifacts.plan import Plan
from offload.artifacts.simulation import Simulation, StrategyRun
from offload.graph.cuts import make_cut
from offload.planners.base import Problem
from offload.planners.costs import predict
from offload.planners.mincut import MinCut
from offload.planners.parametric import at_point
from offload.planners.plan import make_plan
from offload.simulation.replay import simulate
from offload.simulation.requests import Conditions, candidates, time_requests
from offload.simulation.traces import Trace
from tests.synthetic import problems

RATES, LOADS = st.floats(1e5, 1e9), st.floats(1, 50)


@st.composite
def traces(draw: st.DrawFn, values: st.SearchStrategy[float]) -> Trace:
    """Up to six steps of 50 ms to 3 s; with values that may be 0, at least one above it."""
    steps = draw(st.lists(st.floats(0.05, 3.0), min_size=1, max_size=6))
    edges = np.concatenate([[0.0], np.cumsum(steps)]).tolist()
    each = [draw(values) for _ in steps]
    if not any(each):
        each[-1] = 1.0
    return Trace(starts_s=tuple(edges[:-1]), values=tuple(each), period_s=edges[-1])


def plan_of(problem: Problem) -> Plan:
    return make_plan(problem, planner=MinCut(), device_hash="d" * 64, server_hash="e" * 64)


@settings(max_examples=60, deadline=None)
@given(trace=traces(st.sampled_from([0.0, 0.5, 1.0, 3.0])), start=st.floats(0, 20), amount=st.floats(0.01, 10))
def test_an_amount_passes_as_in_tiny_steps(trace: Trace, start: float, amount: float) -> None:
    step = 1e-3
    horizon_s = (amount / trace.between(0.0, trace.period_s) + 2) * trace.period_s
    times = start + (np.arange(int(horizon_s / step)) + 0.5) * step
    passed = np.cumsum(trace.at(times)) * step
    brute = start + step * (1 + np.searchsorted(passed, amount))
    end = float(trace.finish([start], amount)[0])
    assert trace.between(start, end) == pytest.approx(amount, rel=1e-9, abs=1e-9)
    # each border of a step is met within one tiny step, and a border may be followed by a pause
    tolerance = 3.0 * step * (2 + len(trace.values) * (horizon_s / trace.period_s + 1))
    assert float(trace.between(start, brute)) == pytest.approx(amount, abs=tolerance)
    assert trace.between(start, max(start, end - 1e-6)) < amount, "not before: nothing is waited for"


@settings(max_examples=60, deadline=None)
@given(problem=problems(), rate=RATES, load=LOADS)
def test_at_a_constant_rate_and_load_every_option_takes_what_the_plan_predicts(
    problem: Problem, rate: float, load: float
) -> None:
    plan, starts = plan_of(problem), np.array([0.0, 0.3, 17.0])
    for there, at in (
        (problem, (problem.link.uplink_bps, problem.server_load)),
        (at_point(problem, uplink_bps=rate, server_load=load), (rate, load)),
    ):
        conditions = Conditions(plan=plan, uplink_bps=Trace.constant(at[0]), server_load=Trace.constant(at[1]))
        for candidate in candidates(plan):
            timed = time_requests(candidate, conditions, starts)
            expected = predict(there, make_cut(problem.graph, frozenset(candidate.device_layers)))
            assert timed.latency_s == pytest.approx(expected.latency_s.value, rel=1e-9, abs=1e-9)
            assert expected.energy_j is not None
            assert timed.energy_j is not None
            assert timed.energy_j == pytest.approx(expected.energy_j.value, rel=1e-6, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(problem=problems(), uplink=traces(RATES), load=traces(LOADS))
def test_a_request_under_changing_conditions_is_the_sum_of_its_parts(
    problem: Problem, uplink: Trace, load: Trace
) -> None:
    """The oracle walks: bits pass at the rate of each tiny step, then the server computes at the load of each."""
    plan = plan_of(problem)
    conditions = Conditions(plan=plan, uplink_bps=uplink, server_load=load)
    for candidate in candidates(plan)[:3]:
        timed, predicted = time_requests(candidate, conditions, np.array([0.4])), candidate.breakdown
        samples = problem.device.protocol
        sends = len(candidate.device_layers) < len(problem.graph.layers)
        paced = problem.link.uplink_curve is None and sends and samples
        bits = 8 * (candidate.uplink_bytes + (samples[0].uplink_message_bytes if paced else 0))
        sent = 0.4 + predicted.device_s.value + predicted.encode_s.value
        end = sent + float(timed.sending_s[0])
        assert uplink.between(sent, end) == pytest.approx(bits, rel=1e-6, abs=1)
        begun = end + predicted.uplink_s.value - bits / problem.link.uplink_bps + predicted.decode_s.value
        done = 0.4 + float(timed.latency_s[0]) - predicted.downlink_s.value
        grid = np.linspace(begun, max(begun, done), 20_001)
        middles = (grid[1:] + grid[:-1]) / 2
        work = float((1 / load.at(middles)).mean()) * (done - begun)
        assert work == pytest.approx(predicted.server_s.value / problem.server_load, rel=2e-3, abs=1e-6)


def costs(simulation: Simulation, run: StrategyRun) -> np.ndarray:
    return np.array(run.energy_j if simulation.target == "energy" else run.latency_s)


@settings(max_examples=40, deadline=None)
@given(problem=problems(), uplink=traces(RATES), load=traces(LOADS), every=st.floats(0.1, 3.0))
def test_no_strategy_beats_the_oracle(problem: Problem, uplink: Trace, load: Trace, every: float) -> None:
    simulation = simulate(plan_of(problem), uplink_bps=uplink, server_load=load, duration_s=20 * every, every_s=every)
    oracle = costs(simulation, simulation.run_of("oracle"))
    for run in simulation.strategies:
        assert (oracle <= costs(simulation, run)).all()
    assert {len(run.latency_s) for run in simulation.strategies} == {20}


@settings(max_examples=40, deadline=None)
@given(problem=problems(), rate=RATES, load=LOADS)
def test_where_nothing_changes_the_adaptive_session_is_the_oracle(problem: Problem, rate: float, load: float) -> None:
    simulation = simulate(
        plan_of(problem),
        uplink_bps=Trace.constant(rate),
        server_load=Trace.constant(load),
        duration_s=10.0,
        every_s=1.0,
    )
    adaptive, oracle = (costs(simulation, simulation.run_of(name)) for name in ("adaptive", "oracle"))
    assert adaptive == pytest.approx(oracle, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(problem=problems(), uplink=traces(RATES), load=traces(LOADS), other=traces(RATES))
def test_the_adaptive_session_does_not_know_the_future(
    problem: Problem, uplink: Trace, load: Trace, other: Trace
) -> None:
    """What it runs does not change with what the traces do after its first request has begun."""
    plan, long = plan_of(problem), dataclasses.replace(uplink, period_s=uplink.starts_s[-1] + 100.0)
    cut = long.starts_s[-1] + 50.0
    changed = Trace(
        starts_s=(*long.starts_s, cut, cut + 20),
        values=(*long.values, other.values[0], other.values[-1]),
        period_s=long.period_s,
    )
    runs = [
        simulate(plan, uplink_bps=trace, server_load=load, duration_s=cut, every_s=1.0).run_of("adaptive").options
        for trace in (long, changed)
    ]
    assert runs[0] == runs[1]
