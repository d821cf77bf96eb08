"""Where the answer changes: the best cut as a function of the uplink's rate and of the server's load.

A policy carries every cut that is best somewhere with what it costs as a function of the two, so that the best at any
point is the least of few sums. A latency, and an energy as far as the radio's fit reaches, is a plane in the seconds a
bit takes and in the load: the best over all cuts is their lower envelope. Throughput and limits are no envelope of
planes; there the legal cuts are visited. The ranges that people read are drawn from the same sums.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from offload.artifacts.policy import Choice, Policy, PolicyRow, Terms, runs
from offload.graph.cuts import make_cut
from offload.planners.base import Problem
from offload.planners.constraints import limits_of, within
from offload.planners.costs import linear_costs, make_option
from offload.planners.covering import Figures, useful
from offload.planners.envelope import Envelope, Plane, Point
from offload.planners.ideals import MOST_CUTS, CutTable, legal_cuts, table_of
from offload.planners.legality import Legality, legality
from offload.planners.mincut import prefixes
from offload.planners.network import CutNetwork
from offload.planners.parametric import Formula, Region, at_point, limit_formulas, objective_formulas, region_of
from offload.planners.sweep import Line, sweep

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOADS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Server loads at which the thresholds in bandwidth are worked out, besides the problem's own."""
MOST_CHOICES = 300
"""Cuts that a policy holds at most."""
_WORK = 300_000
"""Arcs of the network times least cuts that a search takes."""
_ROUNDING = 1e-12
_FIXED = "the downlink stays as it is while the uplink or the load changes"


