"""Limits on what a cut may take, and the verdict when no cut keeps to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.plan import Side
from offload.errors import VerdictError
from offload.planners.base import Problem
from offload.planners.costs import LinearCosts, linear_costs
from offload.planners.ideals import CutTable
from offload.units import format_duration, format_energy, format_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROUNDING = 1e-9
"""How far above a limit, as a fraction, still counts as keeping to it."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The most that a cut may take of something."""

    option: str
    """The command-line option that sets it."""
    quantity: str
    most: float
    costs: LinearCosts
    """What adds up to the quantity; for memory the weights alone, which it is at least."""
    words: Callable[[float], str]
    """The quantity as people read it."""
    side: Side | None = None
    """Whose memory; None for what adds up."""

    def values(self, table: CutTable) -> NDArray[np.float64]:
        """What each cut takes; shape (cuts,)."""
        return table.sums(self.costs) if self.side is None else table.memory(self.side)

    def met(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which values keep to the limit; shape (cuts,)."""
        import numpy as np

        return np.asarray(values <= self.most * (1 + _ROUNDING))


def limits_of(problem: Problem) -> tuple[Limit, ...]:
    """The limits that a problem sets."""
    constraints, found = problem.constraints, []
    if constraints.max_latency_s is not None:
        costs = linear_costs(dataclasses.replace(problem, target="latency"))
        found.append(
            Limit(
                option="--max-latency",
                quantity="latency",
                most=constraints.max_latency_s,
                costs=costs,
                words=format_duration,
            )
        )
    if constraints.max_energy_j is not None:
        costs = linear_costs(dataclasses.replace(problem, target="energy"))
        found.append(
            Limit(
                option="--max-energy",
                quantity="energy",
                most=constraints.max_energy_j,
                costs=costs,
                words=format_energy,
            )
        )
    memories: tuple[tuple[Side, float | None], ...] = (
        ("device", constraints.device_memory_bytes),
        ("server", constraints.server_memory_bytes),
    )
    for side, most in memories:
        if most is not None:
            found.append(
                Limit(
                    option=f"--{side}-memory",
                    quantity=f"{side} memory",
                    most=most,
                    costs=_weights(problem, side),
                    words=format_size,
                    side=side,
                )
            )
    return tuple(found)


def within(limits: Sequence[Limit], table: CutTable) -> NDArray[np.bool_]:
    """Which cuts keep to all limits; shape (cuts,)."""
    import numpy as np

    allowed = np.ones(table.size, dtype=np.bool_)
    for limit in limits:
        allowed &= limit.met(limit.values(table))
    return allowed


def infeasible(limits: Sequence[Limit], table: CutTable, *, which: str) -> VerdictError:
    """What to say when no cut keeps to the limits: the one that binds, and by how much.

    The limit named is the one whose loosening alone, by the smallest fraction, would let a cut through; where no
    single one would, those that no cut reaches even when it is the only one.

    Args:
        limits: The limits.
        table: The cuts that were compared.
        which: What they are, as "any cut" or "any prefix cut".
    """
    import numpy as np

    values = [limit.values(table) for limit in limits]
    met = [limit.met(each) for limit, each in zip(limits, values, strict=True)]
    binding = []
    for number, limit in enumerate(limits):
        others = np.all([each for at, each in enumerate(met) if at != number] or [np.ones(table.size, bool)], axis=0)
        if others.any():
            least = float(values[number][others].min())
            binding.append((least / limit.most if limit.most else np.inf, number, least))
    if binding:
        _, number, least = min(binding)
        scope = which if len(limits) == 1 else f"{which} within the other limits"
        return verdict([(limits[number], least)], which=scope)
    alone = [(limit, float(each.min())) for limit, each, ok in zip(limits, values, met, strict=True) if not ok.any()]
    return verdict(alone, which=which) if alone else _contradicting(limits, which)


def verdict(short: Sequence[tuple[Limit, float]], *, which: str) -> VerdictError:
    """The error that names limits with the least that can be reached of each."""
    said = [
        f"the least {limit.quantity} {which} reaches is {limit.words(least)}, {limit.option} asks for "
        f"{limit.words(limit.most)}: {limit.words(least - limit.most)} short"
        for limit, least in short
    ]
    options = " and ".join(limit.option for limit, _ in short)
    faster = ", or plan for a faster link or server" if any(limit.side is None for limit, _ in short) else ""
    return VerdictError("; ".join(said), hint=f"loosen {options}{faster}")


def _contradicting(limits: Sequence[Limit], which: str) -> VerdictError:
    options, cut = ", ".join(limit.option for limit in limits), which.removeprefix("any ")
    return VerdictError(
        f"no {cut} keeps to {options} together, though some {cut} keeps to each",
        hint="loosen more than one of them, or plan for a faster link or server",
    )


def _weights(problem: Problem, side: Side) -> LinearCosts:
    weights = tuple(float(layer.weight_bytes) for layer in problem.graph.layers)
    nothing = (0.0,) * len(weights)
    free = {tensor.name: 0.0 for tensor in problem.graph.tensors}
    return LinearCosts(
        device=weights if side == "device" else nothing,
        server=weights if side == "server" else nothing,
        up=free,
        down=free,
        device_fixed=0.0,
        offload_fixed=0.0,
        divided_fixed=0.0,
        units=(),
    )
