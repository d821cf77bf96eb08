"""A plan for a clip executed beside what it is compared with, on frames that it was not chosen by where there are some.

The detector's own answers are what regions are predicted from, all frames count, the first and those with a small frame
too, and every method has the same detector, quality of JPEG, line and servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from offload.artifacts.video_verification import ALONE, ELF, WHOLE, MethodRun, VideoVerdict, VideoVerification
from offload.errors import OffloadError
from offload.verification.video.sites import planned_costs
from offload.video.accuracy import SHOWN_SCORE, as_truth, average_precision, confident, mistakes, on_screen
from offload.video.boxes import as_boxes
from offload.video.clip_accuracy import ap50_change, clip_accuracy
from offload.video.detections import Detections
from offload.video.methods.catalogue import METHODS, Scene, make_method
from offload.video.partitioning import strongest

if TYPE_CHECKING:
    from offload.artifacts.video_plan import VideoPlan
    from offload.artifacts.video_profile import ClipRecord, Setting
    from offload.artifacts.video_run import FrameRecord
    from offload.detectors.base import Detector
    from offload.progress import Progress
    from offload.verification.video.sites import Site
    from offload.video.clips import Frame
    from offload.video.truth import FrameTruth

_ORACLE = "oracle"
_FEW_FRAMES = 20


@dataclass(frozen=True, kw_only=True)
class ClipPart:
    """Frames that a plan is verified with."""

    record: ClipRecord
    first: int
    """Which of the file's frames is the first."""
    fresh: bool
    """Whether the plan was chosen by none of them."""
    frames: Callable[[], Iterator[Frame]]
    truth: tuple[FrameTruth, ...] | None
    """Of each; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class _Way:
    """One method with what it is given."""

    name: str
    method: str
    setting: Setting
    places: tuple[int, ...]
    """Of its servers, among the plan's."""


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

    An interrupt keeps the methods that were run.

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
        KeyboardInterrupt: interrupted before the planned option was measured.
    """
    ways, left_out = _ways(plan, part, methods)
    done: list[MethodRun] = []
    whole: list[Detections] = []
    stopped: Literal["done", "interrupted"] = "done"
    progress.start("verifying", len(ways) * part.record.frames)
    try:
        for way in ways:
            progress.detail(way.name)
            notes: list[str] = []
            frames = _run(plan, part, site, detector, way, notes, progress)
            found = [_detections(frame) for frame in frames]
            whole = whole or found
            done.append(_judged(way, frames, found, whole, part, emulated=site.emulated, notes=notes))
    except KeyboardInterrupt:
        if ELF not in [run.name for run in done]:
            raise
        stopped = "interrupted"
        progress.note("interrupted: the methods that were run are kept")
    finally:
        progress.finish()
    promised = _promised_change(plan)
    elf = next(run for run in done if run.name == ELF)
    return VideoVerification.create(
        plan_hash=plan.content_hash,
        clip=part.record,
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
        warnings=(*warnings, *_doubts(part)),
        stopped=stopped,
    )


def _ways(plan: VideoPlan, part: ClipPart, methods: Sequence[str] | None) -> tuple[list[_Way], list[str]]:
    """What to run in which order, and what cannot be."""
    left_out = []
    names = list(METHODS) if methods is None else [WHOLE, ELF, *methods]
    for name in names:
        if name not in METHODS:
            raise OffloadError(f"no method is called {name!r:.80}", hint=f"methods: {', '.join(METHODS)}")
    if _ORACLE in names and part.truth is None:
        if methods is not None:
            raise OffloadError("the oracle has no ground truth to see", hint="name it with --truth FILE")
        left_out.append(f"{_ORACLE}: it needs ground truth")
        names.remove(_ORACLE)
    chosen, whole = plan.chosen, plan.whole
    ways = [
        _Way(name=WHOLE, method=WHOLE, setting=whole.setting, places=whole.servers),
        _Way(name=ELF, method=ELF, setting=chosen.setting, places=chosen.servers),
    ]
    if len(chosen.servers) > 1:
        costs = planned_costs(plan)
        pixels = plan.clip.width * plan.clip.height
        fastest = chosen.servers[strongest([costs[place] for place in chosen.servers], pixels)]
        one = chosen.setting.model_copy(update={"servers": 1})
        ways.append(_Way(name=ALONE, method=ELF, setting=one, places=(fastest,)))
    for name in dict.fromkeys(names):
        if name not in (WHOLE, ELF):
            places = whole.servers if name == "filter" else chosen.servers
            ways.append(_Way(name=name, method=name, setting=chosen.setting, places=places))
    return ways, left_out


def _run(
    plan: VideoPlan,
    part: ClipPart,
    site: Site,
    detector: Detector,
    way: _Way,
    notes: list[str],
    progress: Progress,
) -> list[FrameRecord]:
    costs = planned_costs(plan)
    method = make_method(
        way.method,
        Scene(
            setting=way.setting,
            width=part.record.width,
            height=part.record.height,
            multiple=detector.multiple,
            servers=[costs[place] for place in way.places],
            truth=part.truth,
        ),
    )
    frames = []
    for frame in site.run(part.frames(), method, way.places, quality=way.setting.quality, notes=notes):
        asks = tuple(ask.model_copy(update={"server": way.places[ask.server]}) for ask in frame.asks)
        frames.append(frame.model_copy(update={"asks": asks}))
        progress.advance()
    return frames


def _judged(
    way: _Way,
    frames: Sequence[FrameRecord],
    found: Sequence[Detections],
    whole: Sequence[Detections],
    part: ClipPart,
    *,
    emulated: bool,
    notes: Sequence[str],
) -> MethodRun:
    right = as_truth(confident(whole, SHOWN_SCORE)) if part.truth is None else part.truth
    shown = on_screen(found, [frame.latency_s for frame in frames], part.record.fps)
    wrong = mistakes(confident(found, SHOWN_SCORE), right)
    ages = int(np.flatnonzero(wrong.asked_by_age).max(initial=-1)) + 1 if part.truth is not None else 0
    return MethodRun(
        name=way.name,
        setting=way.setting,
        servers=way.places,
        emulated=emulated,
        frames=tuple(frames),
        accuracy=clip_accuracy(found, whole, part.truth),
        ap50_change=ap50_change(found, whole, part.truth),
        shifted_ap50=average_precision(shown, right).ap50,
        asked_by_age=tuple(wrong.asked_by_age[:ages].tolist()),
        missed_by_age=tuple(wrong.missed_by_age[:ages].tolist()),
        notes=tuple(notes),
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


def _doubts(part: ClipPart) -> list[str]:
    doubts = []
    if not part.fresh:
        doubts.append(
            "the plan was chosen by these very frames, so its accuracy is flattered: name others with --clip, or "
            "profile fewer --frames of a longer clip"
        )
    if part.record.frames < _FEW_FRAMES:
        doubts.append(f"{part.record.frames} frames tell little: take more with --frames, or a longer --clip")
    if part.truth is None:
        doubts.append(
            "there is no ground truth: accuracies are against what the detector finds in the whole frame; name it with "
            "--truth"
        )
    return doubts
