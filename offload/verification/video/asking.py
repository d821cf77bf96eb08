"""One frame's images sent to their servers and answered, whatever becomes of the servers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.video_run import AskRecord
from offload.profilers.video.replay import image_of, placed
from offload.serving.client_errors import ServerError
from offload.serving.timing import InferResult

if TYPE_CHECKING:
    from offload.runtimes.base import Session
    from offload.serving.timing import ClockOffset
    from offload.verification.video.pool import ServerPool
    from offload.video.clips import Frame
    from offload.video.detections import Detections
    from offload.video.methods.base import Ask, FramePlan
    from offload.video.partitioning import ServerCost


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """What came of a frame's plan."""

    records: tuple[AskRecord, ...]
    """What was sent, in order; what had to be sent again is there twice."""
    answers: tuple[tuple[Ask, Detections], ...]
    unanswered: tuple[Ask, ...]
    """What nobody looked at."""
    answered_at_s: float
    """From the frame's start until the last answer was there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _OnItsWay:
    """An image that was sent."""

    ask: Ask
    payload: bytes
    record: AskRecord
    sent_ns: int
    offset: ClockOffset


class FrameAsking:
    """Sends a frame's images, each as soon as it is encoded, and waits for all answers.

    What a server that dies was asked goes to the one that would be done first; when none is left, the device looks at
    it, if it has the detector.

    Args:
        frame: The frame.
        started_ns: When work on it began, `time.perf_counter_ns`.
        pool: The servers.
        costs: What each is thought to take just now, in the pool's order.
        session: The detector here; None where the device has none.
    """

    def __init__(
        self,
        frame: Frame,
        started_ns: int,
        pool: ServerPool,
        costs: Sequence[ServerCost],
        session: Session | None,
    ) -> None:
        self._frame, self._started_ns = frame, started_ns
        self._pool, self._costs, self._session = pool, costs, session
        self._sent: dict[int, _OnItsWay] = {}
        """By ticket, without an answer so far."""
        self._records: list[AskRecord] = []
        self._answers: list[tuple[Ask, Detections]] = []
        self._unanswered: list[Ask] = []
        self._answered_ns = started_ns

    def run(self, plan: FramePlan) -> Asked:
        """Send what a plan asks, in its order, and wait.

        Raises:
            OffloadError: an image is larger than servers were told, or the device's own detector fails.
        """
        for ask in plan.asks:
            if not any(self._pool.there):
                self._look(ask)
                continue
            begun_ns = time.perf_counter_ns()
            payload = self._pool.served.encoded(self._frame, ask)
            self._send(ask, payload, ask.server, encode_s=(time.perf_counter_ns() - begun_ns) / 1e9)
        while self._sent:
            reply = self._pool.next_reply()
            if reply.ticket in self._sent:  # not one of a server that was given up
                self._take(reply.ticket, reply.server, reply.answer)
        return Asked(
            records=tuple(sorted(self._records, key=lambda record: record.sent_at_s)),
            answers=tuple(self._answers),
            unanswered=tuple(self._unanswered),
            answered_at_s=(self._answered_ns - self._started_ns) / 1e9,
        )

    def _send(self, ask: Ask, payload: bytes, server: int, *, encode_s: float) -> None:
        """To this server, or to the one that is left which would be done first."""
        while any(self._pool.there):
            if not self._pool.there[server]:
                server = self._soonest(ask.pixels)
            sent_ns, offset = time.perf_counter_ns(), self._pool.offset(server)
            record = self._record(ask, server, sent_ns=sent_ns, sent_bytes=len(payload), encode_s=encode_s)
            try:
                ticket = self._pool.send(server, payload)
            except ServerError as error:
                self._pool.lose(server, error.message)
                self._send_again(self._pulled(server))
                continue
            if offset is None:
                raise AssertionError("a server that takes an image has told its clock")
            self._sent[ticket] = _OnItsWay(ask=ask, payload=payload, record=record, sent_ns=sent_ns, offset=offset)
            return
        self._look(ask)

    def _take(self, ticket: int, server: int, answer: InferResult | ServerError) -> None:
        one = self._sent.pop(ticket)
        try:
            if isinstance(answer, ServerError):
                raise answer
            found = self._pool.served.found(answer.outputs, one.ask)
        except ServerError as error:
            self._pool.lose(server, error.message)
            self._send_again([one, *self._pulled(server)])
            return
        self._answered_ns = max(self._answered_ns, answer.decoded_ns)
        times = times_of(answer, one.offset, sent_ns=one.sent_ns)
        self._records.append(one.record.model_copy(update={**times, "found": len(found), "answered": True}))
        self._answers.append((one.ask, found))

    def _pulled(self, server: int) -> list[_OnItsWay]:
        """All that a server was asked without an answer so far, which is not waited for any more."""
        tickets = [ticket for ticket, one in self._sent.items() if one.record.server == server]
        return [self._sent.pop(ticket) for ticket in tickets]

    def _send_again(self, failed: Sequence[_OnItsWay]) -> None:
        """What a server that died was asked, to others."""
        self._records += [one.record for one in failed]
        for one in failed:
            self._send(one.ask, one.payload, self._soonest(one.ask.pixels), encode_s=0.0)

    def _soonest(self, pixels: int) -> int:
        """The server that would be done with it first, beside what it is asked already; any when none is there."""
        waiting = [
            sum(cost.time_s(one.ask.pixels) for one in self._sent.values() if one.record.server == index)
            for index, cost in enumerate(self._costs)
        ]
        there = self._pool.there
        return min(
            range(len(there)), key=lambda index: (not there[index], waiting[index] + self._costs[index].time_s(pixels))
        )

    def _look(self, ask: Ask) -> None:
        """No server is left: the device itself looks, if it can."""
        if self._session is None:
            self._unanswered.append(ask)
            return
        begun_ns = time.perf_counter_ns()
        found = self._pool.served.detector.detect(self._session, image_of(self._frame, ask))
        self._answered_ns = time.perf_counter_ns()
        record = self._record(ask, ask.server, sent_ns=begun_ns, sent_bytes=0, encode_s=0.0)
        told = {
            "server_s": (self._answered_ns - begun_ns) / 1e9,
            "found": len(found),
            "answered": True,
            "on_device": True,
        }
        self._records.append(record.model_copy(update=told))
        self._answers.append((ask, placed(found, ask)))

    def _record(self, ask: Ask, server: int, *, sent_ns: int, sent_bytes: int, encode_s: float) -> AskRecord:
        """Of an image without an answer."""
        left, top, right, bottom = (int(value) for value in ask.region[0])
        return AskRecord(
            server=server,
            box=(left, top, right, bottom),
            scale=ask.scale,
            sent_bytes=sent_bytes,
            sent_at_s=(sent_ns - self._started_ns) / 1e9,
            encode_s=encode_s,
            answered=False,
        )


def times_of(answer: InferResult, offset: ClockOffset, *, sent_ns: int) -> dict[str, float]:
    """Where the time went from sending an image until its answer was read, by `AskRecord`'s fields; they sum to it.

    What the server tells counts as far as it fits into what the call took: its clock may be off, or a lie.

    Args:
        answer: Of a server that tells its times.
        offset: Its clock against ours.
        sent_ns: When sending began, `time.perf_counter_ns`.
    """
    whole_s, server = (answer.decoded_ns - sent_ns) / 1e9, answer.server
    if server is None:
        raise AssertionError("servers without times are not asked")
    there_s = min(max(0.0, server.total_s), whole_s)
    uplink_s = min(max(0.0, (server.received_ns - offset.offset_ns - sent_ns) / 1e9), whole_s - there_s)
    queue_s = min(max(0.0, server.queue_ns / 1e9), there_s)
    infer_s = min(max(0.0, server.compute_infer_ns / 1e9), there_s - queue_s)
    output_s = min(max(0.0, server.compute_output_ns / 1e9), there_s - queue_s - infer_s)
    return {
        "uplink_s": uplink_s,
        "queue_s": queue_s,
        "decode_s": there_s - queue_s - infer_s - output_s,
        "server_s": infer_s,
        "downlink_s": whole_s - uplink_s - there_s + output_s,
    }
