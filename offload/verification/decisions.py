"""Partition points beside published ones: what each planner decides, and why a decision differs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offload.artifacts.plan import Option
from offload.artifacts.reproduction import Decision, DecisionCell, Headlines, MixThroughput, Objective
from offload.graph.cuts import make_cut
from offload.graph.model_graph import ModelGraph
from offload.planners.base import Planner, Problem
from offload.planners.costs import make_option, stage_costs
from offload.planners.ideals import CutTable
from offload.planners.maui import Maui
from offload.planners.mincut import MinCut
from offload.planners.neurosurgeon import Neurosurgeon
from offload.planners.objective import objective
from offload.units import format_duration

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

INPUT = "input"
"""The point before the first layer: everything runs on the server."""
_TIED = 1e-9
_SHOWN_AS_TIMES = 2.0


@dataclass(frozen=True, kw_only=True)
class WholeLatencies:
    """What is published of one network as a whole, on both sides."""

    device_s: float
    server_s: float
    residual: float
    """How far the calibrated device is from `device_s`, as a fraction."""


@dataclass(frozen=True, kw_only=True)
class PrefixTerms:
    """What each prefix of the graph costs in the target's unit, in three parts; shape (layers + 1,)."""

    device: Array
    """In proportion to the device's slowness."""
    uplink: Array
    """In proportion to the inverse of the uplink's rate."""
    fixed: Array
    """The rest."""

    @property
    def total(self) -> Array:
        """The sum."""
        return self.device + self.uplink + self.fixed


def point_name(graph: ModelGraph, length: int) -> str:
    """The point after the first `length` layers, by the last that is not a step of reshaping; `input` for none."""
    if length == len(graph.layers):
        return graph.layers[-1].name
    names = [layer.name for layer in graph.layers[:length] if layer.kind != "shape"]
    return names[-1].partition(".")[0] if names else INPUT


def prefix_terms(problem: Problem) -> PrefixTerms:
    """The parts of every prefix's latency, or of its energy as the paper charges it.

    Energy is that of computing at one power and of sending, so the problem's must be `paper_energy`.
    """
    import numpy as np

    layers = len(problem.graph.layers)
    table = CutTable(graph=problem.graph, inside=np.arange(layers)[:, None] < np.arange(layers + 1))
    device, uplink, server, downlink = (table.sums(costs) for costs in stage_costs(problem))
    if problem.target == "latency":
        return PrefixTerms(device=device, uplink=uplink, fixed=server + downlink)
    radio, power_w = problem.radio, problem.device.power_w
    if radio is None or power_w is None or not problem.paper_energy:
        raise ValueError("only the paper's two terms of energy, at one power, have these parts")
    return PrefixTerms(
        device=device * power_w, uplink=uplink * radio.uplink_w(problem.link.uplink_bps), fixed=np.zeros(layers + 1)
    )


def agreeing_factors(slope: Array, rest: Array, at: int) -> tuple[float, float] | None:
    """The range of a factor k >= 0 in which `k * slope + rest` is least at one place; None where it never is."""
    low, high = 0.0, float("inf")
    for steeper, more in zip((slope[at] - slope).tolist(), (rest[at] - rest).tolist(), strict=True):
        if steeper > 0:
            high = min(high, -more / steeper)
        elif steeper < 0:
            low = max(low, -more / steeper)
        elif more > 0:
            return None
    return (low, high) if low <= high else None


def decide(problem: Problem, *, network: str, label: str, device: str, radio: str) -> DecisionCell:
    """What the planners decide for one problem, with nothing published beside it."""
    layers = range(len(problem.graph.layers))
    return DecisionCell(
        device=device,
        radio=radio,
        network=network,
        label=label,
        chosen=_planned(problem, Neurosurgeon()),
        mincut=_planned(problem, MinCut()),
        maui=_planned(problem, Maui()),
        server_only=_decision(problem, make_option(problem, make_cut(problem.graph, ()))),
        device_only=_decision(problem, make_option(problem, make_cut(problem.graph, layers))),
        published=None,
        published_cost=None,
        reason="",
    )


def beside_published(cell: DecisionCell, problem: Problem, published: str, known: WholeLatencies) -> DecisionCell:
    """The cell with the paper's point, what that costs here, and why the two differ if they do.

    Raises:
        ValueError: the network has no such point.
    """
    names = [point_name(problem.graph, length) for length in range(len(problem.graph.layers) + 1)]
    at = len(names) - 1 if published == names[-1] else names.index(published)
    terms = prefix_terms(problem)
    found = replace(cell, published=published, published_cost=float(terms.total[at]))
    return found if found.agrees else replace(found, reason=_reason(found, problem, terms, at, known))


