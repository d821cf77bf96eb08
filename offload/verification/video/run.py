"""A clip offloaded to real servers, frame by frame, by any method; no frame is lost when servers are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from offload.artifacts.video_run import FrameRecord
from offload.verification.video.asking import FrameAsking
from offload.video.boxes import NO_BOXES, rounded
from offload.video.detections import Detections
from offload.video.held import held
from offload.video.passive import PassiveProfile
from offload.video.tracks import PATIENCE

if TYPE_CHECKING:
    from offload.runtimes.base import Session
    from offload.verification.video.pool import ServerPool
    from offload.video.clips import Frame
    from offload.video.methods.base import Method
    from offload.video.partitioning import ServerCost

_CLOCKS_S = 10.0
"""How long the servers' clocks are taken to run as ours does: they are off by less than a millisecond, then."""


def run_clip(
    frames: Iterable[Frame],
    method: Method,
    pool: ServerPool,
    *,
    costs: Sequence[ServerCost],
    session: Session | None = None,
) -> Iterator[FrameRecord]:
    """Offload frames one after another, each begun when the one before it is answered.

    Before each frame the method is told what each server is thought to take just now, and which are gone. When all are,
    the device stands in for the first of them if it has the detector; else objects are held where they are expected,
    for as many frames as they are tracked unseen.

    Args:
        frames: The clip's, in order.
        method: A new one.
        pool: The servers.
        costs: What was measured of each before, in the pool's order.
        session: The detector here; None where the device has none.

    Raises:
        OffloadError: a frame cannot be decoded, an image is larger than servers were told, or the device's own
            detector fails.
    """
    speeds = PassiveProfile(costs, pool.rtts_s)
    clocks_ns = time.perf_counter_ns()
    before, unseen_frames = Detections.none(), 0
    for number, frame in enumerate(frames):
        started_ns = time.perf_counter_ns()
        there = pool.there
        stand_in = session is not None and not any(there)
        method.servers = speeds.servers((True, *there[1:]) if stand_in else there)
        plan = method.plan(number, frame)
        plan_s = _since_s(started_ns)
        asked = FrameAsking(frame, started_ns, pool, speeds.costs, session).run(plan)
        found = method.take(plan, asked.answers)
        kept = Detections.none()
        unseen = bool(asked.unanswered) or not (stand_in or any(there))
        unseen_frames = unseen_frames + 1 if unseen else 0
        if 0 < unseen_frames <= PATIENCE:
            full = [ask.region for ask, _ in asked.answers if ask.scale == 1]
            kept = held(plan.predicted, np.concatenate([NO_BOXES, *full]), before, found)
        latency_s = _since_s(started_ns)
        speeds.observe(asked.records)
        before = Detections.together([found, kept])
        yield FrameRecord(
            number=number,
            predicted=rounded(plan.predicted),
            asks=asked.records,
            boxes=rounded(before.boxes),
            scores=tuple(before.scores.tolist()),
            labels=tuple(before.labels.tolist()),
            held=len(kept),
            plan_s=plan_s,
            merge_s=max(0.0, latency_s - max(plan_s, asked.answered_at_s)),
            latency_s=latency_s,
        )
        if _since_s(clocks_ns) > _CLOCKS_S:
            pool.synchronise()
            clocks_ns = time.perf_counter_ns()


def _since_s(started_ns: int) -> float:
    return (time.perf_counter_ns() - started_ns) / 1e9
