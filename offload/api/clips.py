"""What verbs about videos have in common: a clip's truth, and how artifacts name a part of it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from offload.artifacts.video_profile import ClipRecord
from offload.errors import OffloadError

if TYPE_CHECKING:
    from offload.artifacts.video_profile import DetectorRecord
    from offload.detectors.base import Detector
    from offload.video.clips import Clip, Frame
    from offload.video.truth import FrameTruth


def truth_of(
    path: Path, clip: Clip, told: Path | None, detector: Detector | DetectorRecord
) -> tuple[FrameTruth, ...] | None:
    """The ground truth of a clip's frames.

    Args:
        path: The clip's.
        clip: It, opened.
        told: The truth's file; None takes the one beside the clip, and there need not be one.
        detector: Whose classes it must have.

    Raises:
        OffloadError: it cannot be read, is about another clip, or has other classes.
    """
    from offload.video.truth import load_truth, truth_file

    file = told or truth_file(path)
    if told is None and not file.exists():
        return None
    truth = load_truth(file, clip.info)
    if truth.classes != detector.classes:
        raise OffloadError(
            f"{file} has the classes {', '.join(truth.classes)[:80]}, the detector {', '.join(detector.classes)[:80]}",
            hint="give both the same names in the same order",
        )
    return truth.frames


def frames_of(clip: Clip, first: int, count: int) -> Iterator[Frame]:
    """So many frames from one on."""
    return itertools.islice(clip.frames(), first, first + count)


def clip_record(path: Path, clip: Clip, first: int, count: int, *, truth: bool) -> ClipRecord:
    """How artifacts name frames; decodes them, for their digest."""
    content = hashlib.sha256()
    for frame in frames_of(clip, first, count):
        content.update(frame.tobytes())
    info = clip.info
    return ClipRecord(
        name=info.name,
        path=str(path),
        sha256=content.hexdigest(),
        width=info.width,
        height=info.height,
        fps=info.fps,
        frames=count,
        truth=truth,
    )


def planned_detector(planned: DetectorRecord) -> Detector:
    """The detector that an artifact names.

    Raises:
        OffloadError: it is not there any more, or is another one now.
    """
    from offload.detectors.catalogue import load_detector

    detector = load_detector(planned.spec)
    if detector.hash != planned.sha256:
        raise OffloadError(
            f"{planned.spec} is not the detector that the plan is for", hint="profile the clip with it and plan again"
        )
    return detector
