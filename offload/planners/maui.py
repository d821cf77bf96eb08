"""MAUI's scheduling by history (Cuervo et al., MobiSys 2010), as Neurosurgeon compares itself with it.

MAUI predicts what a function costs by what the function took when it was last invoked. In a neural network the
function is the layer's type, so one fully connected layer's time stands in for that of the next, whatever its size
(Kang et al., ASPLOS 2017).

Assumed here, where the papers leave it open:

- A kernel's function is its kind (`Profile.group_kinds`); each side has a history of its own.
- Requests follow one another: a kernel is predicted by the kernel of its kind before it in the graph's order, and the
  first of its kind by the last one of the request before. So a kind with one kernel is predicted exactly.
- What tensors take to cross is known exactly: it is their size that MAUI looks at, not a history.
- It chooses among the cuts that Neurosurgeon chooses among. Limits, and the cost that is reported of every option, are
  those of the actual kernels: history misleads the choice only.
"""

from __future__ import annotations

from dataclasses import replace

from offload.artifacts.profile import Profile
from offload.planners.base import Problem, Ranking
from offload.planners.costs import LinearCosts
from offload.planners.neurosurgeon import rank_prefixes
from offload.planners.objective import objective, objective_costs


class Maui:
    """The comparison planner."""

    name = "maui"

    def rank(self, problem: Problem) -> Ranking:
        """The cut that history makes best first, then the others by their actual cost; see `Planner`."""
        found = rank_prefixes(problem, [remembered(problem, costs) for costs in objective_costs(problem)])
        chosen, *others = found.options
        others.sort(key=lambda option: objective(problem, option))
        return replace(found, options=(chosen, *others))


def remembered(problem: Problem, costs: LinearCosts) -> LinearCosts:
    """The costs as history predicts them: each kernel costs what the one of its kind before it does."""
    return replace(
        costs,
        device=_by_history(problem.device, costs.device),
        server=_by_history(problem.server, costs.server),
    )


def _by_history(profile: Profile, costs: tuple[float, ...]) -> tuple[float, ...]:
    """Costs of layers, with each kernel's whole cost at its first layer, moved on by one within each kind."""
    of_kind: dict[str, list[int]] = {}
    for first, kind in sorted(zip((group.layers[0] for group in profile.groups), profile.group_kinds, strict=True)):
        of_kind.setdefault(kind, []).append(first)
    found = list(costs)
    for layers in of_kind.values():
        for before, layer in zip([layers[-1], *layers], layers, strict=False):
            found[layer] = costs[before]
    return tuple(found)
