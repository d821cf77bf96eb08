"""A verification: what a plan predicted beside what was measured when it was executed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from offload.artifacts.base import Amount, Artifact, Positive, Seconds
from offload.artifacts.breakdown import TIME_FIELDS
from offload.artifacts.estimate import Estimate, median_estimate
from offload.artifacts.plan import Option, Target
from offload.artifacts.profile import ModelIdentity
from offload.artifacts.regret import Regret, Sampled, ratio_of_medians, regret
from offload.artifacts.request_costs import Flight, Waiting, request_energy_j, slowest_stage_s
from offload.artifacts.wire_accuracy import WireAccuracy

Verdict = Literal["within tolerance", "out of tolerance", "cannot tell", "less accurate than promised"]
Stop = Literal["requests", "stable", "duration", "interrupted"]
PERCENTILES = (50, 90, 95, 99)
CHOSEN, DEVICE_ONLY, SERVER_ONLY = "chosen", "device-only", "server-only"
_WINDOWS = 3
_LEAST_IN_A_WINDOW = 3


@dataclass(frozen=True, kw_only=True)
class RequestSample:
    """One request, in seconds; the first fields are those of `Breakdown`."""

    device_s: Seconds
    encode_s: Seconds
    uplink_s: Seconds
    queue_s: Seconds
    decode_s: Seconds
    server_s: Seconds
    downlink_s: Seconds
    latency_s: Positive
    compute_input_s: Seconds | None = None
    """Of `decode_s`: the server's runtime taking the tensors; None in files that did not tell them apart."""
    compute_output_s: Seconds | None = None
    """Of `downlink_s`: the server making the answer."""
    receive_s: Seconds | None = None
    """Of `downlink_s`: making arrays of the answer on the device."""
    payload_decode_s: Seconds | None = None
    """Of `decode_s`: making the tensor of the payload; None in files that did not tell."""
    payload_bytes: Amount | None = None
    """What the codec made of the crossing tensor; None when tensors crossed as they are."""
    waited_s: Seconds | None = None
    """How long threads of the device's process had no core meanwhile, where the system tells; within other fields."""
    started_s: Seconds | None = None
    """When it was made, since measuring began."""
    round_number: Annotated[int, Field(ge=0)] | None = None
    """The round it was made in; the requests of a round are close together, whatever the option."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a run: some consecutive requests of one option."""

    started_s: float | None
    """When its first request was made, since measuring began; None in files that did not tell."""
    measured: Mapping[str, Estimate]
    """As `Measurement.measured`."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """An option of the plan as it was executed."""

    option: Option
    """The option with its prediction."""
    samples: Annotated[tuple[RequestSample, ...], Field(min_length=1)]
    """Requests after the warm-up, in the order they were made."""
    stable: bool
    """Whether the last three windows of requests agreed within 10 % (as perf_analyzer means it)."""
    accuracy: WireAccuracy | None = None
    """Over labelled examples; None when there were none, or nothing could change it."""
    decoder_s: Seconds | None = None
    """Of `decode_s`: the decoder that is part of the server's model, asked alone before; None without one."""

    @cached_property
    def measured(self) -> Mapping[str, Estimate]:
        """Median of each field and of `latency_s`, with intervals."""
        return _medians(self.samples)

    @cached_property
    def percentiles_s(self) -> Mapping[int, float]:
        """End-to-end latency at each of PERCENTILES, in seconds."""
        import numpy as np

        values = np.percentile([sample.latency_s for sample in self.samples], PERCENTILES)
        return dict(zip(PERCENTILES, map(float, values), strict=True))

    @cached_property
    def error(self) -> float:
        """How far the measured median latency is from the predicted one, as a fraction of the predicted."""
        return self.measured["latency_s"].value / self.option.breakdown.latency_s.value - 1

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """The run in thirds of equally many requests; empty when a third would hold fewer than three."""
        size, rest = divmod(len(self.samples), _WINDOWS)
        if size < _LEAST_IN_A_WINDOW:
            return ()
        starts = [number * size + min(number, rest) for number in range(_WINDOWS + 1)]
        parts = [self.samples[first:last] for first, last in itertools.pairwise(starts)]
        return tuple(Window(started_s=part[0].started_s, measured=_medians(part)) for part in parts)

    @cached_property
    def trend(self) -> Estimate | None:
        """Median latency of the last third over that of the first, less 1; None when there are no thirds."""
        if not self.windows:
            return None
        size = len(self.samples) // _WINDOWS
        last, first = (
            _sampled(samples, [sample.latency_s for sample in samples], apart=apart)
            for apart, samples in ((1, self.samples[-size:]), (0, self.samples[:size]))
        )
        ratio = ratio_of_medians(last, first)
        return Estimate(value=ratio.value - 1, low=ratio.low - 1, high=ratio.high - 1)


