"""Replay a bandwidth and a load under a plan: the adaptive session beside those that never change, and the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.plan import Plan
from offload.artifacts.policy import KEEPING, Policy
from offload.artifacts.simulation import Probing, SimulatedOption, Simulation, Strategy, StrategyRun
from offload.errors import OffloadError
from offload.simulation.knowledge import PROBE_BYTES, PROBE_EVERY_S, Knowledge, Observation
from offload.simulation.requests import Candidate, Conditions, Timed, candidates, time_requests
from offload.simulation.traces import Trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SWITCH_GAIN = 0.05
"""Another cut is taken when it promises to be so much better: what is known of the link is never exact."""
MOST_REQUESTS = 20_000


def simulate(
    plan: Plan,
    *,
    uplink_bps: Trace,
    server_load: Trace,
    duration_s: float,
    every_s: float,
    bandwidth_source: str = "given",
    load_source: str = "given",
) -> Simulation:
    """Requests at a fixed interval, each strategy at the same moments.

    Args:
        plan: For latency or energy, with its policy.
        uplink_bps: The uplink's rate over time.
        server_load: How many times longer the server takes, over time; at least 1.
        duration_s: When no more requests begin.
        every_s: Seconds between the beginnings of requests.
        bandwidth_source: Where the rate comes from, in words.
        load_source: Where the load comes from, in words.

    Raises:
        OffloadError: the plan has no policy to follow (see `candidates`), or no energy where it needs it, there would
            be too many requests, or a request would never end.
    """
    import numpy as np

    count = int(np.ceil(duration_s / every_s - 1e-9))
    if not 1 <= count <= MOST_REQUESTS:
        raise OffloadError(
            f"requests every {every_s:g} s for {duration_s:g} s are {count:,}, and 1 to {MOST_REQUESTS:,} are replayed",
            hint="give another --every or --duration",
        )
    starts = np.arange(count, dtype=np.float64) * every_s
    conditions = Conditions(plan=plan, uplink_bps=uplink_bps, server_load=server_load)
    found = candidates(plan)
    timed = [time_requests(candidate, conditions, starts) for candidate in found]
    if max(float(each.latency_s.max()) for each in timed) > 1e9:
        raise OffloadError("a request would take years over this link", hint="give a faster --bandwidth")
    needs_energy = plan.target == "energy" or plan.limits.max_energy_j is not None
    if needs_energy and any(each.energy_j is None for each in timed):
        raise OffloadError(
            "the plan is about energy, and does not tell what its cuts take of it",
            hint="plan again with this version of offload",
        )
    device_only, server_only, chosen = (
        _index(found, option.device_layers) for option in (plan.device_only, plan.server_only, plan.chosen)
    )
    session = _follow(plan, conditions, starts, found, timed, chosen)
    taken: dict[Strategy, Sequence[int]] = {
        "always server": [server_only] * count,
        "always device": [device_only] * count,
        "the plan's cut": [chosen] * count,
        "adaptive": session.taken,
        "oracle": _best(plan, found, timed),
    }
    return Simulation.create(
        plan_hash=plan.content_hash,
        model=plan.model,
        target=plan.target,
        bandwidth_source=bandwidth_source,
        load_source=load_source,
        every_s=every_s,
        started_s=tuple(starts.tolist()),
        uplink_bps=tuple((uplink_bps.between(starts, starts + every_s) / every_s).tolist()),
        server_load=tuple((server_load.between(starts, starts + every_s) / every_s).tolist()),
        options=tuple(_shown(candidate) for candidate in found),
        strategies=tuple(_run(strategy, options, timed) for strategy, options in taken.items()),
        probing=session.probing,
        limits=plan.limits,
        warnings=plan.warnings,
    )


def _index(found: Sequence[Candidate], device_layers: tuple[int, ...]) -> int:
    return next(number for number, each in enumerate(found) if each.device_layers == device_layers)


def _shown(candidate: Candidate) -> SimulatedOption:
    energy = candidate.breakdown.energy_j
    return SimulatedOption(
        words=candidate.words,
        device_layers=len(candidate.device_layers),
        uplink_bytes=candidate.uplink_bytes,
        predicted_s=candidate.breakdown.latency_s.value,
        predicted_j=None if energy is None else energy.value,
    )


def _run(strategy: Strategy, options: Sequence[int], timed: Sequence[Timed]) -> StrategyRun:
    energies = [timed[option].energy_j for option in options]
    return StrategyRun(
        strategy=strategy,
        options=tuple(options),
        latency_s=tuple(float(timed[option].latency_s[number]) for number, option in enumerate(options)),
        energy_j=None
        if any(each is None for each in energies)
        else tuple(float(each[number]) for number, each in enumerate(energies) if each is not None),
    )


def _best(plan: Plan, found: Sequence[Candidate], timed: Sequence[Timed]) -> list[int]:
    """The option that is best for each request, known in advance; one that keeps to the limits where there is one."""
    import numpy as np

    costs = np.array([_cost(plan, each) for each in timed])
    beyond = np.zeros(costs.shape, dtype=bool)
    if plan.limits.max_latency_s is not None:
        beyond |= np.array([each.latency_s for each in timed]) > plan.limits.max_latency_s * KEEPING
    if plan.limits.max_energy_j is not None:
        beyond |= np.array([each.energy_j for each in timed]) > plan.limits.max_energy_j * KEEPING
    ruled_out = {
        "device": _index(found, plan.device_only.device_layers),
        "server": _index(found, plan.server_only.device_layers),
    }
    forbidden = [ruled_out[place] for place in plan.ruled_out if place in ruled_out]
    costs[forbidden] = np.inf
    kept = np.where(beyond, np.inf, costs)
    best = np.where(np.isfinite(kept).any(axis=0), kept.argmin(axis=0), costs.argmin(axis=0))
    return [int(option) for option in best]


def _cost(plan: Plan, timed: Timed) -> Array:
    if plan.target == "energy" and timed.energy_j is not None:
        return timed.energy_j
    return timed.latency_s


@dataclass(frozen=True, kw_only=True)
class _Session:
    taken: tuple[int, ...]
    probing: Probing


def _follow(
    plan: Plan,
    conditions: Conditions,
    starts: Array,
    found: Sequence[Candidate],
    timed: Sequence[Timed],
    chosen: int,
) -> _Session:
    """What a session does that follows the plan's policy by what it knows.

    It probes the server before its first request, and whenever no request has told the rate for a while.
    """
    import numpy as np

    if plan.policy is None:
        raise AssertionError("candidates refuses a plan without a policy")
    at = np.arange(0.0, float(starts[-1]) + PROBE_EVERY_S, PROBE_EVERY_S)
    probes = time_probes(conditions, at)
    knowledge, sent, next_probe = Knowledge(probes[0]), [0], 1
    number_of = {candidate.device_layers: number for number, candidate in enumerate(found)}
    taken: list[int] = []
    for number, start in enumerate(starts.tolist()):
        while next_probe < len(probes) and probes[next_probe].sent_s <= start:
            probe = probes[next_probe]
            if not knowledge.told_since(probe.sent_s - PROBE_EVERY_S, probe.sent_s):
                knowledge.send(probe)
                sent.append(next_probe)
            next_probe += 1
        rate_bps, load = knowledge.rate_and_load(start)
        option = _decide(plan.policy, number_of, rate_bps, load, present=taken[-1] if taken else None)
        taken.append(chosen if option is None else option)
        request, bits = timed[taken[-1]], found[taken[-1]].uplink_bits
        if bits or request.load is not None:
            observation = Observation(
                sent_s=float(request.sent_s[number]),
                known_s=start + float(request.latency_s[number]),
                bits=bits,
                sending_s=float(request.sending_s[number]),
                load=None if request.load is None else float(request.load[number]),
            )
            knowledge.send(observation)
    joules = None
    if conditions.radio_w is not None:
        ends = at[sent] + np.array([probes[number].sending_s for number in sent])
        joules = float(conditions.radio_w.between(at[sent], ends).sum())
    return _Session(taken=tuple(taken), probing=Probing(probes=len(sent), bytes_each=PROBE_BYTES, energy_j=joules))


def time_probes(conditions: Conditions, at: Array) -> list[Observation]:
    """What probes sent at these times tell: a message of `PROBE_BYTES` that the server answers with its load."""
    bits = PROBE_BYTES * 8.0
    passed = conditions.uplink_bps.finish(at, bits)
    answered_s = conditions.plan.link.rtt_s
    loads = conditions.server_load.at(passed)
    return [
        Observation(sent_s=sent, known_s=end + answered_s, bits=bits, sending_s=end - sent, load=load, probe=True)
        for sent, end, load in zip(at.tolist(), passed.tolist(), loads.tolist(), strict=True)
    ]


def _decide(
    policy: Policy, number_of: dict[tuple[int, ...], int], rate_bps: float, load: float, *, present: int | None
) -> int | None:
    """The option to take; the present one where none keeps to the limits, or none is better by enough."""
    uplink_bps = min(max(rate_bps, policy.slowest_uplink_bps), policy.fastest_uplink_bps)
    server_load = min(max(load, policy.least_server_load), policy.most_server_load)
    best = policy.best(uplink_bps=uplink_bps, server_load=server_load)
    if best is None:
        return present
    for choice in policy.choices:
        if number_of[choice.device_layers] != present:
            continue
        least = policy.cost(best, uplink_bps=uplink_bps, server_load=server_load)
        now = policy.cost(choice, uplink_bps=uplink_bps, server_load=server_load)
        if policy.keeps(choice, uplink_bps=uplink_bps, server_load=server_load) and least > now * (1 - SWITCH_GAIN):
            return present
    return number_of[best.device_layers]
