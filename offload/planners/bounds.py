"""Bounds by Lagrangian relaxation, for problems whose legal cuts are too many to visit.

A maximum of sums (throughput), or a sum under limits, is no minimum cut; but any weighted sum of the stages and the
limits is, and its least value is a lower bound. The weights of the best bound are found by Kelley's cutting planes:
each least cut gives one more line that the bound lies under, and a small linear program proposes the next weights.
The cuts met on the way are the candidates; what separates the best of them from the bound is the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offload.graph.model_graph import ModelGraph
from offload.planners.constraints import Limit
from offload.planners.costs import LinearCosts
from offload.planners.ideals import table_of
from offload.planners.network import CutNetwork
from offload.planners.objective import combined

_MOST_STEPS = 60
_HEAVIEST = 1e6
"""The largest weight of a limit, where a stage's are at most 1."""


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """What a relaxation tells."""

    bound: float
    """No cut that keeps to the limits has a lower objective."""
    met: tuple[frozenset[int], ...]
    """The least cuts on the way, as layers on the device; limits may be broken."""


def relax(graph: ModelGraph, network: CutNetwork, stages: Sequence[LinearCosts], limits: Sequence[Limit]) -> Bounded:
    """The best lower bound on the largest stage's sum under the limits.

    Args:
        graph: The layers.
        network: Finds least cuts.
        stages: Whose largest sum is the objective.
        limits: Memory counts by its weights, which it is at least.
    """
    import numpy as np
    from scipy.optimize import linprog

    costs = [*stages, *(limit.costs for limit in limits)]
    most = np.array([0.0] * len(stages) + [limit.most for limit in limits])
    met = list(dict.fromkeys(network.least(each) for each in costs))
    table = table_of(graph, met)
    figures = np.array([table.sums(each) for each in costs])
    scale = np.maximum(np.abs(figures).max(axis=1), most)
    scale[scale == 0] = 1.0
    scale[: len(stages)] = scale[: len(stages)].max()
    rows = list(((figures - most[:, None]) / scale[:, None]).T)
    weights_sum = np.array([[1.0] * len(stages) + [0.0] * len(limits) + [0.0]])
    ranges = [(0.0, 1.0)] * len(stages) + [(0.0, _HEAVIEST)] * len(limits) + [(None, None)]
    goal = np.array([0.0] * len(costs) + [-1.0])
    bound = 0.0  # nothing costs less
    for _ in range(_MOST_STEPS):
        under = np.c_[-np.array(rows), np.ones(len(rows))]
        step = linprog(goal, A_ub=under, b_ub=np.zeros(len(rows)), A_eq=weights_sum, b_eq=[1.0], bounds=ranges)
        if step.x is None:
            break
        weights, ceiling = np.maximum(step.x[:-1], 0.0), float(step.x[-1])
        weights[: len(stages)] /= weights[: len(stages)].sum()
        cut = network.least(combined(list(zip((weights / scale).tolist(), costs, strict=True))))
        column = table_of(graph, [cut])
        row = (np.array([float(column.sums(each)[0]) for each in costs]) - most) / scale
        bound = max(bound, float(row @ weights))
        if bound >= ceiling - 1e-9 * max(1.0, abs(ceiling)):
            break
        met.append(cut)
        rows.append(row)
    return Bounded(bound=bound * float(scale[0]), met=tuple(dict.fromkeys(met)))
