"""Which cut is best under which bandwidth and load: what a running session follows."""

from __future__ import annotations

from dataclasses import dataclass

from offload.artifacts.base import Positive

SLOWEST_BPS, FASTEST_BPS = 1e4, 1e11
"""The uplink rates looked at, and the plan's own."""
LIGHTEST_LOAD, HEAVIEST_LOAD = 1.0, 100.0
"""The server loads looked at, and the plan's own; 1 is an idle server."""


@dataclass(frozen=True, kw_only=True)
class PolicyRow:
    """A range of uplink rates and server loads in which one cut is best."""

    slowest_uplink_bps: Positive
    fastest_uplink_bps: Positive
    """The same as the slowest in a row that stands for one rate."""
    least_server_load: Positive
    most_server_load: Positive
    """The same as the least in a row that stands for one load."""
    device_layers: tuple[int, ...]
    """Indices of the layers that run on the device, in the graph's order."""
    words: str
    """The cut as one reads it aloud."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The lower envelope of all cuts; the downlink and everything else stay as they were when the plan was made."""

    by_uplink: tuple[PolicyRow, ...] = ()
    """At each of some loads, the ranges of uplink rates, slowest first; none where no cut keeps to the limits."""
    by_load: tuple[PolicyRow, ...] = ()
    """At the plan's uplink, the ranges of load, least first; none where no cut keeps to the limits."""
    notes: tuple[str, ...] = ()
    """What the ranges do not tell."""
