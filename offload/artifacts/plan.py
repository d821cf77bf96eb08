"""A plan: where to cut a model, what that should cost, and what it was derived from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from offload.artifacts.base import Artifact, Positive, Seconds
from offload.artifacts.breakdown import Breakdown
from offload.artifacts.estimate import Estimate
from offload.artifacts.link import Link
from offload.artifacts.profile import ModelIdentity, RuntimeIdentity
from offload.graph.model_graph import Tensor

Target = Literal["latency", "energy", "throughput"]
Place = Literal["device", "server", "both"]


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
    source: Literal["measured", "assumed"]
    preset: str | None
    profile_hash: str
    """SHA-256 of the profile file's content."""
    reference_s: Seconds | None
    """Median of the reference kernel when the profile was made; None when nothing was measured."""
    slowdown: Positive = 1.0
    """Every layer takes this many times longer than profiled (an emulated slower device)."""


@dataclass(frozen=True, kw_only=True)
class Radio:
    """Power while sending and receiving: `alpha * rate + beta`, each direction with its own alpha.

    Two kinds of figures must not be mixed. Those of the radio alone come on top of what the device draws when
    idle; those of the whole device (`whole_device`) include it, so idle power is not added while they apply.
    """

    name: str
    alpha_w_per_bps: Seconds
    """Of sending."""
    beta_w: Seconds
    fitted_to_bps: Positive
    """The fastest rate of sending that the published fit covers; beyond it the power is held."""
    source: str
    down_alpha_w_per_bps: Seconds | None = None
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


class Plan(Artifact):
    """The answer to "should I offload, and which part".

    Attributes:
        model: Which model.
        planner: The algorithm that chose.
        target: What was minimised.
        codec: How the tensors cross.
        device: The device's side.
        server: The server's side.
        link: The path between them.
        radio: The radio that energy was computed with, if any.
        chosen: The best option.
        device_only: Everything on the device.
        server_only: Everything on the server.
        alternatives: The next best options, best first.
        cannot_tell_apart: The words of the options whose interval overlaps the chosen one's.
        considered: How many cuts were compared.
        warnings: Reasons to trust the plan less, each with its remedy.
    """

    KIND: ClassVar[str] = "plan"

    model: ModelIdentity
    planner: str
    target: Target
    codec: str
    device: Party
    server: Party
    link: Link
    radio: Radio | None
    chosen: Option
    device_only: Option
    server_only: Option
    alternatives: tuple[Option, ...]
    cannot_tell_apart: tuple[str, ...]
    considered: int
    warnings: tuple[str, ...]

    @property
    def offloads(self) -> bool:
        """Whether anything runs on the server."""
        return self.chosen.place != "device"
