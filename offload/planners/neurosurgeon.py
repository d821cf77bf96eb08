"""Neurosurgeon's partition point selection (Kang et al., ASPLOS 2017, Algorithm 1) over prefix cuts.

For each candidate point j of N layers in order: latency = sum of device layers up to j + sum of server layers
after j + D_j / B; energy = sum of device layers' time x power + D_j / B x radio power; the point with the least of
the target is taken. Carried over from chains to graphs, a point is a prefix of the topological order and D_j the
size of every tensor that crosses, each once. Added to the paper's sum: the answer's way back and the protocol's cost.
"""

from __future__ import annotations

from offload.artifacts.plan import Option
from offload.graph.cuts import prefix_cuts
from offload.planners.base import Problem, Ranking
from offload.planners.costs import make_option, tears_kernel


class Neurosurgeon:
    """The paper's planner."""

    name = "neurosurgeon"

    def rank(self, problem: Problem) -> Ranking:
        """Every prefix cut at the borders of both sides' kernels, best first; see `Planner.rank`."""
        options = [
            make_option(problem, cut)
            for cut in prefix_cuts(problem.graph)
            if not tears_kernel(problem.device, cut) and not tears_kernel(problem.server, cut)
        ]
        ranked = sorted(options, key=lambda option: objective(problem, option))
        return Ranking(options=tuple(ranked), exact=False, considered=len(ranked))


def objective(problem: Problem, option: Option) -> float:
    """What the problem's target minimises: seconds or joules."""
    cost = option.cost(problem.target)
    if cost is None:
        raise ValueError("the energy target needs a power and a radio; check_problem refuses it without them")
    return cost.value
