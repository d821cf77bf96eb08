"""When bytes leave an emulated link: pure arithmetic on a clock that the caller reads."""

from __future__ import annotations

from dataclasses import dataclass

from offload.errors import UsageError
from offload.units import parse_duration, parse_rate


@dataclass(frozen=True, kw_only=True)
class LinkShape:
    """One direction of a link."""

    rate_bps: float
    """Payload bits per second."""
    delay_s: float = 0.0
    """One-way propagation delay."""


def parse_link(text: str) -> LinkShape:
    """A link from text such as `450mbps,2ms`: a rate and, if wanted, a one-way delay.

    Raises:
        UsageError: it is not that.
    """
    rate, separator, delay = text.partition(",")
    if not rate.strip() or (separator and not delay.strip()):
        raise UsageError(f"{text!r} is not a link", hint="write it like 450mbps,2ms: a rate, then a one-way delay")
    return LinkShape(rate_bps=parse_rate(rate), delay_s=parse_duration(delay) if separator else 0.0)


class VirtualLine:
    """A line that serialises bytes at a rate and then carries them for a delay.

    The line keeps the time at which it is next free. A chunk starts when it is there *and* the line is free, so the
    rate holds whenever the caller is late by less than its backlog, and a line that was idle owes no burst.
    """

    def __init__(self, shape: LinkShape) -> None:
        self._shape = shape
        self._free_at_s = float("-inf")

    def admit(self, size_bytes: int, now_s: float) -> float:
        """Put a chunk on the line at `now_s`; the time at which its last byte arrives at the far end, seconds."""
        self._free_at_s = max(self._free_at_s, now_s) + size_bytes * 8 / self._shape.rate_bps
        return self._free_at_s + self._shape.delay_s

    def backlog_s(self, now_s: float) -> float:
        """Seconds until what was admitted is serialised."""
        return max(0.0, self._free_at_s - now_s)
