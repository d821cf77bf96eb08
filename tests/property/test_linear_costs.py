"""The coefficients that planners search with add up to what `predict` says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.graph.cuts import make_cut
from offload.planners.base import Problem
from offload.planners.costs import linear_costs, make_option, tears_kernel
from offload.planners.neurosurgeon import objective
from tests import synthetic


@settings(max_examples=300, deadline=None)
@given(problem=synthetic.problems(), data=st.data())
def test_the_linear_sum_is_the_objective_of_every_legal_cut(problem: Problem, data: st.DataObject) -> None:
    graph = problem.graph
    chosen = set(data.draw(st.sets(st.sampled_from(range(len(graph.layers))))))
    for index in reversed(range(len(graph.layers))):
        if index in chosen:
            chosen |= {graph.producer[name] for name in graph.layers[index].inputs if name in graph.producer}
    cut = make_cut(graph, chosen)
    costs = linear_costs(problem)
    torn = any(0 < sum(index in chosen for index in unit) < len(unit) for unit in costs.units)
    assert torn == (tears_kernel(problem.device, cut) or tears_kernel(problem.server, cut))
    if not torn:
        assert costs.of(cut) == pytest.approx(objective(problem, make_option(problem, cut)), rel=1e-9)
