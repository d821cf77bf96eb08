"""Make a plan: let a planner rank the options and put the answer beside its baselines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from offload.artifacts.estimate import median_estimate
from offload.artifacts.plan import ColdStart, Limits, Offer, Option, Party, Place, Plan, requests_per_charge
from offload.artifacts.profile import Profile
from offload.errors import UsageError, VerdictError
from offload.graph.cuts import make_cut
from offload.planners.base import Planner, Problem, check_energy, check_problem
from offload.planners.constraints import limits_of, within
from offload.planners.costs import make_option
from offload.planners.deepcod import DeepCOD
from offload.planners.ideals import table_of
from offload.planners.legality import legality
from offload.planners.maui import Maui
from offload.planners.mincut import MinCut
from offload.planners.neurosurgeon import Neurosurgeon
from offload.planners.objective import objective
from offload.planners.pareto import pareto_front
from offload.planners.thresholds import policy

PLANNERS: dict[str, Planner] = {planner.name: planner for planner in (MinCut(), Neurosurgeon(), Maui(), DeepCOD())}
_ALTERNATIVES = 5
_ROUGH = 0.005
"""Of a predicted side's time: less beyond what was sampled is not worth saying."""


def load_planner(name: str) -> Planner:
    """The planner of that name.

    Raises:
        UsageError: there is none; the hint names near ones, or all there are.
    """
    if name not in PLANNERS:
        known = (*PLANNERS, "elf")  # the command line plans clips with that one
        near = get_close_matches(name.lower(), known, n=1) or known
        raise UsageError(f"there is no planner {name!r}", hint="planners: " + ", ".join(near))
    return PLANNERS[name]


def make_plan(
    problem: Problem,
    *,
    planner: Planner,
    device_hash: str,
    server_hash: str,
    server_name: str | None = None,
    battery_j: float | None = None,
    pareto: bool = False,
    codec_data: str | None = None,
    codec_examples: int = 0,
    warnings: Sequence[str] = (),
) -> Plan:
    """The plan for a problem.

    Args:
        problem: Profiles, link, target and constraints.
        planner: One of PLANNERS.
        device_hash: SHA-256 of the device's profile document.
        server_hash: SHA-256 of the server's profile document.
        server_name: How the user named the server.
        battery_j: Energy of a full battery, to tell how many requests it lasts for.
        pareto: Whether to list the options that no other beats in both latency and energy.
        codec_data: What the accuracies of the problem's codings were measured on.
        codec_examples: How many of its test examples, the first ones.
        warnings: What the caller assumed, to stand before the plan's own warnings.

    Raises:
        OffloadError: the inputs do not belong together (see `check_problem`).
        VerdictError: no cut keeps to the constraints.
    """
    check_problem(problem)
    if battery_j is not None:
        check_energy(problem, "--battery")
    ranking = planner.rank(problem)
    chosen, *others = ranking.options
    front = pareto_front(problem) if pareto else None
    device_only = _baseline(problem, range(len(problem.graph.layers)))
    return Plan.create(
        model=problem.device.model,
        planner=planner.name,
        target=problem.target,
        codec=chosen.codec,
        device=_party(problem.device, device_hash, slowdown=problem.device_slowdown, load=problem.device_load),
        server=_party(problem.server, server_hash, load=problem.server_load, name=server_name),
        link=problem.link,
        uplink_message_bytes=problem.protocol.uplink.message_bytes,
        downlink_message_bytes=problem.protocol.downlink.message_bytes,
        radio=problem.radio,
        chosen=chosen,
        device_only=device_only,
        server_only=_baseline(problem, ()),
        alternatives=tuple(others[:_ALTERNATIVES]),
        cannot_tell_apart=tuple(option.words for option in others if _overlap(problem, chosen, option)),
        considered=ranking.considered,
        do_not_offload=objective(problem, chosen) >= objective(problem, device_only),
        exact=ranking.exact,
        legal_cuts=ranking.legal_cuts,
        bound=ranking.bound,
        notes=(*ranking.notes, *(front.notes if front else ())),
        policy=None
        if problem.codings
        else policy(problem, tried=[frozenset(option.device_layers) for option in ranking.options]),
        warnings=(*warnings, *_warnings(problem), *_accuracy_warnings(problem, chosen)),
        paper_energy=problem.paper_energy,
        limits=_limits(problem),
        ruled_out=_ruled_out(problem),
        paper_choice=_paper_choice(problem, chosen) if planner.name != Neurosurgeon.name else None,
        pareto=front.options if front else (),
        battery_j=battery_j,
        requests_per_charge=None if battery_j is None else requests_per_charge(battery_j, chosen),
        cold_start=_cold_start(problem, chosen, device_only),
        codec_data=codec_data,
        codec_examples=codec_examples,
    )


