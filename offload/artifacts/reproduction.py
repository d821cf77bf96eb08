"""A reproduction: the decisions of a paper beside those made here, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from offload.artifacts.base import Amount, Artifact, NotNegative, Positive, Seconds

Objective = Literal["latency", "energy"]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Where one planner cuts, and what that costs."""

    point: str
    """The last layer on the device; `input` where everything runs on the server."""
    cost: NotNegative
    """Seconds of a request, or joules drawn by the device."""
    server_s: Seconds
    """Time that the server computes for a request."""


@dataclass(frozen=True, kw_only=True)
class DecisionCell:
    """One network on one device over one radio."""

    device: str
    radio: str
    network: str
    label: str
    """The network in the paper."""
    chosen: Decision
    """By the paper's own algorithm."""
    mincut: Decision
    """The exact planner's."""
    maui: Decision
    """By history."""
    server_only: Decision
    device_only: Decision
    published: str | None
    """Where the paper cuts; None where that is not published."""
    published_cost: NotNegative | None
    """What the paper's point costs here."""
    reason: str
    """Why the two differ, from the figures; empty where they agree or there is nothing to compare."""

    @property
    def agrees(self) -> bool | None:
        """Whether the paper cuts at the same point; None where its point is not published."""
        return None if self.published is None else self.published == self.chosen.point


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A figure that went in, and where it is from."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How many cells agree when one thing is done another way, and what is gained over everything on the server."""

    words: str
    agree: Amount
    of: Amount
    speedup_mean: NotNegative
    speedup_geometric_mean: NotNegative
    speedup_most: NotNegative


@dataclass(frozen=True, kw_only=True)
class Headlines:
    """Means and extremes over the cells, against running everything on the server."""

    speedup_mean: NotNegative | None
    """Times faster; None where energy was the target."""
    speedup_most: NotNegative | None
    saving_mean: Annotated[float, Field(le=1)] | None
    """Fraction of the device's energy; None where latency was the target."""
    saving_most: Annotated[float, Field(le=1)] | None
    throughput_mean: NotNegative | None
    """Times more queries a second, the mean over device and radio; None where nothing is left to the server."""
    throughput_most: NotNegative | None
    speedup_geometric_mean: NotNegative | None = None
    """Which a few cells do not dominate; not published."""


@dataclass(frozen=True, kw_only=True)
class MixThroughput:
    """Queries that the server sustains when each network is asked equally often, from one device over one radio."""

    device: str
    """`any` for all of them alike, likewise the radio."""
    radio: str
    times: Positive | None
    """Against everything on the server; None where nothing is left to it."""


class Reproduction(Artifact):
    """A paper's decisions beside ours.

    Attributes:
        paper: What is reproduced.
        target: What was made least.
        cells: One a device, radio and network.
        ours: Headlines over the cells.
        published: The paper's headlines.
        throughput: The server's, by device and radio.
        variants: How many cells agree under other assumptions; empty where nothing is published to compare.
        parameters: Everything that went in.
        notes: What the reader should know of the comparison.
    """

    KIND: ClassVar[str] = "reproduction"

    paper: str
    target: Objective
    cells: tuple[DecisionCell, ...]
    ours: Headlines
    published: Headlines
    throughput: tuple[MixThroughput, ...]
    variants: tuple[Variant, ...]
    parameters: tuple[Parameter, ...]
    notes: tuple[str, ...]
