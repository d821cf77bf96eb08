"""What a request takes while the rate and the load change under it, for every option and every beginning."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from offload.artifacts.breakdown import Breakdown
from offload.artifacts.plan import Option, Plan
from offload.artifacts.policy import Choice
from offload.errors import OffloadError
from offload.simulation.traces import Trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A way to divide the model, and what the plan predicted of it at its own rates and loads."""

    device_layers: tuple[int, ...]
    words: str
    uplink_bytes: int
    downlink_bytes: int
    breakdown: Breakdown
    uplink_message_bytes: int
    """What a request carries beside its tensors; 0 where none is sent."""
    downlink_message_bytes: int
    """The same of the answer."""

    @property
    def uplink_bits(self) -> float:
        """What the uplink carries."""
        return (self.uplink_bytes + self.uplink_message_bytes) * 8.0

    @property
    def downlink_bits(self) -> float:
        """What the downlink carries."""
        return (self.downlink_bytes + self.downlink_message_bytes) * 8.0


def candidates(plan: Plan) -> tuple[Candidate, ...]:
    """What a plan's strategies choose from: its policy's choices, then its own cut, all here and all there; each once.

    Raises:
        OffloadError: the plan is for throughput, or holds no policy, or one of an earlier version.
    """
    if plan.target == "throughput":
        raise OffloadError(
            "requests are replayed one at a time, which tells nothing of a plan for throughput",
            hint="plan with --target latency or --target energy",
        )
    if plan.policy is None or not plan.policy.choices:
        again = "plan again with this version of offload"
        hint = again if plan.codec_data is None else "plans with codecs have none yet: leave --planner deepcod out"
        raise OffloadError("the plan has no policy to follow", hint=hint)
    found: dict[tuple[int, ...], Candidate] = {}

    def add(one: Choice | Option, breakdown: Breakdown) -> None:
        layers = one.device_layers
        sends = layers != plan.device_only.device_layers
        candidate = Candidate(
            device_layers=layers,
            words=one.words,
            uplink_bytes=one.uplink_bytes,
            downlink_bytes=one.downlink_bytes,
            breakdown=breakdown,
            uplink_message_bytes=plan.uplink_message_bytes if sends else 0,
            downlink_message_bytes=plan.downlink_message_bytes if sends else 0,
        )
        found.setdefault(layers, candidate)

    for choice in plan.policy.choices:
        if choice.breakdown is None:
            raise OffloadError(
                "the plan was made by an earlier version: it does not tell what each cut of its policy takes",
                hint="plan again with this version of offload",
            )
        add(choice, choice.breakdown)
    for option in (plan.chosen, plan.device_only, plan.server_only):
        add(option, option.breakdown)
    return tuple(found.values())


@dataclass(frozen=True, kw_only=True, eq=False)
class Conditions:
    """The link and the server over time, and what of the plan stays as it is."""

    plan: Plan
    uplink_bps: Trace
    server_load: Trace

    @cached_property
    def progress(self) -> Trace:
        """Seconds of an idle server's computing that a second brings."""
        return self.server_load.mapped(lambda load: 1 / load)

    @cached_property
    def radio_w(self) -> Trace | None:
        """The radio's power while it sends; while nothing passes it stays on at its base power."""
        radio = self.plan.radio
        if radio is None or (radio.alpha_w_per_bps == 0 and radio.beta_w == 0):
            return None
        if not any(radio.uplink_w(rate) > 0 for rate in self.uplink_bps.values):
            return None
        return self.uplink_bps.mapped(radio.uplink_w)


@dataclass(frozen=True, kw_only=True, eq=False)
class Timed:
    """Requests of one candidate, an entry for each beginning; float64 arrays of one length."""

    latency_s: Array
    energy_j: Array | None
    sent_s: Array
    """When the first bit was sent, on the trace's clock."""
    sending_s: Array
    """How long the bits took."""
    load: Array | None
    """How many times longer the server's computing took than on an idle server; None where it computes nothing."""


def time_requests(candidate: Candidate, conditions: Conditions, starts_s: Array) -> Timed:
    """What requests take that begin at these times, each as if it had the link and the server's share to itself.

    The bits pass as the trace lets them; the server computes as its load lets it. What does not depend on the two
    stays as the plan predicted it, the downlink included. At a constant rate and load this is `planners.costs.predict`.
    """
    plan, predicted = conditions.plan, candidate.breakdown
    bits = candidate.uplink_bits
    fixed_uplink_s = max(0.0, predicted.uplink_s.value - bits / plan.link.uplink_bps)
    idle_server_s = predicted.server_s.value / plan.server.load
    sent = starts_s + predicted.device_s.value + predicted.encode_s.value
    passed = conditions.uplink_bps.finish(sent, bits)
    begun = passed + fixed_uplink_s + predicted.queue_s.value + predicted.decode_s.value
    computed = conditions.progress.finish(begun, idle_server_s)
    latency = computed + predicted.downlink_s.value - starts_s
    return Timed(
        latency_s=latency,
        energy_j=_energy(candidate, conditions, sent=sent, passed=passed, latency=latency),
        sent_s=sent,
        sending_s=passed - sent,
        load=(computed - begun) / idle_server_s if idle_server_s > 0 else None,
    )


def _energy(
    candidate: Candidate, conditions: Conditions, *, sent: Array, passed: Array, latency: Array
) -> Array | None:
    """Joules as `planners.costs` counts them: computing, sending, receiving, and idling for the rest of the request."""
    import numpy as np

    plan, predicted = conditions.plan, candidate.breakdown
    if predicted.energy_j is None or predicted.device_j is None or plan.radio is None:
        return None
    sending = conditions.radio_w.between(sent, passed) if conditions.radio_w is not None else np.zeros_like(sent)
    total: Array = predicted.device_j.value + sending
    if predicted.download_j is None or predicted.idle_j is None:
        return total
    receiving_s = candidate.downlink_bits / plan.link.downlink_bps
    planned_s = candidate.uplink_bits / plan.link.uplink_bps + receiving_s
    covered, planned_covered_s = (
        (passed - sent + receiving_s, planned_s) if plan.radio.whole_device else (np.zeros_like(sent), 0.0)
    )
    planned_idle_s = predicted.latency_s.value - predicted.device_s.value - planned_covered_s
    idle_w = predicted.idle_j.value / planned_idle_s if planned_idle_s > 0 else 0.0
    idle = np.maximum(0.0, latency - predicted.device_s.value - covered)
    return total + predicted.download_j.value + idle_w * idle