def _medians(samples: Sequence[RequestSample]) -> dict[str, Estimate]:
    rows = [asdict(sample) for sample in samples]
    return {name: median_estimate([row[name] for row in rows]) for name in (*TIME_FIELDS, "latency_s")}


def _sampled(samples: Sequence[RequestSample], costs: Sequence[float], *, apart: int) -> Sampled:
    """Costs by round; where no round is known each request is one of its own, which no other option shares."""
    alone = [-2 * number - 1 - apart for number in range(len(samples))]
    known = [sample.round_number for sample in samples]
    return Sampled(
        costs=costs,
        rounds=[own if found is None else found for found, own in zip(known, alone, strict=True)],
    )


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """An option that was to be measured and was not, or not often enough."""

    role: str
    """As in `Verification.by_role`."""
    option: Option
    request_s: Positive
    """What one request takes here."""
    available_s: Seconds
    """What the run had for the fewest requests of options like this one."""
    interrupted: bool = False
    """Whether the run ended before it was asked often enough."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How one machine has changed since its profile was made: its reference kernel then and now, in seconds."""

    profiled_s: Positive
    now_s: tuple[Positive, ...]

    @property
    def factor(self) -> float:
        """Above 1 when the machine is slower now."""
        return median_estimate(self.now_s).value / self.profiled_s


