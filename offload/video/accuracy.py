"""How good the answers about a clip are: average precision, and what is missed, told twice, unfounded or late.

Objects of which little is seen are crowds in COCO's sense: not to find one is no miss, and what is found within one
is not wrong, be it the part that is seen.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offload.video.boxes import coverages, ious
from offload.video.detections import Detections
from offload.video.truth import FrameTruth

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_VISIBLE = 0.25
"""Share of an object that must be seen for it to be asked for."""
SHOWN_SCORE = 0.3
"""From which a box is shown to a user, for what is missed or told twice."""
_SAME = 0.5
"""Intersection over union from which a box of an object's class finds it."""
_NONE = -1


@dataclass(frozen=True, kw_only=True)
class AveragePrecision:
    """COCO's: the mean over classes that the truth shows; nan where it shows none."""

    ap50: float
    """At an intersection over union of 0.5."""
    ap50_95: float
    """The mean over 0.5 to 0.95 in steps of 0.05."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """Each box and each object of a frame."""

    matched: NDArray[np.int64]
    """For each box the index of the object that it finds, (boxes,); -1 for none, or for one of which little is seen."""
    duplicate: NDArray[np.bool_]
    """Boxes at least half of which lies in an object of their class that another box finds, (boxes,)."""
    unfounded: NDArray[np.bool_]
    """Boxes that show nothing else that is there, (boxes,)."""
    missed: NDArray[np.bool_]
    """Objects that no box finds though enough of them is seen, (objects,)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Mistakes:
    """What is wrong with the answers about a clip; an object's age is the frames since enough of it was first seen."""

    duplicates: int
    unfounded: int
    asked_by_age: NDArray[np.int64]
    """At each age, in how many frames an object had to be found, (ages,)."""
    missed_by_age: NDArray[np.int64]
    """In how many of these it was not, (ages,)."""
    delays: NDArray[np.float64]
    """For each object its age when it was first found, (objects,); infinite if it never was."""


def average_precision(found: Sequence[Detections], truth: Sequence[FrameTruth]) -> AveragePrecision:
    """Over all frames of a clip; by supervision, which follows pycocotools.

    At most 100 boxes of a class in a frame count, as in COCO. So that the curve is whole, boxes of low scores belong
    into `found`.

    Raises:
        ValueError: not as many answers as frames.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it tells that OpenCV is not there, which nothing here uses
        import supervision
        from supervision.metrics import MeanAveragePrecision

    _check_same_frames(found, truth)
    metric = MeanAveragePrecision()
    for one, frame in zip(found, truth, strict=True):
        crowd = (frame.visible < LEAST_VISIBLE).astype(np.int64)
        metric.update(
            supervision.Detections(xyxy=one.boxes, confidence=one.scores, class_id=one.labels),
            supervision.Detections(xyxy=frame.boxes, class_id=frame.labels, data={"iscrowd": crowd}),
        )
    if not any((frame.visible >= LEAST_VISIBLE).any() for frame in truth):
        return AveragePrecision(ap50=math.nan, ap50_95=math.nan)
    result = metric.compute()
    return AveragePrecision(ap50=float(result.map50), ap50_95=float(result.map50_95))


def confident(found: Sequence[Detections], least_score: float) -> list[Detections]:
    """What would be shown: boxes with at least a score."""
    return [one.chosen(one.scores >= least_score) for one in found]


def as_truth(found: Sequence[Detections]) -> list[FrameTruth]:
    """Confident answers, of the full frame for example, as what others are compared with; identities mean nothing."""
    return [
        FrameTruth(boxes=one.boxes, labels=one.labels, ids=np.arange(len(one)), visible=np.ones(len(one)))
        for one in found
    ]


def on_screen(found: Sequence[Detections], shift_s: float | Sequence[float], fps: float) -> list[Detections]:
    """For each frame the newest answer that has arrived while it is shown; nothing before the first.

    Args:
        found: An answer about each frame.
        shift_s: Seconds from a frame's start until its answer is there, the same for all or for each.
        fps: Frames a second.
    """
    # The least there is added: 0.29 s at 100 frames a second are 28.999999999999996 frames.
    arrives = np.arange(len(found)) + np.floor(np.broadcast_to(shift_s, len(found)) * fps + 1e-9)
    shown = []
    for number in range(len(found)):
        there = np.flatnonzero(arrives <= number)
        shown.append(found[there[-1]] if len(there) else Detections.none())
    return shown


def judged(found: Detections, truth: FrameTruth) -> Verdict:
    """Which confident box finds which object: the highest score first, each object once, the best overlap each."""
    hidden = truth.visible < LEAST_VISIBLE
    same_class = found.labels[:, None] == truth.labels[None]
    overlap = np.where(same_class & ~hidden, ious(found.boxes, truth.boxes), 0.0)
    matched = np.full(len(found), _NONE, np.int64)
    for index in np.argsort(-found.scores, kind="stable"):
        if overlap[index].max(initial=0.0) >= _SAME:
            matched[index] = overlap[index].argmax()
            overlap[:, matched[index]] = 0.0
    spare, is_found = matched == _NONE, np.isin(np.arange(len(hidden)), matched)
    within = same_class & (coverages(found.boxes, truth.boxes) >= _SAME)
    excused = spare & (within & hidden).any(axis=1)
    duplicate = spare & ~excused & (within & is_found).any(axis=1)
    return Verdict(
        matched=matched,
        duplicate=duplicate,
        unfounded=spare & ~excused & ~duplicate,
        missed=~is_found & ~hidden,
    )


def mistakes(found: Sequence[Detections], truth: Sequence[FrameTruth]) -> Mistakes:
    """What is wrong with the confident answers about a clip.

    Raises:
        ValueError: not as many answers as frames.
    """
    _check_same_frames(found, truth)
    asked, missed = np.zeros((2, len(truth)), np.int64)
    born: dict[int, int] = {}
    delays: dict[int, float] = {}
    duplicates = unfounded = 0
    for number, (one, frame) in enumerate(zip(found, truth, strict=True)):
        verdict = judged(one, frame)
        duplicates += int(verdict.duplicate.sum())
        unfounded += int(verdict.unfounded.sum())
        for index in np.flatnonzero(frame.visible >= LEAST_VISIBLE):
            identity = int(frame.ids[index])
            age = number - born.setdefault(identity, number)
            asked[age] += 1
            missed[age] += verdict.missed[index]
            if not verdict.missed[index]:
                delays.setdefault(identity, age)
    return Mistakes(
        duplicates=duplicates,
        unfounded=unfounded,
        asked_by_age=asked,
        missed_by_age=missed,
        delays=np.array([delays.get(identity, math.inf) for identity in born]),
    )


def _check_same_frames(found: Sequence[Detections], truth: Sequence[FrameTruth]) -> None:
    if len(found) != len(truth):
        raise ValueError(f"{len(found)} answers about {len(truth)} frames")
