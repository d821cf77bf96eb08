"""A plan for a clip executed beside what it is compared with, on frames that it was not chosen by where there are some.

The detector's own answers are what regions are predicted from, all frames count, the first and those with a small frame
too, and every method has the same detector, quality of JPEG, line and servers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from offload.artifacts.video_verification import ELF, MethodRun, VideoVerdict, VideoVerification
from offload.profilers.reference import DIRTY_WAITING
from offload.verification.video.ways import answered, chosen_ways
from offload.video.accuracy import SHOWN_SCORE, as_truth, average_precision, confident, mistakes, on_screen
from offload.video.boxes import as_boxes
from offload.video.clip_accuracy import ap50_change, blocked_precision, clip_accuracy
from offload.video.detections import Detections

if TYPE_CHECKING:
    from offload.artifacts.video_plan import VideoPlan
    from offload.artifacts.video_run import FrameRecord
    from offload.detectors.base import Detector
    from offload.progress import Progress
    from offload.verification.video.sites import Site
    from offload.verification.video.ways import Answered, ClipPart

_FEW_FRAMES = 20
"""From which on they tell something."""


def verify_video_plan(
    plan: VideoPlan,
    part: ClipPart,
    site: Site,
    *,
    detector: Detector,
    methods: Sequence[str] | None,
    link: str,
    tolerance: float,
    warnings: Sequence[str],
    progress: Progress,
) -> VideoVerification:
    """Run the full frame, the planned option, and other methods over frames.

    An interrupt keeps the frames that were answered.

    Args:
        plan: What to verify.
        part: With which frames.
        site: Where the servers are.
        detector: What they run.
        methods: Names of `METHODS`, besides those that are always run; None for all that can be.
        link: The device's connection, in words.
        tolerance: Accepted error of the mean latency, as a fraction.
        warnings: Reasons to trust the result less that are known before.
        progress: Told of frames.

    Raises:
        OffloadError: there is no such method, it needs a ground truth, the servers cannot be used, or there is nothing
            to find.
        KeyboardInterrupt: interrupted before two frames were answered.
    """
    ways, left_out = chosen_ways(plan, part, methods)
    answers, interrupted = answered(plan, part, site, detector, ways, progress)
    whole = [_detections(frame) for frame in answers[0].frames]
    judge = _Judge(part, whole)
    done = [judge.judged(one, emulated=site.emulated) for one in answers]
    promised = _promised_change(plan)
    elf = next(run for run in done if run.name == ELF)
    return VideoVerification.create(
        plan_hash=plan.content_hash,
        clip=part.record(len(whole)),
        first_frame=part.first,
        fresh=part.fresh,
        detector=plan.detector,
        servers=plan.servers,
        addresses=site.addresses,
        link=link,
        predicted=plan.chosen,
        predicted_whole=plan.whole,
        promised_change=promised,
        runs=tuple(done),
        left_out=tuple(left_out),
        tolerance=tolerance,
        verdict=_verdict(elf, plan, promised, tolerance),
        warnings=(*warnings, *_doubts(part, done)),
        stopped="interrupted" if interrupted else "done",
    )


class _Judge:
    """What answers about some frames are worth.

    Args:
        part: The frames.
        whole: What the detector finds in the whole of each; there may be fewer, where it was interrupted.
    """

    def __init__(self, part: ClipPart, whole: Sequence[Detections]) -> None:
        self._whole, self._fps = whole, part.info.fps
        self._truth = None if part.truth is None else part.truth[: len(whole)]
        self._right = as_truth(confident(whole, SHOWN_SCORE)) if self._truth is None else self._truth
        self._whole_precision = blocked_precision(whole, self._right)

    def judged(self, answers: Answered, *, emulated: bool) -> MethodRun:
        """A method's frames with what they are worth."""
        way, found = answers.way, [_detections(frame) for frame in answers.frames]
        shown = on_screen(found, [frame.latency_s for frame in answers.frames], self._fps)
        wrong = mistakes(confident(found, SHOWN_SCORE), self._right)
        ages = int(np.flatnonzero(wrong.asked_by_age).max(initial=-1)) + 1 if self._truth is not None else 0
        return MethodRun(
            name=way.name,
            setting=way.setting,
            servers=way.places,
            emulated=emulated,
            frames=answers.frames,
            accuracy=clip_accuracy(found, self._whole, self._truth),
            ap50_change=ap50_change(blocked_precision(found, self._right), self._whole_precision),
            shifted_ap50=average_precision(shown, self._right).ap50,
            asked_by_age=tuple(wrong.asked_by_age[:ages].tolist()),
            missed_by_age=tuple(wrong.missed_by_age[:ages].tolist()),
            notes=answers.notes,
            waited=answers.waited,
        )


def _detections(frame: FrameRecord) -> Detections:
    return Detections(
        boxes=as_boxes(frame.boxes),
        scores=np.array(frame.scores, np.float64),
        labels=np.array(frame.labels, np.int64),
    )


def _promised_change(plan: VideoPlan) -> float:
    """How much AP50 the plan allows to be lost; what it told of its choice where nothing was asked for."""
    asked = plan.least_ap50 - plan.whole.ap50 if plan.least_ap50 > 0 else plan.chosen.ap50_change
    return min(0.0, asked)


def _verdict(elf: MethodRun, plan: VideoPlan, promised: float, tolerance: float) -> VideoVerdict:
    """Less accurate only where that is beyond chance: where all of the interval is below what was promised."""
    if elf.ap50_change.high < promised:
        return "less accurate than promised"
    error = elf.mean_s / plan.chosen.mean_s.value - 1
    return "within tolerance" if abs(error) <= tolerance else "out of tolerance"


def _doubts(part: ClipPart, done: Sequence[MethodRun]) -> list[str]:
    doubts, frames = [], len(done[0].frames)
    busiest = max(done, key=lambda run: run.waited)
    if busiest.waited > DIRTY_WAITING:
        doubts.append(
            f"other work took this machine's cores for {busiest.waited:.0%} of the time of a method ({busiest.name}): "
            "verify again when it is quiet"
        )
    if not part.fresh:
        doubts.append(
            "the plan was chosen by these very frames, so its accuracy is flattered: name others with --clip, or "
            "profile fewer --frames of a longer clip"
        )
    if frames < _FEW_FRAMES:
        doubts.append(f"{frames} frames tell little: take more with --frames, or a longer --clip")
    if part.truth is None:
        doubts.append(
            "there is no ground truth: accuracies are against what the detector finds in the whole frame; name it with "
            "--truth"
        )
    return doubts
