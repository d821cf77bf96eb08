"""Neurosurgeon's partition point selection (Kang et al., ASPLOS 2017, Algorithm 1) over prefix cuts.

For each candidate point j of N layers in order: latency = sum of device layers up to j + sum of server layers
after j + D_j / B; energy = sum of device layers' time x power + D_j / B x radio power; the point with the least of
the target is taken. Carried over from chains to graphs, a point is a prefix of the topological order and D_j the
size of every tensor that crosses, each once. Added to the paper's sum: the answer's way back and the protocol's cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from offload.errors import VerdictError
from offload.graph.cuts import make_cut
from offload.planners.base import Problem, Ranking
from offload.planners.constraints import infeasible, limits_of, within
from offload.planners.costs import LinearCosts, make_option
from offload.planners.ideals import CutTable
from offload.planners.legality import legality
from offload.planners.mincut import MOST_OPTIONS, largest_sum
from offload.planners.objective import objective, objective_costs


class Neurosurgeon:
    """The paper's planner."""

    name = "neurosurgeon"

    def rank(self, problem: Problem) -> Ranking:
        """The best prefix cuts at the borders of both sides' kernels that keep to the constraints; see `Planner`."""
        found = rank_prefixes(problem, objective_costs(problem))
        return replace(found, options=tuple(sorted(found.options, key=lambda option: objective(problem, option))))


def rank_prefixes(problem: Problem, stages: Sequence[LinearCosts]) -> Ranking:
    """The prefix cuts at the borders of both sides' kernels that keep to the constraints, in the order of some costs.

    Args:
        problem: The constraints are judged by its own costs.
        stages: The costs to choose by: the largest of their sums counts.

    Raises:
        VerdictError: no prefix keeps to the constraints.
    """
    import numpy as np

    graph, legal, limits = problem.graph, legality(problem), limits_of(problem)
    lengths = legal.prefix_lengths()
    if not lengths:
        raise VerdictError(
            "no prefix of the model keeps to the pins and the private depth",
            hint="use --planner mincut, which cuts between branches too",
        )
    table = CutTable(graph=graph, inside=np.arange(len(graph.layers))[:, None] < np.array(lengths))
    allowed = within(limits, table)
    if not allowed.any():
        raise infeasible(limits, table, which="any prefix cut")
    values = largest_sum(stages, table)
    best = sorted(allowed.nonzero()[0].tolist(), key=lambda cut: float(values[cut]))[:MOST_OPTIONS]
    options = tuple(make_option(problem, make_cut(graph, range(lengths[number]))) for number in best)
    return Ranking(options=options, exact=False, considered=table.size, notes=legal.notes)
