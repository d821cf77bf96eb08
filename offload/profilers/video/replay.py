"""ELF's loop over a clip without a network: each server's crop is run alone on this machine, one after another.

What comes of it is exact where it does not depend on time: which regions, which bytes, which objects.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offload.detectors.base import resized
from offload.video.boxes import areas
from offload.video.elf import Elf, ElfSettings

if TYPE_CHECKING:
    from offload.detectors.base import Detector
    from offload.runtimes.base import Session
    from offload.video.boxes import Boxes
    from offload.video.clips import Frame
    from offload.video.detections import Detections
    from offload.video.partitioning import ServerCost
    from offload.video.proposals.base import Predictor


@dataclass(frozen=True, kw_only=True, eq=False)
class ReplayedFrame:
    """What happened to a frame."""

    found: Detections
    predicted: Boxes
    """Where objects were expected."""
    regions: tuple[Boxes, ...]
    """By server; (0, 4) where it got none."""
    sent_pixels: int
    """Of regions and, where it was due, the small frame."""
    sent_bytes: int
    """The same, as JPEG."""
    slowest_pixels: int
    """Of the largest region."""
    functions_s: dict[str, float]
    """What each function took on the device: plan, encode, merge."""
    detector_s: tuple[float, ...]
    """What each server's crops took, run alone."""


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
    frames: Iterable[Frame],
    detector: Detector,
    session: Session,
    *,
    settings: ElfSettings,
    predictor: Predictor,
    servers: Sequence[ServerCost],
    quality: int,
) -> list[ReplayedFrame]:
    """Run the loop over frames.

    Args:
        frames: The clip's, in order.
        detector: What every server runs.
        session: It, loaded.
        settings: The plan's.
        predictor: Of regions.
        servers: What each is thought to take.
        quality: Of JPEG.
    """
    elf: Elf | None = None
    done = []
    for number, frame in enumerate(frames):
        height, width = frame.shape[:2]
        if elf is None:
            elf = Elf(settings=settings, predictor=predictor, width=width, height=height, servers=servers)
        started = time.perf_counter()
        plan = elf.plan(number)
        planned = time.perf_counter()
        files = {
            server: jpeg(crop(frame, region), quality) for server, region in enumerate(plan.regions) if len(region)
        }
        small_file, small_pixels = None, 0
        if plan.small_on is not None and settings.compensation is not None:
            small_file = jpeg(resized(frame, *settings.compensation.size(width, height)), quality)
            small_pixels = int(np.prod(settings.compensation.size(width, height)))
        encoded = time.perf_counter()
        answers, spent_s = {}, [0.0] * len(servers)
        for server, file in files.items():
            begun = time.perf_counter()
            found = detector.detect(session, pixels_of(file))
            spent_s[server] += time.perf_counter() - begun
            left, top = plan.regions[server][0, :2]
            answers[server] = found.placed(left=left, top=top)
        small = None
        if small_file is not None and plan.small_on is not None:
            begun = time.perf_counter()
            image = pixels_of(small_file)
            small = detector.detect(session, image).placed(left=0, top=0, scale=width / image.shape[1])
            spent_s[plan.small_on] += time.perf_counter() - begun
        detected = time.perf_counter()
        found = elf.take(plan, answers, small)
        done.append(
            ReplayedFrame(
                found=found,
                predicted=plan.predicted,
                regions=plan.regions,
                sent_pixels=int(plan.pixels) + small_pixels,
                sent_bytes=sum(len(file) for file in files.values()) + len(small_file or b""),
                slowest_pixels=int(max((float(areas(region).sum()) for region in plan.regions), default=0.0)),
                functions_s={
                    "plan": planned - started, "encode": encoded - planned, "merge": time.perf_counter() - detected,
                },
                detector_s=tuple(spent_s),
            )
        )  # fmt: skip
    return done


def crop(frame: Frame, region: Boxes) -> Frame:
    """The part of a frame inside a rectangle of whole pixels, shape (1, 4)."""
    left, top, right, bottom = (int(value) for value in region[0])
    return np.ascontiguousarray(frame[top:bottom, left:right])
