"""Measure the link to a server by the path that an application's requests take: the serving protocol.

A round makes tiny calls, moves one message of each size each way in random order, and opens a fresh connection for one
more. Each comes after a rest, as requests come one at a time: a token bucket has filled up and a congestion window may
have shrunk. What is said of a message is the time to the server's having it, or from the server's sending it.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np

from offload.artifacts.link import Direction, LinkProfile, RttSample, TransferSample, fit_one_way
from offload.errors import OffloadError
from offload.profilers.rests import PAUSE_S
from offload.progress import Progress
from offload.serving.builtin_models import PING
from offload.serving.client import ServerClient
from offload.serving.client_errors import ServerError
from offload.serving.clock import ServerClock
from offload.serving.link_probes import Probes, link_probes
from offload.serving.split_session import request_times
from offload.serving.timing import InferResult, ModelCounts
from offload.units import format_size

LARGEST_BYTES = 256 * 1024**2
"""The longest message a probe moves."""
_SIZES = 5
_SMALLEST_BYTES, _LONGEST_CHOSEN_BYTES = 10_000, 5_000_000
_FIRST_BYTES = 1_000
_SHARE_OF_TIME = 0.4
"""Of the whole time, for the messages of one direction; the rest is for rests and tiny calls."""
_PLANNED_ROUNDS = 6
_FEWEST_ROUNDS = 3
_CALLS = 5
"""Tiny calls a round."""
_TIMEOUT_S = 30.0
_TELLING_S = 0.03
"""A message that takes this long tells a rate well enough to choose sizes by."""


def measure_link(
    connect: Callable[[], ServerClient],
    *,
    sizes_bytes: Sequence[int] | None,
    duration_s: float,
    progress: Progress,
) -> LinkProfile:
    """Measure until the time is up; an interrupt or a lost connection keeps what was measured, if it is enough.

    Args:
        connect: Opens a fresh connection to the server.
        sizes_bytes: Message sizes; None chooses five each way by first estimates of the rates.
        duration_s: About how long it may take; three rounds are made in any case.
        progress: Told of seconds gone by.

    Raises:
        OffloadError: the server cannot be used, or a message took too long, before three rounds were made.
        KeyboardInterrupt: before three rounds were made.
    """
    with connect() as client:
        info = client.check()
        with link_probes(client) as probes:
            session = _Session(client, connect, probes, timeout_s=max(_TIMEOUT_S, duration_s))
            progress.start(f"measuring the link to {client.address}", duration_s)
            try:
                stopped, failure = session.measure(sizes_bytes, duration_s, progress)
            finally:
                progress.finish()
        rtts, transfers, clock = session.samples()
        for direction in get_args(Direction):
            try:
                fit_one_way([sample for sample in transfers if sample.direction == direction])
            except ValueError as error:
                raise OffloadError(f"{direction}link: {error}", hint="measure longer --sizes, or for longer") from error
        return LinkProfile.create(
            server=client.address,
            server_name=f"{info.name} {info.version}".strip(),
            probes=probes.kind,
            timing="round trip" if clock is None else "one-way",
            compute_included=session.compute_included,
            clock_uncertainty_s=None if clock is None else clock.best.uncertainty_ns / 1e9,
            clock_drift=None if clock is None else clock.drift,
            rtts=rtts,
            transfers=transfers,
            stopped=stopped,
            failure=failure,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Message:
    """One message that was moved, and what is known of its time."""

    direction: Direction
    size_bytes: int
    cold: bool
    result: InferResult
    """Without its outputs."""
    spent: tuple[ModelCounts, ModelCounts] | None
    """The probe's statistics before and after; None where the server tells its times or no statistics."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Round:
    """One round: whole or not at all."""

    calls: tuple[InferResult, ...]
    """Tiny calls, where the server tells its times."""
    rtts: tuple[tuple[int, float], ...]
    """When a tiny call began (`time.perf_counter_ns`), and its seconds without the server's part."""
    messages: tuple[_Message, ...]


