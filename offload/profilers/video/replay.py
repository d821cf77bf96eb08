"""A way of offloading run over a clip without a network: each image is looked at alone here, one after another.

What comes of it is exact where it does not depend on time: which regions, which bytes, which objects.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offload.detectors.base import resized

if TYPE_CHECKING:
    from offload.detectors.base import Detector
    from offload.runtimes.base import Session
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
    detector_s: tuple[float, ...]
    """What each ask took, decoding and all, run alone."""
    functions_s: dict[str, float]
    """What each function took on the device: plan, encode, merge."""


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
    done = []
    for number, frame in enumerate(frames):
        started = time.perf_counter()
        plan = method.plan(number, frame)
        planned = time.perf_counter()
        files = [jpeg(image_of(frame, ask), quality) for ask in plan.asks]
        encoded = time.perf_counter()
        answers, spent_s = [], []
        for ask, file in zip(plan.asks, files, strict=True):
            begun = time.perf_counter()
            found = detector.detect(session, pixels_of(file))
            spent_s.append(time.perf_counter() - begun)
            answers.append((ask, placed(found, ask)))
        detected = time.perf_counter()
        merged = method.take(plan, answers)
        done.append(
            ReplayedFrame(
                plan=plan,
                found=merged,
                sent_bytes=tuple(len(file) for file in files),
                detector_s=tuple(spent_s),
                functions_s={
                    "plan": planned - started, "encode": encoded - planned, "merge": time.perf_counter() - detected,
                },
            )
        )  # fmt: skip
    return done


def image_of(frame: Frame, ask: Ask) -> Frame:
    """What is sent of a frame, shape (height, width, 3)."""
    left, top, right, bottom = (int(value) for value in ask.region[0])
    return resized(np.ascontiguousarray(frame[top:bottom, left:right]), *ask.size)


def placed(found: Detections, ask: Ask) -> Detections:
    """What was found in what was sent, in the frame's pixels."""
    left, top, right, _ = ask.region[0]
    return found.placed(left=left, top=top, scale=(right - left) / ask.size[0])