class Verification(Artifact):
    """Predicted against measured.

    Attributes:
        plan_hash: SHA-256 of the plan document.
        model: Which model.
        server: Where the tail ran: `embedded`, or an address.
        link: What was between, in words.
        network_split: How uplink and downlink were told apart: by the server's own clock, or by the plan's
            prediction of the answer's way back where the server does not tell its times.
        chosen: The plan's cut.
        device_only: Everything on the device; None when it was left out.
        server_only: Everything on the server; None when it was left out.
        alternatives: The plan's next best options that were measured, too, best predicted first.
        left_out: What was not measured, and why.
        maybe_forbidden: Roles of baselines that the plan's limits rule out: no regret is taken over them.
        target: What the plan minimised.
        waiting: What the plan charges for waiting; None when nothing, and in files that did not tell.
        flight: How long its messages do not occupy the link; None in files that did not tell.
        stopped: Why measuring ended; None in files that did not tell.
        measuring_s: How long it took; None in files that did not tell.
        output_error: Largest difference between the executed plan's outputs and the whole model's, relative to
            the largest output magnitude.
        output_tolerance: What is accepted of it.
        tolerance: What is accepted of the latency error, as a fraction.
        device_drift: The device's machine since its profile; None when nothing was measured then.
        server_drift: The server's machine; None when it cannot be timed or is this machine's own.
        tail_bytes: Size of the uploaded model; 0 when there was none.
        upload_s: Time to upload it and have it ready, cold.
        verdict: The answer.
        warnings: Reasons to trust the result less, each with its remedy.
    """

    KIND: ClassVar[str] = "verification"

    plan_hash: str
    model: ModelIdentity
    server: str
    link: str
    network_split: Literal["server clock", "predicted downlink"]
    chosen: Measurement
    device_only: Measurement | None
    server_only: Measurement | None
    alternatives: tuple[Measurement, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    maybe_forbidden: tuple[str, ...] = ()
    target: Target = "latency"
    waiting: Waiting | None = None
    flight: Flight | None = None
    stopped: Stop | None = None
    measuring_s: Seconds | None = None
    output_error: Seconds
    output_tolerance: Positive
    tolerance: Positive
    device_drift: Drift | None
    server_drift: Drift | None
    tail_bytes: Annotated[int, Field(ge=0)]
    upload_s: Seconds
    verdict: Verdict
    warnings: tuple[str, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Verification:
        for role, measurement in self.by_role().items():
            if measurement.option.breakdown.latency_s.value <= 0:
                raise ValueError(f"its {role} option was predicted to take no time")
        explained = {one.role for one in self.left_out}
        for role, baseline in ((DEVICE_ONLY, self.device_only), (SERVER_ONLY, self.server_only)):
            if baseline is None and role not in explained:
                raise ValueError(f"{role} was neither measured nor left out")
        return self

    @property
    def drift(self) -> float:
        """The largest change of a machine that the chosen option computes on, as a fraction; 0 when none is known."""
        predicted = self.chosen.option.breakdown
        changes = [
            abs(drift.factor - 1)
            for drift, seconds in ((self.device_drift, predicted.device_s), (self.server_drift, predicted.server_s))
            if drift is not None and seconds.value > 0
        ]
        return max(changes, default=0.0)

    @property
    def waited(self) -> float:
        """Share of a request of the chosen option in which the device's threads had no core: other work took it."""
        shares = [(sample.waited_s or 0.0) / sample.latency_s for sample in self.chosen.samples]
        return median_estimate(shares).value

    @property
    def corrected_error(self) -> float | None:
        """The error of the chosen option against what its prediction would be with both sides as they are now.

        A reference kernel tells that a machine has changed but not by how much for this model; the whole model on
        each side, timed in the same rounds, does. The predicted times of each side are scaled by it. None when the
        whole was not measured on a side that the chosen option computes on, or was predicted to take no time there.
        """
        predicted = self.chosen.option.breakdown
        moved = 0.0
        for field, whole in (("device_s", self.device_only), ("server_s", self.server_only)):
            seconds: Estimate = getattr(predicted, field)
            if not seconds.value:
                continue
            if whole is None:
                return None
            all_of_it: Estimate = getattr(whole.option.breakdown, field)
            if all_of_it.value <= 0:
                return None
            moved += (whole.measured[field].value / all_of_it.value - 1) * seconds.value
        now_s = predicted.latency_s.value + moved
        return self.chosen.measured["latency_s"].value / now_s - 1 if now_s > 0 else None

    @cached_property
    def regret(self) -> Regret:
        """How much faster than the chosen option the best measured one was: of the latency, which is measured."""
        found = self._regret_of("latency")
        if found is None:
            raise AssertionError("every request has a latency")
        return found

    @cached_property
    def target_regret(self) -> Regret | None:
        """The same of what the plan minimised, see `costs`; None when that cannot be told."""
        return self.regret if self.target == "latency" else self._regret_of(self.target)

    def _regret_of(self, target: Target) -> Regret | None:
        chosen, others = self._sampled(self.chosen, target, apart=0), {}
        for role, measurement in self.by_role().items():
            same = same_execution(measurement.option, self.chosen.option)
            if not same and role not in self.maybe_forbidden:
                others[role] = self._sampled(measurement, target, apart=1)
        known = {role: sampled for role, sampled in others.items() if sampled is not None}
        if chosen is None or len(known) < len(others):
            return None
        return regret(chosen, known, chosen_name=CHOSEN)

    def _sampled(self, measurement: Measurement, target: Target, *, apart: int) -> Sampled | None:
        costs = self.costs(measurement, target)
        return None if costs is None else _sampled(measurement.samples, costs, apart=apart)

    def costs(self, measurement: Measurement, target: Target) -> list[float] | None:
        """What each request came to: seconds, joules, or seconds that its slowest stage was occupied.

        The latter two are joined from the measured times and what the plan charges: no meter reads single requests,
        and requests are made one at a time rather than pipelined. None when they cannot be told.
        """
        found = [self._cost(measurement.option, sample, target) for sample in measurement.samples]
        known = [cost for cost in found if cost is not None and cost > 0]
        return known if len(known) == len(found) else None

    def _cost(self, option: Option, sample: RequestSample, target: Target) -> float | None:
        match target:
            case "latency":
                return sample.latency_s
            case "energy":
                busy_s = sample.device_s + (sample.encode_s if option.coding is not None else 0.0)
                away_s = max(0.0, sample.latency_s - busy_s)
                return request_energy_j(option, self.waiting, device_s=busy_s, away_s=away_s)
            case "throughput":
                if self.flight is None or self.network_split != "server clock":
                    return None
                return slowest_stage_s(
                    self.flight,
                    device_s=sample.device_s,
                    encode_s=sample.encode_s,
                    uplink_s=sample.uplink_s,
                    decode_s=sample.decode_s,
                    server_s=sample.server_s,
                    downlink_s=sample.downlink_s,
                )

    def by_role(self) -> dict[str, Measurement]:
        """The measured options: `chosen`, `device-only`, `server-only`, `alternative 1` and so on."""
        baselines = ((DEVICE_ONLY, self.device_only), (SERVER_ONLY, self.server_only))
        left_out = {one.role for one in self.left_out}
        numbered = (role for number in itertools.count(1) if (role := alternative_role(number)) not in left_out)
        return {
            CHOSEN: self.chosen,
            **{role: measurement for role, measurement in baselines if measurement is not None},
            **dict(zip(numbered, self.alternatives, strict=False)),
        }


def same_execution(one: Option, other: Option) -> bool:
    """Whether two options are executed alike: the same layers on the device, the same codec between."""
    return (one.device_layers, one.codec) == (other.device_layers, other.codec)


def alternative_role(number: int) -> str:
    """The role of the plan's next best option `number`, from 1."""
    return f"alternative {number}"
