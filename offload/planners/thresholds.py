"""Where the answer changes: the best cut as a function of the uplink's rate and of the server's load.

Each cut's latency, and its energy as far as the radio's fit reaches, is a line in the seconds a bit takes and a line
in the load. The best over all cuts is their lower envelope. Where the legal cuts can be visited, the envelope is swept
from one end to the other, and the limits of a cut end with it; where not, Eisner and Severance's search (JACM 1976)
finds every break of the envelope with two least cuts for each.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from offload.artifacts.policy import FASTEST_BPS, HEAVIEST_LOAD, LIGHTEST_LOAD, SLOWEST_BPS, Policy, PolicyRow
from offload.graph.cuts import make_cut
from offload.graph.model_graph import ModelGraph
from offload.planners.base import Problem
from offload.planners.constraints import limits_of
from offload.planners.costs import linear_costs
from offload.planners.ideals import CutTable, legal_cuts, table_of
from offload.planners.legality import legality
from offload.planners.network import CutNetwork
from offload.planners.objective import combined
from offload.planners.words import describe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOADS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Server loads at which the thresholds in bandwidth are worked out, besides the problem's own."""
_MOST_ARCS = 20_000
_FIXED = "the downlink stays as it is while the uplink or the load changes"
_ROUNDING = 1e-12


def policy(problem: Problem, *, loads: Sequence[float] = LOADS) -> Policy:
    """The ranges of uplink rate and server load in which each cut is best.

    The downlink, the round trip and the device stay as the problem has them.

    Raises:
        OffloadError: pins and privacy contradict one another.
    """
    if problem.target == "throughput":
        return Policy(notes=("thresholds are worked out for latency and energy, not for throughput",))
    legal = legality(problem)
    table = legal_cuts(legal)
    if table is None and problem.constraints.bounded:
        return Policy(notes=("there are too many legal cuts to work out thresholds under limits",))
    if table is not None:
        pieces: _Pieces = partial(_visited, table)
    else:
        network = CutNetwork(legal)
        if network.arcs > _MOST_ARCS:
            return Policy(notes=(f"a model of {len(legal.block_of):,} layers is too large to work out thresholds",))
        pieces = partial(_searched, network, legal.graph)
    wanted = sorted({*loads, problem.server_load})
    rows = [row for load in wanted for row in _along_uplink(dataclasses.replace(problem, server_load=load), pieces)]
    return Policy(by_uplink=tuple(rows), by_load=tuple(_along_load(problem, pieces)), notes=(_FIXED,))


@dataclass(frozen=True)
class _Piece:
    """A range of a parameter, as fractions of the range looked at, in which one cut is best."""

    start: float
    end: float
    device: frozenset[int]


_Pieces = Callable[[Problem, Problem], list[_Piece]]
"""Finds the pieces from one problem to another that differs in one parameter and costs at least as much everywhere."""


def _along_uplink(problem: Problem, pieces: _Pieces) -> Iterator[PolicyRow]:
    """The rows at the problem's load, slowest uplink first."""
    rate = problem.link.uplink_bps
    rates = {min(SLOWEST_BPS, rate), max(FASTEST_BPS, rate)}
    counts = problem.target == "energy" or problem.constraints.max_energy_j is not None
    if counts and problem.radio is not None:
        # The radio's power is affine in the rate up to here, and held beyond.
        rates.add(min(max(problem.radio.fitted_to_bps, min(rates)), max(rates)))
    found: list[tuple[float, float, frozenset[int]]] = []
    for slow, fast in itertools.pairwise(sorted(rates)):
        low, high = 1 / fast, 1 / slow
        for piece in reversed(pieces(_at_rate(problem, fast), _at_rate(problem, slow))):
            slowest = slow if piece.end == 1 else 1 / (low + piece.end * (high - low))
            fastest = fast if piece.start == 0 else 1 / (low + piece.start * (high - low))
            if found and found[-1][1:] == (slowest, piece.device):
                slowest = found.pop()[0]
            found.append((slowest, fastest, piece.device))
    load = problem.server_load
    for slowest, fastest, device in found:
        yield _row(problem, device, uplink_bps=(slowest, fastest), load=(load, load))


def _at_rate(problem: Problem, uplink_bps: float) -> Problem:
    link = problem.link.at_rates(uplink_bps=uplink_bps, downlink_bps=problem.link.downlink_bps)
    return dataclasses.replace(problem, link=link)


