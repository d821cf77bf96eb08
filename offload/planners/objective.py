"""What a problem's target minimises, as a figure of an option and as coefficients for algorithms."""

from __future__ import annotations

from collections.abc import Sequence

from offload.artifacts.plan import Option
from offload.planners.base import Problem
from offload.planners.costs import LinearCosts, linear_costs, stage_costs


def objective(problem: Problem, option: Option) -> float:
    """Seconds of a request, joules, or seconds between answers."""
    cost = option.cost(problem.target)
    if cost is None:
        raise ValueError("a figure for the target is missing; check_problem refuses the problem then")
    return cost.value


def objective_costs(problem: Problem) -> tuple[LinearCosts, ...]:
    """The sums whose largest is the objective: one for latency and energy, the stages' for throughput."""
    return stage_costs(problem) if problem.target == "throughput" else (linear_costs(problem),)


def combined(parts: Sequence[tuple[float, LinearCosts]]) -> LinearCosts:
    """The sum of some costs of one problem, each times its weight."""
    first = parts[0][1]
    return LinearCosts(
        device=tuple(sum(w * cost.device[i] for w, cost in parts) for i in range(len(first.device))),
        server=tuple(sum(w * cost.server[i] for w, cost in parts) for i in range(len(first.server))),
        up={name: sum(w * cost.up[name] for w, cost in parts) for name in first.up},
        down={name: sum(w * cost.down[name] for w, cost in parts) for name in first.down},
        device_fixed=sum(w * cost.device_fixed for w, cost in parts),
        offload_fixed=sum(w * cost.offload_fixed for w, cost in parts),
        divided_fixed=sum(w * cost.divided_fixed for w, cost in parts),
        units=first.units,
    )