def best_prefix(problem: Problem) -> tuple[str, float]:
    """The point of the best prefix, and how many times less it costs than everything on the server."""
    costs = prefix_terms(problem).total
    best = int(costs.argmin())
    return point_name(problem.graph, best), float(costs[0] / costs[best])


def headlines(cells: Sequence[DecisionCell], target: Objective, throughput: Sequence[MixThroughput]) -> Headlines:
    """Means and extremes of what the paper's algorithm gains over everything on the server."""
    ratios = [cell.server_only.cost / cell.chosen.cost for cell in cells]
    savings = [1 - 1 / ratio for ratio in ratios]
    times = [each.times for each in throughput if each.times is not None and each.device != "any"]
    by_latency = target == "latency"
    return Headlines(
        speedup_mean=statistics.mean(ratios) if by_latency else None,
        speedup_most=max(ratios) if by_latency else None,
        speedup_geometric_mean=statistics.geometric_mean(ratios) if by_latency else None,
        saving_mean=None if by_latency else statistics.mean(savings),
        saving_most=None if by_latency else max(savings),
        throughput_mean=statistics.mean(times) if times else None,
        throughput_most=max(times, default=None),
    )


def mix_throughput(cells: Iterable[DecisionCell]) -> tuple[MixThroughput, ...]:
    """The server's queries a second against everything on it, for each device and radio, networks asked alike."""
    mixes: dict[tuple[str, str], list[DecisionCell]] = {}
    for cell in cells:
        mixes.setdefault((cell.device, cell.radio), []).append(cell)
    mixes["any", "any"] = [cell for mix in mixes.values() for cell in mix]
    return tuple(MixThroughput(device=device, radio=radio, times=_times(mix)) for (device, radio), mix in mixes.items())


def _times(mix: Sequence[DecisionCell]) -> float | None:
    left_s = sum(cell.chosen.server_s for cell in mix)
    return sum(cell.server_only.server_s for cell in mix) / left_s if left_s else None


def _planned(problem: Problem, planner: Planner) -> Decision:
    return _decision(problem, planner.rank(problem).options[0])


def _decision(problem: Problem, option: Option) -> Decision:
    return Decision(
        point=point_name(problem.graph, len(option.device_layers)),
        cost=objective(problem, option),
        server_s=option.breakdown.server_s.value,
    )


def _reason(cell: DecisionCell, problem: Problem, terms: PrefixTerms, at: int, known: WholeLatencies) -> str:
    """From the figures: by how much the point loses, what would make it win, and what is published of the whole."""
    if cell.published_cost is None:
        return ""
    ratio = cell.published_cost / cell.chosen.cost
    loses = f"{ratio - 1:+.0%}" if ratio < _SHOWN_AS_TIMES else f"{ratio:.1f}×"
    words = [f"{cell.published} costs {loses} here"]
    if ratio - 1 < abs(known.residual):
        words[0] += f", less than the calibrated device is off this network as a whole ({known.residual:+.0%})"
    needs = [
        _need(agreeing_factors(terms.device, terms.uplink + terms.fixed, at), "a device"),
        _need(agreeing_factors(terms.uplink, terms.device + terms.fixed, at), "an uplink"),
    ]
    met = [need for need in needs if need]
    words.append("it is best with " + " or ".join(met) if met else "no speed of device or uplink makes it best")
    if problem.target == "latency":
        words += _by_published_latencies(cell, problem, known)
    return "; ".join(words)


def _by_published_latencies(cell: DecisionCell, problem: Problem, known: WholeLatencies) -> list[str]:
    """Whether what is published of the whole network speaks against the paper's point, without any model of layers."""
    tensors = problem.graph.tensor_by_name
    sending_s = sum(tensors[name].size_bytes for name in problem.graph.inputs) * 8 / problem.link.uplink_bps
    there_s = sending_s + known.server_s
    on_device, on_server = cell.published == cell.device_only.point, cell.published == INPUT
    if not (on_server and known.device_s < there_s) and not (on_device and there_s < known.device_s):
        return []
    return [
        f"by the published latencies themselves all on the device takes {format_duration(known.device_s)}, all on the "
        f"server {format_duration(there_s)}"
    ]


def _need(factors: tuple[float, float] | None, what: str) -> str:
    """The nearest factor that makes the point best, in words; empty where there is none that can be had."""
    if factors is None:
        return ""
    low, high = factors
    if low > 1:
        return f"{what} {low:.2f}× slower"
    if _TIED < high < 1:
        return f"{what} {1 / high:.2f}× faster"
    return ""