def best_plan(plans: Sequence[Plan]) -> Plan:
    """The plan of the server that serves the target best, with what the others could do at best.

    Args:
        plans: One for each server, for the same device, target and constraints; at least one.
    """
    best, *others = sorted(plans, key=_target_value)
    offers = tuple(Offer(server=plan.server, best=plan.chosen) for plan in others)
    return best.model_copy(update={"other_servers": offers})


def _target_value(plan: Plan) -> float:
    cost = plan.chosen.cost(plan.target)
    if cost is None:
        raise ValueError("the target's cost is not known; check_problem refuses it then")
    return cost.value


def _baseline(problem: Problem, device_layers: Iterable[int]) -> Option:
    return make_option(problem, make_cut(problem.graph, device_layers))


def _party(
    profile: Profile, profile_hash: str, *, slowdown: float = 1.0, load: float = 1.0, name: str | None = None
) -> Party:
    return Party(
        runtime=profile.runtime,
        source=profile.source,
        preset=profile.server_preset,
        profile_hash=profile_hash,
        reference_s=median_estimate(profile.reference_s).value if profile.reference_s else None,
        slowdown=slowdown,
        load=load,
        name=name,
    )


def _limits(problem: Problem) -> Limits:
    constraints, layers = problem.constraints, problem.graph.layers
    return Limits(
        max_latency_s=constraints.max_latency_s,
        max_energy_j=constraints.max_energy_j,
        device_memory_bytes=constraints.device_memory_bytes,
        server_memory_bytes=constraints.server_memory_bytes,
        pins={layers[index].name: side for index, side in constraints.pins.items()},
        private_depth=None if constraints.private_depth is None else layers[constraints.private_depth].name,
        max_accuracy_loss=constraints.max_accuracy_loss,
        min_accuracy=constraints.min_accuracy,
    )


def _ruled_out(problem: Problem) -> tuple[Place, ...]:
    if not problem.constraints.bounded and not problem.constraints.pins and problem.constraints.private_depth is None:
        return ()
    graph, legal, limits = problem.graph, legality(problem), limits_of(problem)
    baselines: dict[Place, frozenset[int]] = {"device": frozenset(range(len(graph.layers))), "server": frozenset()}
    return tuple(
        place
        for place, layers in baselines.items()
        if not legal.allows(layers) or not within(limits, table_of(graph, [layers])).all()
    )


def _paper_choice(problem: Problem, chosen: Option) -> Option | None:
    """What the paper's algorithm chooses, unless it is the same cut or none of its cuts keeps to the constraints."""
    try:
        paper = Neurosurgeon().rank(problem).options[0]
    except VerdictError:
        return None
    return None if paper.device_layers == chosen.device_layers else paper


