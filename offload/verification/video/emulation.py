"""A clip offloaded to servers that are not there: each image is looked at alone here, and a model tells the rest.

What is measured: what the device's functions take, each file, what each image takes to decode and the detector to look
at it, run by itself. What is modelled: the line, which all share; that servers work side by side; and of a server that
is faster or slower than this machine, by how much, from the measured costs of both. So a frame's latency is that of the
image that is answered last (`offload.video.timing`), however few cores this machine has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.video_run import FrameRecord
from offload.profilers.video.replay import replayed
from offload.video.boxes import rounded
from offload.video.passive import PassiveProfile
from offload.video.timing import AskCost, ask_record, ask_times

if TYPE_CHECKING:
    from offload.detectors.base import Detector
    from offload.profilers.video.replay import ReplayedFrame
    from offload.runtimes.base import Session
    from offload.video.clips import Frame
    from offload.video.methods.base import Ask, Method
    from offload.video.partitioning import ServerCost
    from offload.video.timing import Line


@dataclass(frozen=True, kw_only=True)
class Emulated:
    """Servers that are not there, and what is between them and the device."""

    servers: tuple[ServerCost, ...]
    """What each takes."""
    here: tuple[ServerCost, ...]
    """For each what this machine takes in its stead; the same for one like this machine."""
    line: Line


def emulate(
    frames: Iterable[Frame],
    method: Method,
    emulated: Emulated,
    *,
    detector: Detector,
    session: Session,
    quality: int,
) -> Iterator[FrameRecord]:
    """Offload frames one after another; what answers took is learnt from as it is with real servers.

    Args:
        frames: The clip's, in order.
        method: A new one.
        emulated: Where to.
        detector: What every server runs.
        session: It, loaded here.
        quality: Of JPEG.

    Raises:
        OffloadError: a frame cannot be decoded, or the detector fails.
    """
    speeds = PassiveProfile(emulated.servers, (emulated.line.rtt_s,) * len(emulated.servers))
    for number, frame in enumerate(frames):
        method.servers = speeds.costs
        done = replayed(number, frame, method, detector=detector, session=session, quality=quality)
        record = emulated_frame(done, emulated)
        speeds.observe(record.asks)
        yield record


def emulated_frame(done: ReplayedFrame, emulated: Emulated) -> FrameRecord:
    """When a frame would have been answered whose images were looked at one by one."""
    asks, functions_s = done.plan.asks, done.functions_s
    slower = [_slower(ask, emulated) for ask in asks]
    costs = [
        AskCost(
            server=ask.server,
            encode_s=done.encode_s[index],
            sent_bytes=done.sent_bytes[index],
            decode_s=done.decode_s[index] * slower[index],
            server_s=done.detector_s[index] * slower[index],
            answer_bytes=done.answer_bytes[index],
        )
        for index, ask in enumerate(asks)
    ]
    times = ask_times(costs, emulated.line)
    records = tuple(
        ask_record(ask, cost, each, started_s=functions_s["plan"], found=found)
        for ask, cost, each, found in zip(asks, costs, times, done.answer_boxes, strict=True)
    )
    answered_s = max((record.done_s for record in records), default=functions_s["plan"])
    return FrameRecord(
        number=done.plan.number,
        predicted=rounded(done.plan.predicted),
        asks=records,
        boxes=rounded(done.found.boxes),
        scores=tuple(done.found.scores.tolist()),
        labels=tuple(done.found.labels.tolist()),
        plan_s=functions_s["plan"],
        merge_s=functions_s["merge"],
        latency_s=answered_s + functions_s["merge"],
    )


def _slower(ask: Ask, emulated: Emulated) -> float:
    """How many times as long as this machine its server takes for an image."""
    server, here = emulated.servers[ask.server], emulated.here[ask.server]
    return server.time_s(ask.pixels) / here.time_s(ask.pixels)
