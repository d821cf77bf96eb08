"""What each server takes at present, learnt from a run's own answers (ELF's passive profiling).

What counts against a server is what differs between servers: its own computing, waiting there for others, and what its
path takes beyond the best path. The line that the device shares among all of them does not count. What crosses it takes
the same wherever a region goes, and whatever is sent last waits longest; a server would lose its share for being asked
last, or all would seem alike because the line is slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.video.capacity import Capacity

if TYPE_CHECKING:
    from offload.artifacts.video_run import AskRecord
    from offload.video.partitioning import ServerCost

_LEARNING = 0.3
"""Weight of the newest answer in what a path takes a byte."""
_RECENT_FRAMES = 10
"""For how many frames a path without a new answer can be the best one."""


@dataclass(kw_only=True)
class _Path:
    """To one server, over the line that all share."""

    line_s: float = 0.0
    """Mean of answers, the newest counting most."""
    sent_bytes: float = 0.0
    """Likewise."""
    silent_frames: int = 0

    def observe(self, line_s: float, sent_bytes: float) -> None:
        """An image took so long to cross."""
        weight = _LEARNING if self.sent_bytes else 1.0
        self.line_s += weight * (line_s - self.line_s)
        self.sent_bytes += weight * (sent_bytes - self.sent_bytes)
        self.silent_frames = 0

    @property
    def seconds_per_byte(self) -> float:
        """Without its delay."""
        return self.line_s / self.sent_bytes


class PassiveProfile:
    """All servers' speeds, kept up to date frame by frame.

    Args:
        costs: What was measured of each before.
        rtts_s: What an empty message takes to each and back; None for one that is not known.
    """

    def __init__(self, costs: Sequence[ServerCost], rtts_s: Sequence[float | None] | None = None) -> None:
        self._capacities = [Capacity(cost=cost) for cost in costs]
        told_s = tuple(rtts_s or (None,) * len(costs))
        nearest_s = min((rtt_s for rtt_s in told_s if rtt_s is not None), default=0.0)
        self._rtts_s = [nearest_s if rtt_s is None else rtt_s for rtt_s in told_s]
        self._paths = [_Path() for _ in costs]

    @property
    def costs(self) -> tuple[ServerCost, ...]:
        """What each is thought to take just now."""
        return tuple(capacity.now for capacity in self._capacities)

    def servers(self, there: Sequence[bool]) -> tuple[ServerCost | None, ...]:
        """The same, None for one that is not there."""
        return tuple(cost if here else None for cost, here in zip(self.costs, there, strict=True))

    def observe(self, asks: Sequence[AskRecord]) -> None:
        """A frame's answers; a server that was not asked is slowly trusted again, so that it is asked some day."""
        answered = [ask for ask in asks if ask.answered and not ask.on_device]
        lines_s = self._line_times(answered)
        for path in self._paths:
            path.silent_frames += 1
        for ask, line_s in zip(answered, lines_s, strict=True):
            self._paths[ask.server].observe(line_s, ask.sent_bytes)
        known = [path for path in self._paths if path.sent_bytes and path.silent_frames < _RECENT_FRAMES]
        best = min((path.seconds_per_byte for path in known), default=0.0)
        nearest_s = min(self._rtts_s)
        for ask, line_s, waited_s in zip(answered, lines_s, _waits(answered), strict=True):
            farther_s = self._rtts_s[ask.server] - nearest_s
            beyond_s = max(0.0, line_s - best * ask.sent_bytes)
            took_s = farther_s + beyond_s + waited_s + ask.decode_s + ask.server_s
            self._capacities[ask.server].observe(ask.pixels, took_s)
        asked = {ask.server for ask in asks}
        for server, capacity in enumerate(self._capacities):
            if server not in asked:
                capacity.idle()

    def _line_times(self, asks: Sequence[AskRecord]) -> list[float]:
        """How long each image had the line, from when the one before it was through; its path's delay comes after."""
        through = [max(ask.sent_at_s, ask.sent_at_s + ask.uplink_s - self._rtts_s[ask.server] / 2) for ask in asks]
        times_s = []
        for ask, through_s in zip(asks, through, strict=True):
            before_s = max((each for each in through if each < through_s), default=0.0)
            times_s.append(through_s - max(ask.sent_at_s, before_s))
        return times_s


def _waits(asks: Sequence[AskRecord]) -> list[float]:
    """What each waited on its server for others than this frame's own images."""
    waits_s = []
    for ask in asks:
        arrived_s = ask.sent_at_s + ask.uplink_s
        begun_s = arrived_s + ask.queue_s
        own_s = [
            other.sent_at_s + other.uplink_s + other.queue_s + other.decode_s + other.server_s
            for other in asks
            if other is not ask and other.server == ask.server
        ]
        explained_s = max((end_s for end_s in own_s if end_s <= begun_s + 1e-3), default=arrived_s)
        waits_s.append(max(0.0, begun_s - max(arrived_s, explained_s)))
    return waits_s