def _cold_start(problem: Problem, chosen: Option, device_only: Option) -> ColdStart | None:
    """What uploading the server's part takes, and after how many requests faster than device-only it has paid.

    None without such a part, and for torch models: the server has its own copy.
    """
    here = set(chosen.device_layers)
    tail = [layer for index, layer in enumerate(problem.graph.layers) if index not in here]
    if not tail or problem.device.runtime.name == "torch":
        return None
    names = sum(len(text) for layer in tail for text in (layer.name, layer.op, *layer.inputs, *layer.outputs))
    tail_bytes = sum(layer.weight_bytes for layer in tail) + names
    if chosen.coding is not None:
        tail_bytes += chosen.coding.decoder_bytes
    upload_s = problem.link.uplink_s(tail_bytes, problem.protocol.uplink)
    won_s = device_only.breakdown.latency_s.value - chosen.breakdown.latency_s.value
    return ColdStart(
        tail_bytes=tail_bytes,
        upload_s=upload_s,
        pays_after=max(1, math.ceil(upload_s.value / won_s)) if won_s > 0 else None,
    )


def _accuracy_warnings(problem: Problem, chosen: Option) -> list[str]:
    coding, most = chosen.coding, problem.constraints.max_accuracy_loss
    if coding is None or most is None or -coding.accuracy_change.low <= most:
        return []
    return [
        f"the loss of accuracy may be {-coding.accuracy_change.low:.1%}, more than the {most:.1%} asked for: bench the "
        "codecs on more examples and seeds to be surer"
    ]


def _overlap(problem: Problem, one: Option, other: Option) -> bool:
    a, b = one.cost(problem.target), other.cost(problem.target)
    return a is not None and b is not None and a.overlaps(b)


def _predicted_warning(side: str, profile: Profile) -> str:
    rough = [
        f"{100 * share:.1f} % of its time {words}"
        for share, words in (
            (profile.beyond_share, "in layers beyond what was sampled"),
            (profile.unknown_share, "in kinds of kernels without samples"),
        )
        if share > _ROUGH
    ]
    told = f", {' and '.join(rough)}" if rough else ""
    half = 100 * profile.whole.relative_half_width
    return (
        f"the {side}'s times are predicted from fitted costs, within ±{half:.0f} % in 95 % of cases{told}: "
        "profile there to be surer"
    )


def _warnings(problem: Problem) -> tuple[str, ...]:
    found = []
    if problem.device.source == "assumed":
        found.append(
            f"the device's times are assumed from published peak rates ({problem.device.server_preset}), not measured: "
            "profile on the device itself"
        )
    if problem.server.source == "assumed":
        found.append(
            f"the server's times are assumed from published peak rates ({problem.server.server_preset}), not measured: "
            "give --server a profile made there, or HOST:PORT"
        )
    for side, profile in (("device", problem.device), ("server", problem.server)):
        if profile.source == "predicted":
            found.append(_predicted_warning(side, profile))
        if profile.stopped in ("interrupted", "time cap"):
            found.append(
                f"the {side}'s profile ended ({profile.stopped}) before it was as precise as asked: "
                "profile again, or raise --max-time"
            )
    if not problem.device.protocol:
        found.append(
            "the serving protocol's own cost is not in the device's profile and counts as zero: `offload profile` "
            "on the device measures it"
        )
    elif not problem.protocol.uplink.message_bytes and problem.link.uplink_curve is None:
        found.append(
            "the device's profile does not tell what messages carry beside tensors, which counts as no bytes: "
            "`offload profile` of this version counts them"
        )
    radio, link = problem.radio, problem.link
    if radio is not None:
        beyond = [
            f"{fitted_bps / 1e6:g} Mbit/s {direction}"
            for direction, rate_bps, fitted_bps in (
                ("up", link.uplink_bps, radio.fitted_to_bps),
                ("down", link.downlink_bps, radio.down_fitted_to_bps),
            )
            if fitted_bps is not None and rate_bps > fitted_bps
        ]
        if beyond:
            found.append(
                f"the {radio.name} radio's power is published up to {' and '.join(beyond)} and held there for the "
                "faster link: take the energy as a rough figure"
            )
    if radio is not None and radio.down_alpha_w_per_bps is None and not problem.paper_energy:
        found.append(
            f"the {radio.name} radio's power while receiving is not published and counts as its base power: the energy "
            "of receiving is at least what is shown"
        )
    if problem.device.model.untrained:
        found.append("untrained weights: times are real, the model's answers mean nothing")
    return tuple(found)