def policy(problem: Problem, *, loads: Sequence[float] = LOADS, tried: Sequence[frozenset[int]] = ()) -> Policy:
    """The best cut at every uplink rate and server load.

    The downlink, the round trip and the device stay as the problem has them.

    Args:
        problem: The problem; its own load and rate are among those looked at.
        loads: Where ranges of rates are worked out, besides the problem's own load.
        tried: Cuts known already, the best first, as layers on the device; looked at where not all can be.

    Raises:
        OffloadError: pins and privacy contradict one another.
    """
    region = region_of(problem)
    found = _found(problem, region, tried)
    wanted = sorted({*loads, problem.server_load})
    rate = problem.link.uplink_bps
    by_uplink = [row for load in wanted for row in _along_uplink(found.figures, load)]
    by_load = _along_load(found.figures, rate)
    return Policy(
        choices=tuple(_choices(problem, found)),
        slowest_uplink_bps=region.slowest_bps,
        fastest_uplink_bps=region.fastest_bps,
        least_server_load=region.light,
        most_server_load=region.heavy,
        radio_fitted_to_bps=region.fitted_bps,
        most=tuple(found.figures.most.tolist()),
        gap=found.gap,
        by_uplink=tuple(by_uplink),
        by_load=tuple(by_load),
        notes=(_FIXED, *found.notes),
    )


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The cuts of a policy, those with most layers on the device first."""

    devices: tuple[frozenset[int], ...]
    figures: Figures
    gap: float | None = 0.0
    notes: tuple[str, ...] = ()


def _found(problem: Problem, region: Region, tried: Sequence[frozenset[int]]) -> _Found:
    legal = legality(problem)
    table = legal_cuts(legal)
    plane = problem.target != "throughput" and not problem.constraints.bounded
    stages = objective_formulas(problem, region)
    if table is None and plane:
        return _searched(problem, region, legal, stages[0], tried)
    known = table or table_of(legal.graph, list(dict.fromkeys([*tried, *prefixes(legal)])))
    known = _most_here_first(problem, known)
    figures = _figures(problem, region, known, stages)
    if plane and known.size:
        cuts, gap = _planes(figures), 0.0
    else:
        cuts, gap = useful(figures, most=MOST_CHOICES)
    notes = []
    if gap:
        notes.append(
            f"more than {MOST_CHOICES} cuts are best somewhere: some are left out, the best by at most {gap:.2%}"
        )
    if table is None:
        notes.append(f"there are more than {MOST_CUTS:,} legal cuts: others than the {known.size} tried may be better")
    return _Found(
        devices=tuple(known.device(cut) for cut in cuts.tolist()),
        figures=figures.of(cuts),
        gap=None if table is None else gap,
        notes=tuple(notes),
    )


def _most_here_first(problem: Problem, table: CutTable) -> CutTable:
    """The cuts that keep to the limits of memory, which no rate or load changes; of equals the first is taken."""
    import numpy as np

    allowed = within([limit for limit in limits_of(problem) if limit.side is not None], table)
    order = np.argsort(-table.inside.sum(axis=0), kind="stable")
    return CutTable(graph=table.graph, inside=table.inside[:, order[allowed[order]]])


def _figures(problem: Problem, region: Region, table: CutTable, stages: Sequence[Formula]) -> Figures:
    import numpy as np

    limits = limit_formulas(problem, region)
    return Figures(
        region=region,
        stages=np.array([formula.of_all(table) for formula in stages]),
        limited=np.array([formula.of_all(table) for formula, _ in limits]).reshape(len(limits), 4, table.size),
        most=np.array([most for _, most in limits], dtype=np.float64),
    )


def _planes(figures: Figures) -> NDArray[np.intp]:
    """The cuts on the lower envelope of all."""
    import numpy as np

    found: set[int] = set()
    for box in figures.region.boxes:
        planes = np.array(figures.region.affine(box)) @ figures.stages[0]
        envelope = Envelope(box.corners)
        envelope.search(partial(_least_of, planes), at_once=64, most=None)
        found |= {int((plane == planes.T).all(axis=1).argmax()) for plane in envelope.planes()}
    return np.array(sorted(found), dtype=np.intp)


def _least_of(planes: NDArray[np.float64], points: Sequence[Point]) -> list[Plane]:
    """The least of some planes, shape (3, planes), at each point; of equals the first."""
    import numpy as np

    heights = np.array([(1.0, *point) for point in points]) @ planes
    least = heights.min(axis=1, keepdims=True)
    return [_plane(planes[:, cut]) for cut in (heights <= least + np.abs(least) * _ROUNDING).argmax(axis=1)]


def _plane(coefficients: NDArray[np.float64]) -> Plane:
    constant, slope, growth = coefficients.tolist()
    return constant, slope, growth


def _searched(
    problem: Problem, region: Region, legal: Legality, formula: Formula, tried: Sequence[frozenset[int]]
) -> _Found:
    """The cuts on the lower envelope of all, each found as a least cut; as many as the allowed work reaches."""
    import numpy as np

    network = CutNetwork(legal)
    known: dict[frozenset[int], NDArray[np.float64]] = {}

    def plane_of(device: frozenset[int], affine: NDArray[np.float64], device_of: dict[Plane, frozenset[int]]) -> Plane:
        if device not in known:
            known[device] = np.array(formula.of(make_cut(legal.graph, device)))
        plane = _plane(affine @ known[device])
        device_of.setdefault(plane, device)
        return plane

    def least(
        affine: NDArray[np.float64], device_of: dict[Plane, frozenset[int]], points: Sequence[Point]
    ) -> list[Plane]:
        there = (at_point(problem, uplink_bps=1 / bit_s, server_load=load) for bit_s, load in points)
        return [plane_of(network.least(linear_costs(each)), affine, device_of) for each in there]

    taken: set[frozenset[int]] = set()
    most, gap = _WORK // network.arcs // len(region.boxes), 0.0
    for box in region.boxes:
        affine, device_of = np.array(region.affine(box)), dict[Plane, frozenset[int]]()
        envelope = Envelope(box.corners)
        for device in tried[:1]:
            envelope.add(plane_of(device, affine, device_of))
        envelope.search(partial(least, affine, device_of), at_once=1, most=most)
        gap = max(gap, envelope.gap())
        taken |= {device_of[plane] for plane in envelope.planes()}
    devices = tuple(sorted(taken, key=lambda device: (-len(device), sorted(device))))
    figures = Figures(
        region=region,
        stages=np.array([known[device] for device in devices]).T[None],
        limited=np.zeros((0, 4, len(devices))),
        most=np.zeros(0),
    )
    note = f"the model is too large to find every cut that is best somewhere: others may be better by at most {gap:.1%}"
    return _Found(devices=devices, figures=figures, gap=gap, notes=(note,) if gap else ())


def _choices(problem: Problem, found: _Found) -> Iterator[Choice]:
    for number, device in enumerate(found.devices):
        option = make_option(problem, make_cut(problem.graph, device))
        yield Choice(
            device_runs=runs(device),
            words=option.words,
            uplink_bytes=option.uplink_bytes,
            downlink_bytes=option.downlink_bytes,
            breakdown=option.breakdown,
            stages=tuple(_terms(each) for each in found.figures.stages[:, :, number].tolist()),
            limited=tuple(_terms(each) for each in found.figures.limited[:, :, number].tolist()),
        )


def _terms(coefficients: Sequence[float]) -> Terms:
    fixed, per_load, per_bit_s, radio = coefficients
    return Terms(fixed=fixed, per_load=per_load, per_bit_s=per_bit_s, radio=radio)


def _along_uplink(figures: Figures, load: float) -> list[PolicyRow]:
    """The rows at a load, slowest uplink first."""
    import numpy as np

    region, rows = figures.region, list[PolicyRow]()
    for box, (slow, fast) in zip(region.boxes, itertools.pairwise(region.rates), strict=True):
        constant, slope, growth = np.array(region.affine(box))
        pieces = sweep(_line(figures, constant + load * growth, slope), box.fast_s, box.slow_s)
        for piece in reversed(pieces):
            slowest = slow if piece.end == box.slow_s else 1 / piece.end
            fastest = fast if piece.start == box.fast_s else 1 / piece.start
            row = PolicyRow(
                slowest_uplink_bps=slowest,
                fastest_uplink_bps=fastest,
                least_server_load=load,
                most_server_load=load,
                choice=piece.choice,
            )
            if rows and rows[-1].choice == piece.choice and rows[-1].fastest_uplink_bps == slowest:
                row = dataclasses.replace(row, slowest_uplink_bps=rows.pop().slowest_uplink_bps)
            rows.append(row)
    return rows


def _along_load(figures: Figures, rate: float) -> list[PolicyRow]:
    """The rows at a rate, least load first."""
    import numpy as np

    region = figures.region
    constant = np.array(region.powers(1 / rate, 0.0))
    pieces = sweep(_line(figures, constant, np.array([0.0, 1.0, 0.0, 0.0])), region.light, region.heavy)
    return [
        PolicyRow(
            slowest_uplink_bps=rate,
            fastest_uplink_bps=rate,
            least_server_load=piece.start,
            most_server_load=piece.end,
            choice=piece.choice,
        )
        for piece in pieces
    ]


def _line(figures: Figures, constant: NDArray[np.float64], slope: NDArray[np.float64]) -> Line:
    """The choices along one parameter, from what their coefficients are summed with."""
    import numpy as np

    return Line(
        constant=np.tensordot(figures.stages, constant, (1, 0)),
        slope=np.tensordot(figures.stages, slope, (1, 0)),
        limited_constant=np.tensordot(figures.limited, constant, (1, 0)),
        limited_slope=np.tensordot(figures.limited, slope, (1, 0)),
        most=figures.most,
    )
