"""A plan: where to cut a model, what that should cost, and what it was derived from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, FiniteFloat, field_validator, model_validator

from offload.artifacts.base import MOST, Amount, Artifact, Count, NotNegative, Positive, Seconds
from offload.artifacts.breakdown import Breakdown
from offload.artifacts.estimate import Estimate
from offload.artifacts.link import Link
from offload.artifacts.policy import Policy
from offload.artifacts.profile import ModelIdentity, ProfileSource, RuntimeIdentity
from offload.graph.model_graph import Tensor

Target = Literal["latency", "energy", "throughput"]
Place = Literal["device", "server", "both"]
Side = Literal["device", "server"]


@dataclass(frozen=True, kw_only=True)
class Coding:
    """How the one tensor that crosses is coded, as a bench measured it."""

    codec: str
    """What makes the codec again, such as `int8+zstd` or `deepcod@0123456789ab`."""
    method: str
    """What tables call it."""
    payload_bytes: Estimate
    """Mean over examples, header included; the interval holds 95 % of them."""
    encode_s: Estimate
    """On the device as profiled, before any slowdown or load."""
    decode_s: Estimate
    """On the server, likewise."""
    accuracy: FiniteFloat
    """Of the model behind the codec: one less its error rate, which may be above one where errors are no counts of
    wrong answers."""
    accuracy_change: Estimate
    """Against the intact model on the same examples; negative is a loss."""
    decoder_bytes: Amount = 0
    """Weights of the decoder, which go up with the server's layers; 0 for a codec that is no network."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to divide the model, and its predicted cost."""

    device_layers: tuple[int, ...]
    """Indices of the layers that run on the device, in the graph's order."""
    words: str
    """The cut as one reads it aloud."""
    place: Place
    sends: tuple[Tensor, ...]
    """Tensors that cross to the server, each once."""
    returns: tuple[Tensor, ...]
    """Tensors that come back."""
    uplink_bytes: int
    downlink_bytes: int
    breakdown: Breakdown
    coding: Coding | None = None
    """None when tensors cross as they are."""

    @property
    def codec(self) -> str:
        """How the tensors cross, in a word; `raw` when as they are."""
        return "raw" if self.coding is None else self.coding.codec

    def cost(self, target: Target) -> Estimate | None:
        """What the target minimises: seconds of a request, joules, or seconds between answers; None when not known."""
        match target:
            case "latency":
                return self.breakdown.latency_s
            case "energy":
                return self.breakdown.energy_j
            case "throughput":
                return self.breakdown.period_s


@dataclass(frozen=True, kw_only=True)
class Party:
    """The device or the server of a plan, as its profile describes it."""

    runtime: RuntimeIdentity
    source: ProfileSource
    preset: str | None
    profile_hash: str
    """SHA-256 of the profile file's content."""
    reference_s: Seconds | None
    """Median of the reference kernel when the profile was made; None when nothing was measured."""
    slowdown: Positive = 1.0
    """Every layer takes this many times longer than profiled (an emulated slower device)."""
    load: Positive = 1.0
    """Computing takes this many times longer because other work runs there."""
    name: str | None = None
    """The server as the user named it: a file, HOST:PORT or a preset; None where nothing was named."""


@dataclass(frozen=True, kw_only=True)
class Radio:
    """Power while sending and receiving: `alpha * rate + beta`, each direction with its own alpha.

    Two kinds of figures must not be mixed. Those of the radio alone come on top of what the device draws when
    idle; those of the whole device (`whole_device`) include it, so idle power is not added while they apply.
    """

    name: str
    alpha_w_per_bps: NotNegative
    """Of sending."""
    beta_w: NotNegative
    fitted_to_bps: Positive
    """The fastest rate of sending that the published fit covers; beyond it the power is held."""
    source: str
    down_alpha_w_per_bps: NotNegative | None = None
    """Of receiving; None when it is not published: then receiving counts as `beta_w`, whatever the rate."""
    down_fitted_to_bps: Positive | None = None
    whole_device: bool = False

    def uplink_w(self, rate_bps: float) -> float:
        """Watts while sending at `rate_bps`."""
        return self.alpha_w_per_bps * min(rate_bps, self.fitted_to_bps) + self.beta_w

    def downlink_w(self, rate_bps: float) -> float:
        """Watts while receiving at `rate_bps`."""
        if self.down_alpha_w_per_bps is None or self.down_fitted_to_bps is None:
            return self.beta_w
        return self.down_alpha_w_per_bps * min(rate_bps, self.down_fitted_to_bps) + self.beta_w


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the plan was asked to keep to."""

    max_latency_s: Seconds | None = None
    max_energy_j: NotNegative | None = None
    device_memory_bytes: NotNegative | None = None
    """For the weights and live tensors of the device's layers."""
    server_memory_bytes: NotNegative | None = None
    pins: dict[str, Side] = field(default_factory=dict)
    """Layer name to the side it must run on."""
    private_depth: str | None = None
    """The raw input and every tensor above this layer's output never leave the device."""
    max_accuracy_loss: FiniteFloat | None = None
    """How much less accurate than intact the model may be behind a codec, as a fraction."""
    min_accuracy: NotNegative | None = None
    """How accurate it must be at least."""


