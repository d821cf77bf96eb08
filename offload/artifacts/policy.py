"""Which cut is best under which bandwidth and load: what a running session follows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from offload.artifacts.base import Amount, NotNegative, Positive
from offload.artifacts.breakdown import Breakdown

SLOWEST_BPS, FASTEST_BPS = 1e4, 1e11
"""The uplink rates looked at, and the plan's own."""
LIGHTEST_LOAD, HEAVIEST_LOAD = 1.0, 100.0
"""The server loads looked at, and the plan's own; 1 is an idle server."""
KEEPING = 1 + 1e-9
"""How many times a limit still counts as keeping to it, for rounding."""

Coefficient = Annotated[float, Field(ge=-1e30, le=1e30, allow_inf_nan=False)]
"""A number that can be true, and whose products with rates and loads do not overflow."""
Index = Annotated[int, Field(ge=0, le=10_000_000)]
"""Which one of some, from 0."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """A figure of one cut, seconds or joules, as a function of the uplink's rate and the server's load.

    fixed + per_load × load + per_bit_s / rate + radio × min(1, the policy's radio_fitted_to_bps / rate)
    """

    fixed: Coefficient
    per_load: Coefficient = 0.0
    per_bit_s: Coefficient = 0.0
    """Times the seconds that a bit takes: of a latency, the bits sent."""
    radio: Coefficient = 0.0
    """Joules of that part of the radio's power that grows with the rate, as far as its published fit reaches."""

    def at(self, *, uplink_bps: float, server_load: float, radio_fitted_to_bps: float | None) -> float:
        """The figure at one rate and load."""
        within = 1.0 if radio_fitted_to_bps is None else min(1.0, radio_fitted_to_bps / uplink_bps)
        return self.fixed + self.per_load * server_load + self.per_bit_s / uplink_bps + self.radio * within


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A cut that is best somewhere."""

    device_runs: tuple[tuple[Index, Index], ...]
    """First and last index of each run of consecutive layers on the device, in the graph's order."""
    words: str
    """The cut as one reads it aloud."""
    stages: tuple[Terms, ...]
    """The largest is what the plan's target minimises: one of latency and energy, four of throughput."""
    limited: tuple[Terms, ...] = ()
    """What the policy's `most` limits, in its order."""
    uplink_bytes: Amount = 0
    """What a request sends, and below what it gets back."""
    downlink_bytes: Amount = 0
    breakdown: Breakdown | None = None
    """What a request takes at the plan's own rates and loads; None in a plan of an earlier version."""

    def __post_init__(self) -> None:
        """Refuse runs that are none."""
        ends = [end for first, last in self.device_runs for end in (2 * first, 2 * last + 1)]
        if any(one >= other for one, other in itertools.pairwise(ends)):
            raise ValueError("the runs of layers are not in order")
        if not self.stages:
            raise ValueError("a choice has no cost")

    @property
    def device_layers(self) -> tuple[int, ...]:
        """Indices of the layers that run on the device, in the graph's order."""
        return tuple(index for first, last in self.device_runs for index in range(first, last + 1))


@dataclass(frozen=True, kw_only=True)
class PolicyRow:
    """A range of uplink rates and server loads in which one choice is best."""

    slowest_uplink_bps: Positive
    fastest_uplink_bps: Positive
    """The same as the slowest in a row that stands for one rate."""
    least_server_load: Positive
    most_server_load: Positive
    """The same as the least in a row that stands for one load."""
    choice: Index
    """Which of the policy's choices."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The best cut at every uplink rate and server load; the downlink and everything else stay as they were planned.

    It is that of the choices whose largest stage is least there, among those that keep to the limits there (`best`).
    """

    choices: tuple[Choice, ...] = ()
    """The cuts that are best somewhere in the ranges below; those with most layers on the device first."""
    slowest_uplink_bps: Positive = SLOWEST_BPS
    fastest_uplink_bps: Positive = FASTEST_BPS
    least_server_load: Positive = LIGHTEST_LOAD
    most_server_load: Positive = HEAVIEST_LOAD
    radio_fitted_to_bps: Positive | None = None
    """The rate that the `radio` terms are given for; None when there are none."""
    most: tuple[NotNegative, ...] = ()
    """The most that each choice's `limited` figures may be."""
    gap: NotNegative | None = 0.0
    """By which fraction another cut may be better somewhere in the ranges, at most: 0 for none; None: not known."""
    by_uplink: tuple[PolicyRow, ...] = ()
    """At each of some loads, the ranges of uplink rates, slowest first; none where no cut keeps to the limits."""
    by_load: tuple[PolicyRow, ...] = ()
    """At the plan's uplink, the ranges of load, least first; none where no cut keeps to the limits."""
    notes: tuple[str, ...] = ()
    """What the ranges do not tell."""

    def __post_init__(self) -> None:
        """Refuse choices that cannot be compared, and rows of choices that are not there."""
        if len({len(choice.stages) for choice in self.choices}) > 1:
            raise ValueError("its choices have different numbers of stages")
        if any(len(choice.limited) != len(self.most) for choice in self.choices):
            raise ValueError("a choice has another number of limited figures than there are limits")
        figures = (terms for choice in self.choices for terms in (*choice.stages, *choice.limited))
        if self.radio_fitted_to_bps is None and any(terms.radio for terms in figures):
            raise ValueError("it has terms of a radio without the rate that they hold to")
        if any(row.choice >= len(self.choices) for row in (*self.by_uplink, *self.by_load)):
            raise ValueError("it has a row of a choice that it does not have")

    def best(self, *, uplink_bps: float, server_load: float) -> Choice | None:
        """The choice to follow at a rate and a load; None when none keeps to the limits there."""
        at = {"uplink_bps": uplink_bps, "server_load": server_load}
        kept = (choice for choice in self.choices if self.keeps(choice, **at))
        return min(kept, key=lambda choice: self.cost(choice, **at), default=None)

    def cost(self, choice: Choice, *, uplink_bps: float, server_load: float) -> float:
        """What the plan's target makes best of one choice, at a rate and a load."""
        return max(self._figure(terms, uplink_bps, server_load) for terms in choice.stages)

    def keeps(self, choice: Choice, *, uplink_bps: float, server_load: float) -> bool:
        """Whether one of the choices keeps to the limits at a rate and a load."""
        limited = (self._figure(terms, uplink_bps, server_load) for terms in choice.limited)
        return all(figure <= most * KEEPING for figure, most in zip(limited, self.most, strict=True))

    def _figure(self, terms: Terms, uplink_bps: float, server_load: float) -> float:
        return terms.at(uplink_bps=uplink_bps, server_load=server_load, radio_fitted_to_bps=self.radio_fitted_to_bps)


def runs(layers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """First and last of each run of consecutive numbers."""
    found: list[tuple[int, int]] = []
    for index in sorted(layers):
        if found and found[-1][1] == index - 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return tuple(found)