def _along_load(problem: Problem, pieces: _Pieces) -> Iterator[PolicyRow]:
    """The rows at the problem's uplink, least load first."""
    low, high = min(LIGHTEST_LOAD, problem.server_load), max(HEAVIEST_LOAD, problem.server_load)
    rate = problem.link.uplink_bps
    lightest, heaviest = (dataclasses.replace(problem, server_load=load) for load in (low, high))
    for piece in pieces(lightest, heaviest):
        load = (low + piece.start * (high - low), low + piece.end * (high - low))
        yield _row(problem, piece.device, uplink_bps=(rate, rate), load=load)


def _row(
    problem: Problem, device: frozenset[int], *, uplink_bps: tuple[float, float], load: tuple[float, float]
) -> PolicyRow:
    return PolicyRow(
        slowest_uplink_bps=uplink_bps[0],
        fastest_uplink_bps=uplink_bps[1],
        least_server_load=load[0],
        most_server_load=load[1],
        device_layers=tuple(sorted(device)),
        words=describe(problem.graph, make_cut(problem.graph, device)),
    )


def _visited(table: CutTable, low: Problem, high: Problem) -> list[_Piece]:
    """The pieces among the cuts of a table, by a sweep; none where no cut keeps to the limits any more."""
    import numpy as np

    first, ends = table.sums(linear_costs(low)), _ends(table, low, high)
    growth, at, found = table.sums(linear_costs(high)) - first, 0.0, []
    allowed = ends >= 0
    while at < 1 and allowed.any():
        value = np.where(allowed, first + at * growth, np.inf)
        least = float(value.min())
        tied = np.flatnonzero(value <= least + abs(least) * _ROUNDING)
        best = int(tied[np.argmin(growth[tied])])
        slower = allowed & (growth < growth[best])
        gain = np.divide(value - value[best], growth[best] - growth, out=np.full(table.size, np.inf), where=slower)
        reached = np.where(at + gain <= ends, at + gain, np.inf)
        until = min(1.0, float(ends[best]), float(reached.min()))
        found.append(_Piece(at, until, table.device(best)))
        at, allowed = until, ends > until
    return _joined(found)


def _ends(table: CutTable, low: Problem, high: Problem) -> NDArray[np.float64]:
    """How far each cut keeps to the limits, as a fraction of the range; below 0 where it never does; shape (cuts,)."""
    import numpy as np

    ends = np.full(table.size, np.inf)
    for one, other in zip(limits_of(low), limits_of(high), strict=True):
        first, last = one.values(table), other.values(table)
        room, growth = one.most - first, np.maximum(last - first, 0.0)
        reach = np.divide(room, growth, out=np.full(table.size, np.inf), where=growth > 0)
        ends = np.minimum(ends, np.where(one.met(first), np.maximum(reach, 0.0), -1.0))
    return ends


def _searched(network: CutNetwork, graph: ModelGraph, low: Problem, high: Problem) -> list[_Piece]:
    """The pieces among all legal cuts, by two least cuts for each break."""
    first, last = linear_costs(low), linear_costs(high)

    def best(at: float) -> tuple[float, frozenset[int], float, float]:
        device = network.least(combined([(1 - at, first), (at, last)]))
        table = table_of(graph, [device])
        return at, device, float(table.sums(first)[0]), float(table.sums(last)[0])

    found, waiting = [], [(best(0.0), best(1.0))]
    while waiting:
        left, right = waiting.pop()
        start, device, at_low, at_high = left
        end, other, other_low, other_high = right
        gap_low, gap_high = at_low - other_low, at_high - other_high
        crossing = gap_low / (gap_low - gap_high) if gap_low != gap_high else end
        if device == other or not start < crossing < end:
            found.append(_Piece(start, end, device if crossing >= end else other))
            continue
        middle = best(crossing)
        line = at_low + crossing * (at_high - at_low)
        if middle[2] + crossing * (middle[3] - middle[2]) < line * (1 - _ROUNDING):
            waiting += [(middle, right), (left, middle)]
        else:
            found += [_Piece(start, crossing, device), _Piece(crossing, end, other)]
    return _joined(found)


def _joined(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Neighbours with one cut made one, without those of no length."""
    found: list[_Piece] = []
    for piece in pieces:
        if piece.start >= piece.end:
            continue
        if found and found[-1].device == piece.device:
            piece = _Piece(found.pop().start, piece.end, piece.device)
        found.append(piece)
    return found
