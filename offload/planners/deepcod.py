"""DeepCOD's planner: where to cut a model and which codec bridges the cut (Yao et al., SenSys 2020).

The paper takes the compression point p of the least t_p(edge) + t_p(local) + d_p / B under an accuracy floor. Here
the codecs compete, too, each with its measured size, accuracy and time at each cut; the time of a transfer is the
measured link's t(size), which for a few hundred bytes is far from d / B; and the cuts at which tensors cross as they
are (`MinCut`) are among the candidates, so that no codec is chosen that does worse than none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from offload.artifacts.plan import Coding, Option
from offload.errors import VerdictError
from offload.graph.cuts import Cut, single_tensor_cuts
from offload.planners.base import Problem, Ranking
from offload.planners.constraints import Limit, limits_of
from offload.planners.costs import make_option
from offload.planners.ideals import table_of
from offload.planners.legality import legality
from offload.planners.mincut import MOST_OPTIONS, MinCut
from offload.planners.objective import objective

_ROUNDING = 1e-9
"""How far beyond a limit, as a fraction, still counts as keeping to it."""


class DeepCOD:
    """The planner of cuts and codecs; exact wherever `MinCut` is: all codecs at all single-tensor cuts are compared."""

    name = "deepcod"

    def rank(self, problem: Problem) -> Ranking:
        """The best of all pairs of cut and codec, and of all cuts without one.

        Raises:
            OffloadError: pins and privacy contradict one another.
            VerdictError: nothing keeps to the limits and the accuracy asked for; says what comes nearest.
        """
        coded = tuple(_coded(problem))
        kept = [option for option in coded if accurate(problem, option.coding)]
        plain, refusal = self._plain(problem)
        options = sorted([*(plain.options if plain else ()), *kept], key=lambda option: objective(problem, option))
        if not options:
            raise refusal if refusal and not coded else _too_inaccurate(problem, coded)
        best = objective(problem, options[0])
        compared = f"{len(coded)} pairs of a cut and a codec were compared, {len(kept)} of them accurate enough"
        if plain is None:
            plain = Ranking(options=(), exact=True, considered=0, bound=best)
        return Ranking(
            options=tuple(options[:MOST_OPTIONS]),
            exact=plain.exact,
            considered=plain.considered + len(coded),
            legal_cuts=plain.legal_cuts,
            bound=None if plain.bound is None else min(best, plain.bound),
            notes=(*plain.notes, compared),
        )

    @staticmethod
    def _plain(problem: Problem) -> tuple[Ranking | None, VerdictError | None]:
        """The cuts without a codec, or why there is none to take."""
        if not accurate(problem, None):
            return None, None
        try:
            return MinCut().rank(problem), None
        except VerdictError as refusal:
            return None, refusal


def accurate(problem: Problem, coding: Coding | None) -> bool:
    """Whether the model behind a codec is as accurate as asked; without one it is as accurate as intact."""
    constraints = problem.constraints
    change = 0.0 if coding is None else coding.accuracy_change.value
    accuracy = (problem.intact_accuracy or 0.0) if coding is None else coding.accuracy
    most_loss, least = constraints.max_accuracy_loss, constraints.min_accuracy
    return (most_loss is None or -change <= most_loss + _ROUNDING) and (least is None or accuracy >= least - _ROUNDING)


def _coded(problem: Problem) -> Iterator[Option]:
    """Every pair of a legal single-tensor cut and a codec that keeps to the limits, accuracy aside."""
    legal, limits = legality(problem), limits_of(problem)
    for tensor, codings in problem.codings.items():
        for cut in single_tensor_cuts(problem.graph, tensor):
            if legal.allows(cut.device):
                for coding in codings:
                    option = make_option(problem, cut, coding)
                    if _keeps(problem, limits, cut, option):
                        yield option


def _keeps(problem: Problem, limits: Sequence[Limit], cut: Cut, option: Option) -> bool:
    for limit in limits:
        if limit.side is not None:
            value = float(limit.values(table_of(problem.graph, [cut.device]))[0])
        else:
            cost = option.cost("latency" if limit.quantity == "latency" else "energy")
            value = float("inf") if cost is None else cost.value
        if value > limit.most * (1 + _ROUNDING):
            return False
    return True


def _too_inaccurate(problem: Problem, coded: Sequence[Option]) -> VerdictError:
    """What to say when nothing is accurate enough: the most accurate that there is."""
    constraints, intact = problem.constraints, problem.intact_accuracy or 0.0
    asked = [f"at least {constraints.min_accuracy:.1%}"] if constraints.min_accuracy is not None else []
    if constraints.max_accuracy_loss is not None:
        asked.append(f"a loss of at most {constraints.max_accuracy_loss:.1%}")
    offered = [option.coding for option in coded if option.coding is not None]
    best = max(offered, key=lambda coding: coding.accuracy, default=None)
    told = "" if best is None else f"; of the codecs within the limits {best.method} reaches most, {best.accuracy:.1%}"
    return VerdictError(
        f"nothing is as accurate as asked, {' and '.join(asked)}: the intact model reaches {intact:.1%}{told}",
        hint="loosen --min-accuracy or --max-accuracy-loss, or train codecs with a higher --ratio",
    )
