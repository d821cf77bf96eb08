"""Make a plan: let a planner rank the options and put the answer beside its baselines."""

from __future__ import annotations

from offload.artifacts.estimate import median_estimate
from offload.artifacts.plan import Option, Party, Plan
from offload.artifacts.profile import Profile
from offload.graph.cuts import make_cut
from offload.planners.base import Planner, Problem, check_problem
from offload.planners.costs import make_option
from offload.planners.neurosurgeon import Neurosurgeon

PLANNERS: dict[str, Planner] = {Neurosurgeon.name: Neurosurgeon()}
_ALTERNATIVES = 5


def make_plan(problem: Problem, *, planner: Planner, device_hash: str, server_hash: str) -> Plan:
    """The plan for a problem.

    Args:
        problem: Profiles, link and target.
        planner: One of PLANNERS.
        device_hash: SHA-256 of the device's profile document.
        server_hash: SHA-256 of the server's profile document.

    Raises:
        OffloadError: the inputs do not belong together (see `check_problem`).
    """
    check_problem(problem)
    ranking = planner.rank(problem)
    chosen, *others = ranking.options
    layers = range(len(problem.graph.layers))
    return Plan.create(
        model=problem.device.model,
        planner=planner.name,
        target=problem.target,
        codec="raw",
        device=_party(problem.device, device_hash, problem.device_slowdown),
        server=_party(problem.server, server_hash, 1.0),
        link=problem.link,
        radio=problem.radio,
        chosen=chosen,
        device_only=make_option(problem, make_cut(problem.graph, layers)),
        server_only=make_option(problem, make_cut(problem.graph, ())),
        alternatives=tuple(others[:_ALTERNATIVES]),
        cannot_tell_apart=tuple(option.words for option in others if _overlap(problem, chosen, option)),
        considered=ranking.considered,
        warnings=_warnings(problem),
    )


def _party(profile: Profile, profile_hash: str, slowdown: float) -> Party:
    return Party(
        runtime=profile.runtime,
        source=profile.source,
        preset=profile.server_preset,
        profile_hash=profile_hash,
        reference_s=median_estimate(profile.reference_s).value if profile.reference_s else None,
        slowdown=slowdown,
    )


def _overlap(problem: Problem, one: Option, other: Option) -> bool:
    if problem.target == "latency":
        return one.breakdown.latency_s.overlaps(other.breakdown.latency_s)
    a, b = one.breakdown.energy_j, other.breakdown.energy_j
    return a is not None and b is not None and a.overlaps(b)


def _warnings(problem: Problem) -> tuple[str, ...]:
    found = []
    if problem.server.source == "assumed":
        found.append(
            f"the server's times are assumed from published peak rates ({problem.server.server_preset}), not measured: "
            "give --server a profile made there, or HOST:PORT"
        )
    for side, profile in (("device", problem.device), ("server", problem.server)):
        if profile.stopped in ("interrupted", "time cap"):
            found.append(
                f"the {side}'s profile ended ({profile.stopped}) before it was as precise as asked: "
                "profile again, or raise --max-time"
            )
    if not problem.device.protocol:
        found.append("the serving protocol's own cost is not in the device's profile and counts as zero: profile again")
    radio = problem.radio
    if radio is not None and problem.link.uplink_bps > radio.fitted_to_bps:
        found.append(
            f"the {radio.name} radio's power is published up to {radio.fitted_to_bps / 1e6:g} Mbit/s and held there "
            "for the faster link: take the energy as a rough figure"
        )
    if problem.device.model.untrained:
        found.append("untrained weights: times are real, the model's answers mean nothing")
    return tuple(found)
