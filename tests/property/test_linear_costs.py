"""The coefficients that planners search with add up to what `predict` says."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.artifacts.energy import EnergyWindow, GroupEnergy, ProfileEnergy
from offload.artifacts.profile import Profile
from offload.graph.cuts import Cut, make_cut
from offload.planners.base import Problem
from offload.planners.costs import linear_costs, predict, stage_costs, tears_kernel
from tests import random_problems, synthetic


def drawn_cut(problem: Problem, data: st.DataObject) -> Cut:
    """A random legal cut: some layers and all that they need; half of the time kernels are kept whole."""
    graph, whole = problem.graph, data.draw(st.booleans())
    chosen = set(data.draw(st.sets(st.sampled_from(range(len(graph.layers))))))
    while True:
        needed = {graph.producer[name] for i in chosen for name in graph.layers[i].inputs if name in graph.producer}
        kernels = (group.layers for profile in (problem.device, problem.server) for group in profile.groups)
        fused = {index for layers in kernels if whole and chosen & set(layers) for index in layers}
        if needed | fused <= chosen:
            return make_cut(graph, chosen)
        chosen |= needed | fused


def metered(profile: Profile, watts: list[float]) -> Profile:
    """The profile with a meter's readings of the whole and of the first groups."""
    whole_s = profile.whole.value

    def window(power_w: float) -> EnergyWindow:
        return EnergyWindow(runs=10, seconds=10 * whole_s, gross_j=power_w * 10 * whole_s)

    energy = ProfileEnergy(
        source="counter", sensor="a test", sensor_period_s=0.1,
        idle=(EnergyWindow(runs=0, seconds=1.0, gross_j=0.4),) * 2, whole=(window(5.0),) * 3,
        groups=tuple(GroupEnergy(group=group, windows=(window(power),) * 2) for group, power in enumerate(watts)),
    )  # fmt: skip
    return profile.model_copy(update={"energy": energy, "power_w": None})


def divided(problem: Problem, seed: int) -> Problem:
    """The problem with both profiles knowing what dividing the model costs."""
    rng, sides = random.Random(seed), (problem.device, problem.server)
    device, server = (
        one.model_copy(
            update={
                "divided": random_problems.divided_runs(rng, [group.layers for group in one.groups], one.whole.value)
            }
        )
        for one in sides
    )
    return dataclasses.replace(problem, device=device, server=server)


def torn(units: tuple[tuple[int, ...], ...], cut: Cut) -> bool:
    return any(0 < sum(index in cut.device for index in unit) < len(unit) for unit in units)


@settings(max_examples=300, deadline=None)
@given(problem=synthetic.problems(), data=st.data())
def test_the_linear_sum_is_the_objective_of_every_legal_cut(problem: Problem, data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        watts = data.draw(st.lists(st.floats(1.0, 9.0), max_size=len(problem.device.groups)))
        problem = dataclasses.replace(problem, device=metered(problem.device, watts))
    problem = divided(problem, data.draw(random_problems.seeds))
    cut, costs = drawn_cut(problem, data), linear_costs(problem)
    assert torn(costs.units, cut) == (tears_kernel(problem.device, cut) or tears_kernel(problem.server, cut))
    if not torn(costs.units, cut):
        predicted = predict(problem, cut)
        exact = predicted.latency_s if problem.target == "latency" else predicted.energy_j
        assert exact is not None
        assert costs.of(cut) == pytest.approx(exact.value, rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(problem=synthetic.problems(), data=st.data())
def test_the_slowest_stage_is_the_period(problem: Problem, data: st.DataObject) -> None:
    problem = divided(problem, data.draw(random_problems.seeds))
    cut, stages = drawn_cut(problem, data), stage_costs(problem)
    if not torn(stages[0].units, cut):
        period = predict(problem, cut).period_s
        assert period is not None
        assert max(stage.of(cut) for stage in stages) == pytest.approx(period.value, rel=1e-9)
