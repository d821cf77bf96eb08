"""What a running session knows of the link and of the server's load: only what its messages have shown."""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass

PROBE_BYTES = 8_000
"""Size of a probe, and of the least message that tells a rate: a few packets in a row, since one tells of latency."""
PROBE_EVERY_S = 1.0
"""A probe is sent when no request has told the rate for so long."""
REMEMBERED = 3
"""Observations of the rate that count."""
_WATCHED = 4
"""Messages under way that are looked at."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one message will have told once it is answered."""

    sent_s: float
    known_s: float
    bits: float
    sending_s: float
    load: float | None
    probe: bool = False


class Knowledge:
    """An estimate of the uplink's rate and of the server's load at any time, from the observations known by then.

    The rate is the harmonic mean of the last observed ones, as for video over HTTP (FESTIVE, Jiang et al., CoNEXT
    2012): it falls at once and rises only when all of them have. A message whose bytes are still leaving bounds it. The
    load is the one last told.
    """

    def __init__(self, first: Observation) -> None:
        self._bits_s = deque([first.sending_s / first.bits], maxlen=REMEMBERED)
        self._load = 1.0 if first.load is None else first.load
        self._waiting: list[tuple[float, int, Observation]] = []
        self._under_way: deque[Observation] = deque(maxlen=_WATCHED)
        self._number = 0
        self._told_s = -math.inf

    def send(self, observation: Observation) -> None:
        """A message goes out; what it tells becomes known when it is answered."""
        self._number += 1
        heapq.heappush(self._waiting, (observation.known_s, self._number, observation))
        if observation.bits >= PROBE_BYTES * 8:
            self._under_way.append(observation)

    def told_since(self, time_s: float, now_s: float) -> bool:
        """Whether a request told the rate since then."""
        self._learn(now_s)
        return self._told_s > time_s

    def rate_and_load(self, now_s: float) -> tuple[float, float]:
        """Bits per second and the load, as far as known at this time; times must not go back."""
        self._learn(now_s)
        bit_s = sum(self._bits_s) / len(self._bits_s)
        for message in self._under_way:
            if message.known_s > now_s > message.sent_s:
                bit_s = max(bit_s, min(now_s - message.sent_s, message.sending_s) / message.bits)
        return 1 / bit_s, self._load

    def _learn(self, now_s: float) -> None:
        while self._waiting and self._waiting[0][0] <= now_s:
            _, _, message = heapq.heappop(self._waiting)
            if message.bits >= PROBE_BYTES * 8:
                self._bits_s.append(message.sending_s / message.bits)
                self._told_s = self._told_s if message.probe else message.known_s
            if message.load is not None:
                self._load = message.load
