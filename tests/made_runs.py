"""A run of a method over the clip of moving squares whose every part is known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from offload.artifacts.video_profile import ClipRecord, DetectorRecord, Setting
from offload.artifacts.video_run import AskRecord, FrameRecord, VideoRun
from tests.made_detectors import SPOTS
from tests.moving_squares import FRAMES, HEIGHT, WIDTH, frames_and_truth

SERVERS = ("near:8000", "far:8000")
LEFT, RIGHT, WHOLE = (0, 16, 128, 112), (192, 96, 320, 176), (0, 0, WIDTH, HEIGHT)
UNFOUNDED = (224, 16, 240, 32)
"""A box where nothing is."""


def record(number: int, truth: Sequence[tuple[float, ...]]) -> FrameRecord:
    """A frame with what ELF might do: two regions, a small frame every third time.

    The red square is told twice in odd frames, the blue one is never found, and frame 5 shows something that is not
    there. In frame 4 the far server does not answer, so that the green one is not found either.
    """
    red, green = (tuple(map(float, box)) for box in truth[:2])
    asks = []
    if number % 3 == 0:
        asks.append(AskRecord(server=0, box=WHOLE, scale=0.5, sent_bytes=700, sent_at_s=0.002, encode_s=0.001))
    asks += [
        AskRecord(
            server=0, box=LEFT, sent_bytes=1000, sent_at_s=0.003, encode_s=0.001, uplink_s=0.004, queue_s=0.001,
            decode_s=0.002, server_s=0.010, downlink_s=0.001, found=1,
        ),
        AskRecord(
            server=1, box=RIGHT, sent_bytes=500, sent_at_s=0.004, encode_s=0.001, uplink_s=0.006, decode_s=0.002,
            server_s=0.020, downlink_s=0.003, found=1, answered=number != 4,
        ),
    ]  # fmt: skip
    boxes, scores, labels = [red], [0.9], [0]
    if number != 4:
        boxes, scores, labels = [*boxes, green], [*scores, 0.8], [*labels, 1]
    if number % 2:
        left, top, right, bottom = red
        boxes, scores, labels = [*boxes, (left, top + 4, right, bottom - 4)], [*scores, 0.5], [*labels, 0]
    if number == 5:
        boxes, scores, labels = [*boxes, tuple(map(float, UNFOUNDED))], [*scores, 0.4], [*labels, 2]
    boxes, scores, labels = [*boxes, (0.0, 0.0, 9.0, 9.0)], [*scores, 0.1], [*labels, 2]  # not worth showing
    return FrameRecord(
        number=number,
        predicted=(tuple(value + 24 for value in red),) if number else (),
        asks=tuple(asks),
        boxes=tuple(boxes),
        scores=tuple(scores),
        labels=tuple(labels),
        plan_s=0.001,
        merge_s=0.001,
        latency_s=0.030 + 0.001 * number,
    )


def made_run(path: str, *, emulated: bool = False) -> VideoRun:
    """The run.

    Args:
        path: Where its clip is.
        emulated: What it says of itself.
    """
    frames, truth = frames_and_truth()
    content = hashlib.sha256(np.stack(frames).tobytes()).hexdigest()
    return VideoRun.create(
        clip=ClipRecord(
            name="squares", path=path, sha256=content, width=WIDTH, height=HEIGHT, fps=30.0, frames=FRAMES, truth=True
        ),
        detector=DetectorRecord(
            name="spots.onnx", spec="spots.onnx", sha256="0" * 64, classes=SPOTS.classes, multiple=16
        ),
        method="elf",
        setting=Setting(servers=2, expansion=0.25),
        servers=SERVERS,
        emulated=emulated,
        frames=tuple(record(number, told.boxes.tolist()) for number, told in enumerate(truth.frames)),
    )