class _Session:
    """The rounds of one measurement."""

    def __init__(
        self, client: ServerClient, connect: Callable[[], ServerClient], probes: Probes, *, timeout_s: float
    ) -> None:
        self._client, self._connect, self._probes, self._timeout_s = client, connect, probes, timeout_s
        self._done: list[_Round] = []
        """Whole rounds only: one is added in a single step, so an interrupt cannot leave a part of one."""
        self._began_ns = time.perf_counter_ns()
        self._payload = np.zeros(0, np.uint8)
        first = self._send(client, "up", _FIRST_BYTES)
        self._one_way = first.server is not None and client.ready(PING)
        self._counts = None if self._one_way else self._statistics()
        self.compute_included = not self._one_way and self._counts is None

    def measure(
        self, sizes_bytes: Sequence[int] | None, duration_s: float, progress: Progress
    ) -> tuple[Literal["time", "interrupted", "lost"], str | None]:
        """Rounds until the time is up: why they ended, and the error when the connection was lost."""
        began = reported = time.perf_counter()
        sizes = {
            direction: sizes_bytes or self._chosen_sizes(direction, duration_s) for direction in get_args(Direction)
        }
        order = [(direction, size) for direction, each in sizes.items() for size in each]
        shuffle = random.Random(0).shuffle  # noqa: S311  an order, not a secret
        try:
            while len(self._done) < _FEWEST_ROUNDS or time.perf_counter() - began < duration_s:
                shuffle(order)
                self._done.append(self._round(order, sizes))
                now = time.perf_counter()
                progress.advance(now - reported)
                reported = now
        except KeyboardInterrupt:
            if len(self._done) < _FEWEST_ROUNDS:
                raise
            return "interrupted", None
        except ServerError as error:
            if len(self._done) < _FEWEST_ROUNDS:
                raise
            return "lost", error.message
        return "time", None

    def samples(self) -> tuple[tuple[RttSample, ...], tuple[TransferSample, ...], ServerClock | None]:
        """What was measured, and the server's clock where it tells it."""
        clock = ServerClock.of([one.calls for one in self._done]) if self._one_way else None
        rtts = [
            RttSample(seconds=max(0.0, seconds), at_s=self._at_s(at_ns))
            for one in self._done
            for at_ns, seconds in one.rtts
        ]
        back_s = float(np.median([sample.seconds for sample in rtts])) / 2
        transfers = [
            TransferSample(
                direction=message.direction,
                size_bytes=message.size_bytes,
                seconds=_seconds(message, clock, back_s),
                cold=message.cold,
                at_s=self._at_s(message.result.started_ns),
            )
            for one in self._done
            for message in one.messages
        ]
        return tuple(rtts), tuple(transfers), clock

    def _round(self, order: Sequence[tuple[Direction, int]], sizes: dict[Direction, Sequence[int]]) -> _Round:
        calls, rtts = [], []
        for _ in range(_CALLS):
            time.sleep(PAUSE_S)
            if self._one_way:
                calls.append(self._client.infer(PING, {}))
                rtts.append((calls[-1].started_ns, calls[-1].network_s))
            else:
                started_ns = time.perf_counter_ns()
                self._client.ready(self._probes.up)
                rtts.append((started_ns, (time.perf_counter_ns() - started_ns) / 1e9))
        messages = [self._message(self._client, direction, size, cold=False) for direction, size in order]
        for direction in get_args(Direction):
            with self._connect() as fresh:
                middle = sorted(sizes[direction])[len(sizes[direction]) // 2]
                messages.append(self._message(fresh, direction, middle, cold=True))
        return _Round(calls=tuple(calls), rtts=tuple(rtts), messages=tuple(messages))

    def _message(self, client: ServerClient, direction: Direction, size_bytes: int, *, cold: bool) -> _Message:
        time.sleep(PAUSE_S)
        result = self._send(client, direction, size_bytes)
        spent = None
        if self._counts is not None:
            before = self._counts[direction]
            self._counts[direction] = self._client.statistics(self._probes.model(direction))
            spent = (before, self._counts[direction])
        return _Message(direction=direction, size_bytes=size_bytes, cold=cold, result=result, spent=spent)

    def _send(self, client: ServerClient, direction: Direction, size_bytes: int) -> InferResult:
        if self._payload.size < size_bytes:  # random, so that nothing on the way can compress it
            self._payload = np.random.default_rng(0).integers(0, 256, size_bytes, dtype=np.uint8)
        payload = self._payload[:size_bytes]
        try:
            result = self._probes.send(client, direction, payload, timeout_s=self._timeout_s)
        except ServerError as error:
            if error.code != "DEADLINE_EXCEEDED":
                raise
            raise ServerError(
                f"a message of {format_size(size_bytes)} {direction} did not get through in {self._timeout_s:g} s",
                hint="ask for smaller --sizes, or for a longer --duration, which one message may take",
                code=error.code,
            ) from error
        return dataclasses.replace(result, outputs={})

    def _chosen_sizes(self, direction: Direction, duration_s: float) -> list[int]:
        """Sizes in a geometric row, the largest such that some rounds of all of them fit the time."""
        size = _FIRST_BYTES
        while True:
            took_s = self._send(self._client, direction, size).call_s
            if took_s >= _TELLING_S + 3 * self._idle_s() or size >= _LONGEST_CHOSEN_BYTES:
                break
            size = min(4 * size, _LONGEST_CHOSEN_BYTES)
        bytes_a_round = size / took_s * duration_s * _SHARE_OF_TIME / _PLANNED_ROUNDS
        return spread_sizes(bytes_a_round)

    def _idle_s(self) -> float:
        started = time.perf_counter()
        self._client.ready(self._probes.up)
        return time.perf_counter() - started

    def _statistics(self) -> dict[Direction, ModelCounts] | None:
        try:
            return {
                direction: self._client.statistics(self._probes.model(direction)) for direction in get_args(Direction)
            }
        except ServerError as error:
            if error.code != "UNIMPLEMENTED":
                raise
            return None

    def _at_s(self, at_ns: int) -> float:
        return (at_ns - self._began_ns) / 1e9


def spread_sizes(bytes_a_round: float) -> list[int]:
    """Five sizes in a geometric row that sum to about `bytes_a_round`, rounded to two digits.

    From 10 kB where that leaves a factor of 20 to the largest, which is 5 MB at most.
    """
    largest = min(bytes_a_round / 1.5, _LONGEST_CHOSEN_BYTES)
    smallest = min(_SMALLEST_BYTES, largest / 20)
    row = np.geomspace(max(1.0, smallest), max(100.0, largest), _SIZES)
    return [int(float(f"{size:.2g}")) for size in row]


def _seconds(message: _Message, clock: ServerClock | None, back_s: float) -> float:
    result = message.result
    if clock is not None:
        times = request_times(result, clock.at(result.started_ns))
        return times["uplink_s"] if message.direction == "up" else times["downlink_s"]
    output_s = spent_s = 0.0
    if message.spent is not None:
        before, after = message.spent
        output_s = after.compute_output_s - before.compute_output_s
        spent_s = sum(
            getattr(after, phase) - getattr(before, phase)
            for phase in ("queue_s", "compute_input_s", "compute_infer_s", "compute_output_s")
        )
    one_way_s = result.call_s - spent_s - back_s
    if message.direction == "down":  # making the answer belongs to its way back, as in a request's Breakdown
        one_way_s += output_s + result.decode_s
    return max(0.0, one_way_s)
