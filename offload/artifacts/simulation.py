"""A simulation: requests of one plan while the link and the server's load change, cut in different ways."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from offload.artifacts.base import Amount, Artifact, NotNegative, Positive, Seconds
from offload.artifacts.plan import Limits, Target
from offload.artifacts.policy import KEEPING, Index
from offload.artifacts.profile import ModelIdentity

Strategy = Literal["always server", "always device", "the plan's cut", "adaptive", "oracle"]
"""Who decides how each request is divided: nobody, or a session that follows the plan's policy by what it has seen, or
one that knows what is to come."""


@dataclass(frozen=True, kw_only=True)
class SimulatedOption:
    """A way to divide the model that some strategy could take."""

    words: str
    device_layers: Amount
    """How many layers run on the device."""
    uplink_bytes: Amount
    predicted_s: Seconds
    """A request's time at the plan's own rates and loads."""
    predicted_j: NotNegative | None


@dataclass(frozen=True, kw_only=True)
class StrategyRun:
    """What every request took under one strategy, in the order of time."""

    strategy: Strategy
    options: tuple[Index, ...]
    """Which of the simulation's options each request was run as."""
    latency_s: tuple[Seconds, ...]
    energy_j: tuple[NotNegative, ...] | None
    """Joules that the device draws; None where the plan has no energy."""


@dataclass(frozen=True, kw_only=True)
class Probing:
    """The small messages by which the adaptive session learns of rate and load where its requests do not tell."""

    probes: Amount
    bytes_each: Amount
    energy_j: NotNegative | None
    """Of the radio, all probes together; in no request's energy. None where no radio was given."""


class Simulation(Artifact):
    """Requests under a bandwidth and a load that change, each strategy at the same moments.

    Attributes:
        plan_hash: SHA-256 of the plan's document.
        model: Which model.
        target: What the plan minimises; so do the adaptive session and the oracle.
        bandwidth_source: Where the uplink's rate comes from, in words.
        load_source: Where the server's load comes from, in words.
        every_s: Time between the beginnings of requests.
        started_s: When each request began, since the traces did.
        uplink_bps: The mean rate from each request's beginning to the next's.
        server_load: The mean load likewise.
        options: What the strategies chose from.
        strategies: One run each.
        probing: What the adaptive session sent beside its requests.
        limits: What the plan has to keep to.
        warnings: Reasons to trust the simulation less.
    """

    KIND: ClassVar[str] = "simulation"

    plan_hash: str
    model: ModelIdentity
    target: Target
    bandwidth_source: str
    load_source: str
    every_s: Positive
    started_s: Annotated[tuple[Seconds, ...], Field(min_length=1)]
    uplink_bps: tuple[NotNegative, ...]
    server_load: tuple[Positive, ...]
    options: tuple[SimulatedOption, ...]
    strategies: tuple[StrategyRun, ...]
    probing: Probing
    limits: Limits = Limits()
    warnings: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _belongs_together(self) -> Simulation:
        count = len(self.started_s)
        for run in self.strategies:
            lengths = {len(run.options), len(run.latency_s), len(run.energy_j or run.latency_s)}
            if lengths != {count} or max(run.options) >= len(self.options):
                raise ValueError(f"strategy {run.strategy} has other requests or options than the simulation")
        if {len(self.uplink_bps), len(self.server_load)} != {count}:
            raise ValueError("it has another number of rates or loads than of requests")
        if len({run.strategy for run in self.strategies}) != len(self.strategies):
            raise ValueError("it has a strategy twice")
        return self

    def run_of(self, strategy: Strategy) -> StrategyRun:
        """The run of one strategy.

        Raises:
            KeyError: the simulation has none.
        """
        for run in self.strategies:
            if run.strategy == strategy:
                return run
        raise KeyError(strategy)

    def mean_energy_j(self, run: StrategyRun) -> float | None:
        """Joules of a request on average, with its part of the probes where the run needed them; None where unknown."""
        if run.energy_j is None:
            return None
        probes_j = (self.probing.energy_j or 0.0) if run.strategy == "adaptive" else 0.0
        return (math.fsum(run.energy_j) + probes_j) / len(run.energy_j)

    def beyond_limits(self, run: StrategyRun) -> int:
        """Requests of a run that took longer, or drew more, than the plan's limits allow."""
        most_s, most_j = self.limits.max_latency_s, self.limits.max_energy_j
        energies = run.energy_j or (0.0,) * len(run.latency_s)
        return sum(
            (most_s is not None and latency > most_s * KEEPING) or (most_j is not None and energy > most_j * KEEPING)
            for latency, energy in zip(run.latency_s, energies, strict=True)
        )
