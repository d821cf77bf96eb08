"""How well predictors of motion do on a clip's own paths: those of its truth, else of what a detector finds in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from offload.artifacts.video_profile import MotionRecord
from offload.video.accuracy import SHOWN_SCORE, confident, judged
from offload.video.proposals.catalogue import PREDICTORS, make_predictor
from offload.video.proposals.quality import prediction_quality
from offload.video.proposals.trajectories import followed, trajectories_of
from offload.video.truth import GroundTruth

if TYPE_CHECKING:
    from offload.video.detections import Detections
    from offload.video.truth import FrameTruth
_AS_GOOD = 0.005
"""Mean IoU by which a more complicated predictor must be better to be preferred."""


def measure_motion(
    found: Sequence[Detections], truth: Sequence[FrameTruth] | None, *, width: float, height: float
) -> tuple[float, tuple[MotionRecord, ...]]:
    """The error that predictors were told boxes with, as a share of their sides, and how well each does.

    Args:
        found: What whole frames show.
        truth: Of the same frames; None where there is none: then paths are those of what was found, as it was found.
        width: Of the frames, pixels.
        height: Likewise.

    Returns:
        No records where no object is in two frames in succession.
    """
    shown = confident(found, SHOWN_SCORE)
    frames = followed(shown, width=width, height=height) if truth is None else tuple(truth)
    paths = trajectories_of(GroundTruth(classes=(), frames=frames), width=width, height=height)
    noise = 0.0 if truth is None else detector_error(shown, truth)
    if not paths.paths:
        return noise, ()
    records = []
    for name in PREDICTORS:
        quality = prediction_quality(name, make_predictor(name), [paths], noise=noise)
        records.append(
            MotionRecord(
                predictor=name,
                examples=quality.examples,
                mean_iou=min(1.0, quality.mean_iou),
                coverage=tuple((share, min(1.0, covered)) for share, covered in quality.coverage.items()),
            )
        )
    return noise, tuple(records)


def by_quality(motion: Sequence[MotionRecord]) -> tuple[str, ...]:
    """All predictors' names: the simplest of those that are as good as the best one first, then the rest."""
    names = list(PREDICTORS)  # in the order of how simple they are
    best = max((one.mean_iou for one in motion), default=0.0)
    good = [one.predictor for one in motion if one.mean_iou >= best - _AS_GOOD]
    first = min(good, key=names.index, default=names[0])
    return (first, *(name for name in names if name != first))


def detector_error(found: Sequence[Detections], truth: Sequence[FrameTruth]) -> float:
    """Root of the mean square by which a box's sides are off, as a share of the object's; 0 where nothing was found."""
    off = [np.zeros(0)]
    for one, frame in zip(found, truth, strict=True):
        matched = judged(one, frame).matched
        boxes, objects = one.boxes[matched >= 0], frame.boxes[matched[matched >= 0]]
        sides = np.tile(objects[:, 2:] - objects[:, :2], 2)
        off.append(((boxes - objects) / sides).ravel())
    every = np.concatenate(off)
    return float(np.sqrt(np.mean(every**2))) if every.size else 0.0
