"""A verification: what a plan predicted beside what was measured when it was executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import ClassVar, Literal

from offload.artifacts.base import Artifact, Positive, Seconds
from offload.artifacts.breakdown import TIME_FIELDS
from offload.artifacts.estimate import Estimate, median_estimate
from offload.artifacts.plan import Option, Place
from offload.artifacts.profile import ModelIdentity

Verdict = Literal["within tolerance", "out of tolerance", "cannot tell"]
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, kw_only=True)
class RequestSample:
    """One request, in seconds; the fields are those of `Breakdown`."""

    device_s: Seconds
    encode_s: Seconds
    uplink_s: Seconds
    queue_s: Seconds
    decode_s: Seconds
    server_s: Seconds
    downlink_s: Seconds
    latency_s: Seconds


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """An option of the plan as it was executed."""

    option: Option
    """The option with its prediction."""
    samples: tuple[RequestSample, ...]
    """Requests after the warm-up, in the order they were made."""
    stable: bool
    """Whether the last three windows of requests agreed within 10 % (as perf_analyzer means it)."""

    @cached_property
    def measured(self) -> Mapping[str, Estimate]:
        """Median of each field and of `latency_s`, with intervals."""
        rows = [asdict(sample) for sample in self.samples]
        return {name: median_estimate([row[name] for row in rows]) for name in (*TIME_FIELDS, "latency_s")}

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
        device_only: Everything on the device.
        server_only: Everything on the server.
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
    device_only: Measurement
    server_only: Measurement
    output_error: float
    output_tolerance: float
    tolerance: Positive
    device_drift: Drift | None
    server_drift: Drift | None
    tail_bytes: int
    upload_s: Seconds
    verdict: Verdict
    warnings: tuple[str, ...]

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
    def corrected_error(self) -> float:
        """The error of the chosen option against what its prediction would be with both sides as they are now.

        A reference kernel tells that a machine has changed but not by how much for this model; the whole model on
        each side, timed in the same rounds, does. The predicted times of each side are scaled by it.
        """
        predicted = self.chosen.option.breakdown
        device = self.device_only.measured["device_s"].value / self.device_only.option.breakdown.device_s.value
        server = self.server_only.measured["server_s"].value / self.server_only.option.breakdown.server_s.value
        moved = (device - 1) * predicted.device_s.value + (server - 1) * predicted.server_s.value
        return self.chosen.measured["latency_s"].value / (predicted.latency_s.value + moved) - 1

    def by_place(self) -> dict[Place | Literal["chosen"], Measurement]:
        """The three measured options."""
        return {"chosen": self.chosen, "device": self.device_only, "server": self.server_only}
