"""What cuts cost as a function of the uplink's rate and of the server's load.

Every sum of `linear_costs` and `stage_costs` is affine in the seconds that a bit takes and in the load, but for the
radio's power: it is affine in the rate up to where its fit was published, and held beyond. So the energy is affine on
either side of that rate, and four coefficients tell it everywhere (`Terms`).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.plan import Target
from offload.artifacts.policy import FASTEST_BPS, HEAVIEST_LOAD, LIGHTEST_LOAD, SLOWEST_BPS
from offload.graph.cuts import Cut
from offload.planners.base import Problem
from offload.planners.constraints import limits_of
from offload.planners.costs import LinearCosts, linear_costs
from offload.planners.ideals import CutTable
from offload.planners.objective import combined, objective_costs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_APART = 1 + 1e-6
"""Rates nearer than this to the end of the range count as the end."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A range of seconds that a bit takes, and of server loads."""

    fast_s: float
    slow_s: float
    light: float
    heavy: float

    @property
    def corners(self) -> tuple[tuple[float, float], ...]:
        """Its corners in a row around it: seconds a bit, and load."""
        return (
            (self.fast_s, self.light),
            (self.slow_s, self.light),
            (self.slow_s, self.heavy),
            (self.fast_s, self.heavy),
        )


@dataclass(frozen=True, kw_only=True)
class Region:
    """What a policy looks at."""

    slowest_bps: float
    fastest_bps: float
    light: float
    heavy: float
    fitted_bps: float | None
    """The rate in the range beyond which the radio's power is held; None when there is none, or it does not matter."""

    @property
    def rates(self) -> tuple[float, ...]:
        """The ends of the ranges of rates in which all costs are affine, slowest first."""
        inside = () if self.fitted_bps is None else (self.fitted_bps,)
        return (self.slowest_bps, *inside, self.fastest_bps)

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The parts in which all costs are affine, slowest first."""
        rates = self.rates
        return tuple(
            Box(fast_s=1 / fast, slow_s=1 / slow, light=self.light, heavy=self.heavy)
            for slow, fast in itertools.pairwise(rates)
        )

    def powers(self, bit_s: float, load: float) -> tuple[float, float, float, float]:
        """What the four coefficients are multiplied by at a point."""
        return 1.0, load, bit_s, 1.0 if self.fitted_bps is None else min(1.0, self.fitted_bps * bit_s)

    def affine(self, box: Box) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
        """What to sum the four coefficients with for the constant, the slope in the seconds a bit, and in the load."""
        if self.fitted_bps is None or box.slow_s > 1 / self.fitted_bps:
            return (1, 0, 0, 1), (0, 0, 1, 0), (0, 1, 0, 0)
        return (1, 0, 0, 0), (0, 0, 1, self.fitted_bps), (0, 1, 0, 0)


def region_of(problem: Problem) -> Region:
    """The rates and loads looked at for a problem: the usual ones and its own."""
    rate, load = problem.link.uplink_bps, problem.server_load
    slowest, fastest = min(SLOWEST_BPS, rate), max(FASTEST_BPS, rate)
    matters = problem.target == "energy" or problem.constraints.max_energy_j is not None
    fitted = problem.radio.fitted_to_bps if matters and problem.radio is not None else None
    inside = fitted is not None and slowest * _APART < fitted < fastest / _APART
    return Region(
        slowest_bps=slowest,
        fastest_bps=fastest,
        light=min(LIGHTEST_LOAD, load),
        heavy=max(HEAVIEST_LOAD, load),
        fitted_bps=fitted if inside else None,
    )


def at_point(problem: Problem, *, uplink_bps: float, server_load: float) -> Problem:
    """The problem at another uplink rate and load."""
    link = problem.link.at_rates(uplink_bps=uplink_bps, downlink_bps=problem.link.downlink_bps)
    return dataclasses.replace(problem, link=link, server_load=server_load)


@dataclass(frozen=True, kw_only=True)
class Formula:
    """The four coefficients of `Terms`, each as a sum over layers and tensors; None where it is nothing for all."""

    parts: tuple[LinearCosts | None, ...]

    def of_all(self, table: CutTable) -> NDArray[np.float64]:
        """The coefficients of each cut; shape (4, cuts)."""
        import numpy as np

        return np.array([np.zeros(table.size) if part is None else table.sums(part) for part in self.parts])

    def of(self, cut: Cut) -> tuple[float, ...]:
        """The coefficients of one cut."""
        return tuple(0.0 if part is None else part.of(cut) for part in self.parts)


def objective_formulas(problem: Problem, region: Region) -> tuple[Formula, ...]:
    """Those of the stages whose largest is the objective."""
    return _formulas([objective_costs(each) for each in _points(problem, region)], region)


def limit_formulas(problem: Problem, region: Region) -> tuple[tuple[Formula, float], ...]:
    """Those of what is limited and changes with the rate or the load, with the most it may be."""
    most = [limit.most for limit in limits_of(problem) if limit.side is None]
    limited: tuple[tuple[Target, float | None], ...] = (
        ("latency", problem.constraints.max_latency_s),
        ("energy", problem.constraints.max_energy_j),
    )
    targets = [target for target, value in limited if value is not None]
    costs = [
        tuple(linear_costs(dataclasses.replace(each, target=target)) for target in targets)
        for each in _points(problem, region)
    ]
    return tuple(zip(_formulas(costs, region), most, strict=True))


def _points(problem: Problem, region: Region) -> list[Problem]:
    """The problem at the ends of the ranges of rates, fastest first, and at the fastest with the heaviest load."""
    return [
        *(at_point(problem, uplink_bps=rate, server_load=region.light) for rate in reversed(region.rates)),
        at_point(problem, uplink_bps=region.fastest_bps, server_load=region.heavy),
    ]


def _formulas(costs: Sequence[tuple[LinearCosts, ...]], region: Region) -> tuple[Formula, ...]:
    return tuple(_formula(each, region) for each in zip(*costs, strict=True))


def _formula(at: Sequence[LinearCosts], region: Region) -> Formula:
    """From the costs at the points of `_points`."""
    fastest, *slower, heavy = at
    seconds = [1 / rate for rate in reversed(region.rates)]
    steps = [
        _scaled_difference(other, one, end - start)
        for one, other, start, end in zip((fastest, *slower), slower, seconds, seconds[1:], strict=False)
    ]
    per_load = _scaled_difference(heavy, fastest, region.heavy - region.light)
    fixed = combined([(1.0, fastest), (-seconds[0], steps[0]), (-region.light, per_load)])
    radio = combined([(seconds[1], steps[0]), (-seconds[1], steps[1])]) if len(steps) == 2 else None
    return Formula(parts=tuple(_unless_nothing(each) for each in (fixed, per_load, steps[-1], radio)))


def _scaled_difference(one: LinearCosts, other: LinearCosts, by: float) -> LinearCosts:
    return combined([(1 / by, one), (-1 / by, other)])


def _unless_nothing(costs: LinearCosts | None) -> LinearCosts | None:
    if costs is None:
        return None
    once = (costs.device_fixed, costs.offload_fixed, costs.divided_fixed)
    every = (*once, *costs.device, *costs.server, *costs.up.values(), *costs.down.values())
    return costs if any(every) else None