@dataclass(frozen=True, kw_only=True)
class ColdStart:
    """What has to be paid once before the first request: the server's part must get there."""

    tail_bytes: Annotated[int, Field(ge=0)]
    """Weights of the server's layers and the names of its graph: the file is a little larger."""
    upload_s: Estimate
    """Time to send them over the link."""
    pays_after: Count | None
    """Requests until the time won over device-only has paid for the upload; None when none is won."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """The best that one server could do."""

    server: Party
    best: Option


class Plan(Artifact):
    """The answer to "should I offload, and which part".

    Attributes:
        model: Which model.
        planner: The algorithm that chose.
        target: What was minimised.
        codec: How the chosen option's tensors cross.
        device: The device's side.
        server: The server's side.
        link: The path between them.
        uplink_message_bytes: What every request carries beside tensors and payloads; 0 where that is not known, or
            within a measured link's curve.
        downlink_message_bytes: The same of answers.
        radio: The radio that energy was computed with, if any.
        chosen: The best option.
        device_only: Everything on the device.
        server_only: Everything on the server.
        alternatives: The next best options, best first.
        cannot_tell_apart: The words of the options whose interval overlaps the chosen one's.
        considered: How many cuts were compared one by one.
        warnings: Reasons to trust the plan less, each with its remedy.
        do_not_offload: Whether the chosen option does not beat device-only by value, or is it.
        exact: Whether no cut that keeps to the limits is better, those not compared one by one included.
        legal_cuts: How many cuts there are; None when they are too many to count.
        bound: No cut costs less than this, in the target's unit; None when not known.
        notes: How the answer was found.
        policy: Which cut is best at which bandwidth and load; None in a plan of an earlier version.
        paper_energy: Whether only the paper's two terms of energy were charged: computing and sending.
        limits: What the plan had to keep to.
        ruled_out: Which of device-only and server-only do not keep to the limits; they are shown all the same.
        paper_choice: What Neurosurgeon's own algorithm chooses, where that is another cut.
        other_servers: What the servers that were not taken could do at best.
        pareto: The options that no other beats in both latency and energy, fastest first; empty when not asked for.
        battery_j: Energy of a full battery.
        requests_per_charge: Requests that a full battery lasts for, at the chosen option's energy.
        cold_start: Getting the server's part there; None when there is none.
        codec_data: The data set that accuracies behind codecs were measured on; None where no codec was considered.
        codec_examples: Of how many of its test examples, the first ones; what else is there is fresh.
    """

    KIND: ClassVar[str] = "plan"

    model: ModelIdentity
    planner: str
    target: Target
    codec: str
    device: Party
    server: Party
    link: Link
    uplink_message_bytes: Amount = 0
    downlink_message_bytes: Amount = 0
    radio: Radio | None
    chosen: Option
    device_only: Option
    server_only: Option
    alternatives: tuple[Option, ...]
    cannot_tell_apart: tuple[str, ...]
    considered: int
    warnings: tuple[str, ...]
    do_not_offload: bool = False
    exact: bool = False
    legal_cuts: Count | None = None
    bound: NotNegative | None = None
    notes: tuple[str, ...] = ()
    policy: Policy | None = None
    paper_energy: bool = False
    limits: Limits = Limits()
    ruled_out: tuple[Place, ...] = ()
    paper_choice: Option | None = None
    other_servers: tuple[Offer, ...] = ()
    pareto: tuple[Option, ...] = ()
    battery_j: Positive | None = None
    requests_per_charge: Estimate | None = None
    cold_start: ColdStart | None = None
    codec_data: str | None = None
    codec_examples: Amount = 0

    @model_validator(mode="after")
    def _of_one_codec(self) -> Self:
        if self.codec != self.chosen.codec:
            raise ValueError(f"codec {self.codec!r} is not that of the chosen option, {self.chosen.codec!r}")
        return self

    @field_validator("policy", mode="before")
    @classmethod
    def _without_ranges_alone(cls, document: object) -> object:
        """Leave out what an earlier version wrote, ranges without choices: the plan holds without them."""
        return None if isinstance(document, dict) and "choices" not in document else document

    @property
    def offloads(self) -> bool:
        """Whether anything runs on the server."""
        return self.chosen.place != "device"


def requests_per_charge(battery_j: float, option: Option) -> Estimate | None:
    """Requests that a full battery lasts for; None when the option's energy is not known or is none."""
    energy = option.breakdown.energy_j
    if energy is None or not energy.value:
        return None
    return Estimate(
        value=battery_j / energy.value,
        low=battery_j / energy.high,
        high=min(MOST, battery_j / energy.low) if energy.low else MOST,
    )
