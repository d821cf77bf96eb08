"""A way of offloading run over a clip without a network: each image is looked at alone here, one after another.

What comes of it is exact where it does not depend on time: which regions, which bytes, which objects.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offload.detectors.base import resized

if TYPE_CHECKING:
    from offload.detectors.base import Detector
    from offload.runtimes.base import Array, Session
    from offload.video.clips import Frame
    from offload.video.detections import Detections
    from offload.video.methods.base import Ask, FramePlan, Method


@dataclass(frozen=True, kw_only=True, eq=False)
class ReplayedFrame:
    """What happened to a frame."""

    plan: FramePlan
    found: Detections
    sent_bytes: tuple[int, ...]
    """Of each ask, as JPEG."""
    answer_bytes: tuple[int, ...]
    """Of what the detector gave for each ask."""
    answer_boxes: tuple[int, ...]
    """How many objects that shows."""
    encode_s: tuple[float, ...]
    """What cutting out and encoding each ask took."""
    decode_s: tuple[float, ...]
    """What making the detector's input of each file took."""
    detector_s: tuple[float, ...]
    """What the detector took for each ask, run alone."""
    functions_s: dict[str, float]
    """What each function took on the device: plan, encode (all asks), merge (reading the answers, too)."""


def jpeg(image: Frame, quality: int) -> bytes:
    """An image as a JPEG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()


def pixels_of(file: bytes) -> Frame:
    """The image in a JPEG file that this program wrote."""
    from PIL import Image

    with Image.open(io.BytesIO(file), formats=["JPEG"]) as image:
        return np.asarray(image.convert("RGB"))


def replay(
    frames: Iterable[Frame], method: Method, *, detector: Detector, session: Session, quality: int
) -> list[ReplayedFrame]:
    """Run a method over frames.

    Args:
        frames: The clip's, in order.
        method: A new one.
        detector: What every server runs.
        session: It, loaded.
        quality: Of JPEG.
    """
    return [
        replayed(number, frame, method, detector=detector, session=session, quality=quality)
        for number, frame in enumerate(frames)
    ]


def replayed(
    number: int, frame: Frame, method: Method, *, detector: Detector, session: Session, quality: int
) -> ReplayedFrame:
    """One frame, counted from 0; arguments as for `replay`."""
    started = time.perf_counter()
    plan = method.plan(number, frame)
    planned_s = time.perf_counter() - started
    files, scales, encode_s = [], [], []
    for ask in plan.asks:
        begun = time.perf_counter()
        image, scale = detector.sent(image_of(frame, ask))
        files.append(jpeg(image, quality))
        encode_s.append(time.perf_counter() - begun)
        scales.append(scale)
    answered = [_answered(detector, session, file) for file in files]
    begun = time.perf_counter()
    read = [detector.found(answer.outputs, scale=scale) for answer, scale in zip(answered, scales, strict=True)]
    found = method.take(plan, [(ask, placed(each, ask)) for ask, each in zip(plan.asks, read, strict=True)])
    merged_s = time.perf_counter() - begun
    return ReplayedFrame(
        plan=plan,
        found=found,
        sent_bytes=tuple(len(file) for file in files),
        answer_bytes=tuple(sum(array.nbytes for array in answer.outputs.values()) for answer in answered),
        answer_boxes=tuple(len(each) for each in read),
        encode_s=tuple(encode_s),
        decode_s=tuple(answer.decode_s for answer in answered),
        detector_s=tuple(answer.detector_s for answer in answered),
        functions_s={"plan": planned_s, "encode": sum(encode_s), "merge": merged_s},
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Answer:
    """What a server would send back, and what that took it."""

    outputs: Mapping[str, Array]
    decode_s: float
    detector_s: float


def _answered(detector: Detector, session: Session, file: bytes) -> _Answer:
    begun = time.perf_counter()
    feed, _ = detector.prepared(pixels_of(file))
    decoded = time.perf_counter()
    outputs = session.run({detector.input: feed})
    ended = time.perf_counter()
    return _Answer(outputs=outputs, decode_s=decoded - begun, detector_s=ended - decoded)


def image_of(frame: Frame, ask: Ask) -> Frame:
    """What is sent of a frame, shape (height, width, 3)."""
    left, top, right, bottom = (int(value) for value in ask.region[0])
    return resized(np.ascontiguousarray(frame[top:bottom, left:right]), *ask.size)


def placed(found: Detections, ask: Ask) -> Detections:
    """What was found in what was sent, in the frame's pixels."""
    left, top, right, _ = ask.region[0]
    return found.placed(left=left, top=top, scale=(right - left) / ask.size[0])
