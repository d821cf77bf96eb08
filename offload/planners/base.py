"""What a planner is given and what it must return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from offload.artifacts.link import Link, ProtocolCost
from offload.artifacts.plan import Option, Radio, Target
from offload.artifacts.profile import Profile
from offload.errors import OffloadError
from offload.graph.model_graph import ModelGraph


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

    @property
    def graph(self) -> ModelGraph:
        """The model's layers."""
        return self.device.graph

    @cached_property
    def protocol(self) -> ProtocolCost:
        """The serving protocol's own cost, from the device's profile."""
        return ProtocolCost.fit(self.device.protocol)


class Planner(Protocol):
    """An algorithm that ranks ways to divide a model. Pure: no clock, no file, no network."""

    name: str

    def rank(self, problem: Problem) -> Sequence[Option]:
        """The options considered, best for the problem's target first; never empty."""


def check_problem(problem: Problem) -> None:
    """Refuse inputs that do not belong together.

    Raises:
        OffloadError: two models, batches or precisions, or a target without the figures it needs.
    """
    device, server = problem.device.model, problem.server.model
    for field, ours, theirs in (
        ("model", device.name, server.name),
        ("batch", device.batch, server.batch),
        ("precision", device.precision, server.precision),
        ("model hash", device.hash[:12], server.hash[:12]),
    ):
        if ours != theirs:
            raise OffloadError(
                f"the device's profile has {field} {ours}, the server's {theirs}",
                hint="profile the same model, with the same options, on both sides",
            )
    if problem.target == "energy":
        if problem.device.power_w is None:
            raise OffloadError(
                "--target energy needs the device's power and its profile has none",
                hint="profile again with --power 3.2W (or your device's own figure)",
            )
        if problem.radio is None:
            raise OffloadError("--target energy needs a radio", hint="add --radio wifi, lte or 3g")
