"""The exact planner: the best of all legal cuts of a directed acyclic graph.

The least latency or energy is a minimum cut (Hu, Bao, Wang and Liu, INFOCOM 2019; here each tensor is sent once, and
nothing returns in the middle). What is no minimum cut, throughput and limits, is found by visiting every legal cut
where they are few enough, and otherwise by a relaxation that tells how much better any cut could be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offload.graph.cuts import make_cut
from offload.planners.base import Problem, Ranking
from offload.planners.bounds import relax
from offload.planners.constraints import Limit, infeasible, limits_of, verdict, within
from offload.planners.costs import LinearCosts, make_option
from offload.planners.ideals import MOST_CUTS, CutTable, legal_cuts, table_of
from offload.planners.legality import Legality, legality
from offload.planners.network import CutNetwork
from offload.planners.objective import objective, objective_costs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_OPTIONS = 32
"""Options that a ranking holds at most."""
_MOST_RANKED = 10_000
"""Legal cuts that are ranked one by one although the best of them can be had without."""
_MOST_PREFIXES = 100
_MOST_DETOURS = 24
_ROUNDING = 1e-9
"""How far below the best, as a fraction, a bound still proves it best."""
_MOST_ARCS = 20_000
"""Networks up to this size are solved again and again to find the next best cuts."""


class MinCut:
    """The exact planner."""

    name = "mincut"

    def rank(self, problem: Problem) -> Ranking:
        """The best of all legal cuts, of equals the one with most on the device, and the next best that were met."""
        import numpy as np

        legal, stages, limits = legality(problem), objective_costs(problem), limits_of(problem)
        found = _candidates(legal, stages, limits)
        table, notes = found.table, legal.notes
        allowed = within(limits, table)
        if not allowed.any():
            raise infeasible(limits, table, which="any cut" if found.all_legal else "any cut that was tried")
        values, fewest_there = largest_sum(stages, table), -table.inside.sum(axis=0)
        best = [cut for cut in np.lexsort((fewest_there, values)).tolist() if allowed[cut]][:MOST_OPTIONS]
        options = sorted(
            (make_option(problem, make_cut(legal.graph, table.device(cut))) for cut in best),
            key=lambda option: objective(problem, option),
        )
        reached = objective(problem, options[0])
        bound = reached if found.bound is None else min(found.bound, reached)
        if found.bound is not None:
            notes = (*notes, _gap_note(bound, reached))
        return Ranking(
            options=tuple(options),
            exact=bound >= reached * (1 - _ROUNDING),
            considered=table.size,
            legal_cuts=table.size if found.all_legal else None,
            bound=bound,
            notes=notes,
        )


@dataclass(frozen=True, kw_only=True)
class _Candidates:
    """Cuts among which the best is."""

    table: CutTable
    all_legal: bool
    """Whether the table holds every legal cut."""
    bound: float | None = None
    """What no cut that keeps to the limits is below; None where the best of all is in the table."""


def _candidates(legal: Legality, stages: Sequence[LinearCosts], limits: Sequence[Limit]) -> _Candidates:
    """All legal cuts where they are few enough; else the least of a plain sum, or what a relaxation meets."""
    plain = len(stages) == 1 and not limits
    table = legal_cuts(legal, most=_MOST_RANKED if plain else MOST_CUTS)
    if table is not None:
        return _Candidates(table=table, all_legal=True)
    network = CutNetwork(legal)
    if plain:
        return _Candidates(table=table_of(legal.graph, _around_the_best(legal, network, stages[0])), all_legal=False)
    relaxed = relax(legal.graph, network, stages, limits)
    for limit in limits:
        least = table_of(legal.graph, [network.least(limit.costs)]).sums(limit.costs)
        if not limit.met(least).all():
            alone = limit if limit.side is None else replace(limit, quantity=f"{limit.quantity} for weights alone")
            raise verdict([(alone, float(least[0]))], which="any cut")
    cuts = list(dict.fromkeys([*relaxed.met, *prefixes(legal)]))
    return _Candidates(table=table_of(legal.graph, cuts), all_legal=False, bound=relaxed.bound)


def largest_sum(stages: Sequence[LinearCosts], table: CutTable) -> NDArray[np.float64]:
    """The objective of each cut; shape (cuts,)."""
    import numpy as np

    return np.asarray(np.max([table.sums(costs) for costs in stages], axis=0))


def _around_the_best(legal: Legality, network: CutNetwork, costs: LinearCosts) -> list[frozenset[int]]:
    """The least cut first, then prefixes, and the least cuts with one block at its border on the other side."""
    best = network.least(costs)
    found = [best, *prefixes(legal)]
    if network.arcs <= _MOST_ARCS:
        here = {legal.block_of[layer] for layer in best}
        last = [block for block in sorted(here - legal.device) if not here & set(legal.after[block])]
        first = [
            block
            for block, needed in enumerate(legal.before)
            if block not in here and block not in legal.server and here >= set(needed)
        ]
        detours = [
            *(network.least_with(costs, server=[block]) for block in last[-_MOST_DETOURS // 2 :]),
            *(network.least_with(costs, device=[block]) for block in first[: _MOST_DETOURS // 2]),
        ]
        found += [cut for cut in detours if cut is not None]
    return list(dict.fromkeys(found))


def prefixes(legal: Legality) -> list[frozenset[int]]:
    """Cuts between consecutive blocks, evenly spread where they are many, with both ends."""
    free = [block for block in range(len(legal.before)) if block not in legal.device and block not in legal.server]
    steps = min(len(free), _MOST_PREFIXES)
    lengths = [round(len(free) * step / max(1, steps)) for step in range(steps + 1)]
    return [legal.layers(legal.device.union(free[:length])) for length in lengths]


def _gap_note(bound: float, reached: float) -> str:
    better = f"no cut can be more than {1 - bound / reached:.2%} better" if reached > bound else "none is better"
    return f"there are more than {MOST_CUTS:,} legal cuts, too many to visit: the search used a bound, and {better}"
