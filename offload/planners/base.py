"""What a planner is given and what it must return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from offload.artifacts.link import Link, ProtocolCost
from offload.artifacts.plan import Coding, Option, Radio, Side, Target
from offload.artifacts.profile import Profile
from offload.errors import OffloadError
from offload.graph.model_graph import ModelGraph


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """What a cut must keep to, whatever it costs; all None and no pins: every legal cut is allowed."""

    max_latency_s: float | None = None
    """The most one request may take."""
    max_energy_j: float | None = None
    """The most one request may draw on the device."""
    device_memory_bytes: float | None = None
    """The most that the weights and live tensors of the device's layers may occupy."""
    server_memory_bytes: float | None = None
    """Likewise for the server's layers."""
    pins: Mapping[int, Side] = field(default_factory=dict)
    """Layer index to the side it must run on."""
    private_depth: int | None = None
    """Index of a layer: the raw input and every tensor above this layer's own output never leave the device."""
    max_accuracy_loss: float | None = None
    """How much less accurate than intact the model may be behind a codec, as a fraction."""
    min_accuracy: float | None = None
    """How accurate it must be at least, as a fraction."""

    @property
    def bounded(self) -> bool:
        """Whether a limit is set, besides pins and privacy, that a cut may break."""
        limits = (self.max_latency_s, self.max_energy_j, self.device_memory_bytes, self.server_memory_bytes)
        return any(limit is not None for limit in limits)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Everything a planner may know."""

    device: Profile
    server: Profile
    link: Link
    target: Target
    radio: Radio | None = None
    device_slowdown: float = 1.0
    """Every layer takes this many times longer on the device than profiled."""
    device_load: float = 1.0
    """Computing takes this many times longer on the device, because other work runs there."""
    server_load: float = 1.0
    """Computing takes this many times longer on the server, because other work runs there."""
    paper_energy: bool = False
    """Charge only the paper's two terms of energy: computing on the device, and sending."""
    constraints: Constraints = field(default_factory=Constraints)
    codings: Mapping[str, tuple[Coding, ...]] = field(default_factory=dict)
    """Tensor name to the codecs that may carry it across a cut, for planners that choose one."""
    intact_accuracy: float | None = None
    """Of the model without a codec; None where no codec was measured."""

    @property
    def graph(self) -> ModelGraph:
        """The model's layers."""
        return self.device.graph

    @cached_property
    def protocol(self) -> ProtocolCost:
        """The serving protocol's own cost, from the device's profile.

        The bytes of messages are within a measured link's curve, whose sizes are those of payloads: it does not tell
        what of its fixed part they are, which would change with the rate and occupy a radio.
        """
        found, link = ProtocolCost.fit(self.device.protocol), self.link
        up, down = (
            cost if curve is None else replace(cost, message_bytes=0)
            for cost, curve in ((found.uplink, link.uplink_curve), (found.downlink, link.downlink_curve))
        )
        return replace(found, uplink=up, downlink=down)


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """What a planner found, and how far that can be trusted."""

    options: tuple[Option, ...]
    """Those that keep to every constraint, best for the problem's target first; never empty."""
    exact: bool
    """Whether no legal cut that keeps to the constraints is better than the first option."""
    considered: int
    """Cuts whose cost was worked out one by one; `exact` may cover many more."""
    legal_cuts: int | None = None
    """How many cuts tear no kernel and keep to pins and privacy; None when they are too many to count."""
    bound: float | None = None
    """No such cut costs less than this, in the target's unit; the first option's cost when `exact`."""
    notes: tuple[str, ...] = ()
    """What the user should know of how the answer was found."""


class Planner(Protocol):
    """An algorithm that ranks ways to divide a model. Pure: no clock, no file, no network."""

    name: str

    def rank(self, problem: Problem) -> Ranking:
        """The options found, best first.

        Raises:
            OffloadError: pins and privacy contradict one another.
            VerdictError: no cut keeps to the constraints; says which binds and by how much.
        """


def check_problem(problem: Problem) -> None:
    """Refuse inputs that do not belong together.

    Raises:
        OffloadError: two models, batches or precisions, or a target without the figures it needs.
    """
    device, server = problem.device.model, problem.server.model
    for what, ours, theirs in (
        ("model", device.name, server.name),
        ("batch", device.batch, server.batch),
        ("precision", device.precision, server.precision),
        ("model hash", device.hash[:12], server.hash[:12]),
    ):
        if ours != theirs:
            raise OffloadError(
                f"the device's profile has {what} {ours}, the server's {theirs}",
                hint="profile the same model, with the same options, on both sides",
            )
    if problem.target == "energy":
        check_energy(problem, "--target energy")
    elif problem.constraints.max_energy_j is not None:
        check_energy(problem, "--max-energy")


def check_energy(problem: Problem, asked_by: str) -> None:
    """Refuse a problem whose energy cannot be told.

    Args:
        problem: The problem.
        asked_by: The option that needs the energy.

    Raises:
        OffloadError: the device's energy, its idle power or the radio is missing.
    """
    if problem.device.energy_source == "none":
        raise OffloadError(
            f"{asked_by} needs the device's energy and its profile has none",
            hint="profile again with --power 3.2W (or your device's own figure), or on a device with a power meter",
        )
    if problem.radio is None:
        raise OffloadError(f"{asked_by} needs a radio", hint="add --radio wifi, lte or 3g")
    if problem.device.idle_power_w is None and not problem.paper_energy:
        raise OffloadError(
            f"{asked_by} needs the device's idle power, for the time it waits, and its profile has none",
            hint="profile again with --idle-power 1.5W, or leave waiting and receiving out with --paper-energy",
        )
