"""The front of latency against energy: the cuts that no other beats in both."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from offload.artifacts.plan import Option
from offload.graph.cuts import make_cut
from offload.graph.model_graph import ModelGraph
from offload.planners.base import Problem, check_energy
from offload.planners.constraints import infeasible, limits_of, within
from offload.planners.costs import LinearCosts, linear_costs, make_option
from offload.planners.ideals import MOST_CUTS, legal_cuts, table_of
from offload.planners.legality import legality
from offload.planners.mincut import prefixes
from offload.planners.network import CutNetwork
from offload.planners.objective import combined

_MOST_SOLVES = 200


@dataclass(frozen=True, kw_only=True)
class Front:
    """The options of a front, fastest first; each draws less than the one before it."""

    options: tuple[Option, ...]
    exact: bool
    """Whether every legal cut that keeps to the constraints was compared."""
    notes: tuple[str, ...] = ()


def pareto_front(problem: Problem) -> Front:
    """The cuts that no legal cut beats in both latency and energy, whatever the problem's target.

    Where the legal cuts are too many to visit, these are the supported points, the least under some weighting of the
    two (Aneja and Nair, Management Science 1979), and what prefixes of the model add to them.

    Raises:
        OffloadError: the energy cannot be told, or pins and privacy contradict one another.
        VerdictError: no cut keeps to the constraints.
    """
    check_energy(problem, "--pareto")
    legal, limits = legality(problem), limits_of(problem)
    latency = linear_costs(dataclasses.replace(problem, target="latency"))
    energy = linear_costs(dataclasses.replace(problem, target="energy"))
    table = legal_cuts(legal)
    exact = table is not None
    if table is None:
        cuts = [*_supported(CutNetwork(legal), latency, energy, legal.graph), *prefixes(legal)]
        table = table_of(legal.graph, list(dict.fromkeys(cuts)))
    allowed = within(limits, table)
    if not allowed.any():
        raise infeasible(limits, table, which="any cut" if exact else "any cut that was tried")
    seconds, joules = table.sums(latency).tolist(), table.sums(energy).tolist()
    front: list[int] = []
    for cut in sorted(allowed.nonzero()[0].tolist(), key=lambda each: (seconds[each], joules[each])):
        if not front or joules[cut] < joules[front[-1]]:
            front.append(cut)
    return Front(
        options=tuple(make_option(problem, make_cut(legal.graph, table.device(cut))) for cut in front),
        exact=exact,
        notes=() if exact else (f"there are more than {MOST_CUTS:,} legal cuts: a compromise may be missing",),
    )


def _supported(
    network: CutNetwork, latency: LinearCosts, energy: LinearCosts, graph: ModelGraph
) -> list[frozenset[int]]:
    """The cuts that are least under some weighting of latency and energy, as far as the allowed solves reach."""
    found: list[frozenset[int]] = []

    def least(weight_s: float, weight_j: float) -> tuple[float, float]:
        cut = network.least(combined([(weight_s, latency), (weight_j, energy)]))
        found.append(cut)
        point = table_of(graph, [cut])
        return float(point.sums(latency)[0]), float(point.sums(energy)[0])

    waiting = [(least(1.0, 0.0), least(0.0, 1.0))]
    while waiting and len(found) < _MOST_SOLVES:
        fast, frugal = waiting.pop(0)
        weight_s, weight_j = fast[1] - frugal[1], frugal[0] - fast[0]
        if weight_s <= 0 or weight_j <= 0:
            continue
        between = least(weight_s, weight_j)
        line = weight_s * fast[0] + weight_j * fast[1]
        if weight_s * between[0] + weight_j * between[1] < line * (1 - 1e-12):
            waiting += [(fast, between), (between, frugal)]
    return found
