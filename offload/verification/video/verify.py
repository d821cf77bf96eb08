"""A plan for a clip executed beside what it is compared with, on frames that it was not chosen by where there are some.

The detector's own answers are what regions are predicted from, all frames count, the first and those with a small frame
too, and every method has the same detector, quality of JPEG, line and servers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from offload.artifacts.video_verification import ALONE, ELF, WHOLE, MethodRun, VideoVerdict, VideoVerification
from offload.errors import OffloadError
from offload.verification.video.sites import planned_costs
from offload.video.accuracy import SHOWN_SCORE, as_truth, average_precision, confident, mistakes, on_screen
from offload.video.boxes import as_boxes
from offload.video.clip_accuracy import ap50_change, blocked_precision, clip_accuracy
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
    from offload.video.clips import ClipInfo, Frame
    from offload.video.truth import FrameTruth

_HOLD, _ORACLE = "hold", "oracle"
_FEWEST_FRAMES, _FEW_FRAMES = 2, 20
"""That can be verified with; and from which on they tell something."""


@dataclass(frozen=True, kw_only=True)
class ClipPart:
    """Frames that a plan is verified with."""

    info: ClipInfo
    """Of the clip that they are of."""
    first: int
    """Which of the clip's frames is the first."""
    count: int
    fresh: bool
    """Whether the plan was chosen by none of them."""
    frames: Callable[[], Iterator[Frame]]
    truth: tuple[FrameTruth, ...] | None
    """Of each; None where there is none."""
    record: Callable[[int], ClipRecord]
    """How an artifact names the first so many of them."""


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

    All methods answer a frame before the next, each for itself, so that a machine that is slower for a while is so for
    all of them. An interrupt keeps the frames that all have answered.

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
    ways, left_out = _ways(plan, part, methods)
    site.warm(next(part.frames()), quality=plan.whole.setting.quality)
    notes: list[list[str]] = [[] for _ in ways]
    rows: list[list[FrameRecord]] = []
    stopped: Literal["done", "interrupted"] = "done"
    progress.start("verifying", part.count)
    try:
        with ExitStack() as stack:
            running = [
                stack.enter_context(closing(_run(plan, part, site, detector, way, frames, told)))
                for way, frames, told in zip(ways, itertools.tee(part.frames(), len(ways)), notes, strict=True)
            ]
            for _ in range(part.count):
                rows.append([next(one) for one in running])
                progress.advance()
    except KeyboardInterrupt:
        if len(rows) < _FEWEST_FRAMES:
            raise
        stopped = "interrupted"
        progress.note(f"interrupted: the {len(rows)} frames that all methods have answered are kept")
    finally:
        progress.finish()
    judge = _Judge(part, [_detections(row[0]) for row in rows])
    done = [
        judge.judged(way, [row[index] for row in rows], emulated=site.emulated, notes=told)
        for index, (way, told) in enumerate(zip(ways, notes, strict=True))
    ]
    promised = _promised_change(plan)
    elf = next(run for run in done if run.name == ELF)
    return VideoVerification.create(
        plan_hash=plan.content_hash,
        clip=part.record(len(rows)),
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
        warnings=(*warnings, *_doubts(part, len(rows))),
        stopped=stopped,
    )


def _ways(plan: VideoPlan, part: ClipPart, methods: Sequence[str] | None) -> tuple[list[_Way], list[str]]:
    """What to run in which order, and what cannot be."""
    names = list(METHODS) if methods is None else list(dict.fromkeys((WHOLE, ELF, *methods)))
    for name in names:
        if name not in METHODS:
            raise OffloadError(f"no method is called {name!r:.80}", hint=f"methods: {', '.join(METHODS)}")
    left_out, by_content = [], plan.chosen.setting.rule != "equal"
    for name, fits, reason in (
        (_ORACLE, part.truth is not None, "there is no ground truth, which it sees"),
        (_ORACLE, by_content, "the plan's regions are the same whatever is expected in them"),
        (_HOLD, by_content, "the plan's regions are the same whatever is expected in them"),
    ):
        if name in names and not fits:
            names.remove(name)
            left_out.append(f"{name}: {reason}")
    if methods is not None and left_out:
        raise OffloadError(f"method {left_out[0]}", hint="leave it out of --methods")
    chosen, whole, every = plan.chosen, plan.whole, tuple(range(len(plan.servers)))
    ways = [
        _Way(name=WHOLE, method=WHOLE, setting=whole.setting, places=whole.servers),
        _Way(name=ELF, method=ELF, setting=chosen.setting, places=chosen.servers),
    ]
    if by_content and len(chosen.servers) > 1:
        costs = planned_costs(plan)
        pixels = plan.clip.width * plan.clip.height
        fastest = chosen.servers[strongest([costs[place] for place in chosen.servers], pixels)]
        one = chosen.setting.model_copy(update={"servers": 1})
        ways.append(_Way(name=ALONE, method=ELF, setting=one, places=(fastest,)))
    places = {"filter": whole.servers, _HOLD: chosen.servers, _ORACLE: chosen.servers}
    ways += [
        _Way(name=name, method=name, setting=chosen.setting, places=places.get(name, every))
        for name in names
        if name not in (WHOLE, ELF)
    ]
    return ways, left_out


def _run(
    plan: VideoPlan,
    part: ClipPart,
    site: Site,
    detector: Detector,
    way: _Way,
    frames: Iterator[Frame],
    notes: list[str],
) -> Generator[FrameRecord]:
    """Each frame, its servers told by their places in the plan."""
    costs = planned_costs(plan)
    method = make_method(
        way.method,
        Scene(
            setting=way.setting,
            width=part.info.width,
            height=part.info.height,
            multiple=detector.multiple,
            servers=[costs[place] for place in way.places],
            truth=part.truth,
        ),
    )
    with closing(site.run(frames, method, way.places, quality=way.setting.quality, notes=notes)) as answered:
        for frame in answered:
            asks = tuple(ask.model_copy(update={"server": way.places[ask.server]}) for ask in frame.asks)
            yield frame.model_copy(update={"asks": asks})


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

    def judged(self, way: _Way, frames: Sequence[FrameRecord], *, emulated: bool, notes: Sequence[str]) -> MethodRun:
        """A method's frames with what they are worth."""
        found = [_detections(frame) for frame in frames]
        shown = on_screen(found, [frame.latency_s for frame in frames], self._fps)
        wrong = mistakes(confident(found, SHOWN_SCORE), self._right)
        ages = int(np.flatnonzero(wrong.asked_by_age).max(initial=-1)) + 1 if self._truth is not None else 0
        return MethodRun(
            name=way.name,
            setting=way.setting,
            servers=way.places,
            emulated=emulated,
            frames=tuple(frames),
            accuracy=clip_accuracy(found, self._whole, self._truth),
            ap50_change=ap50_change(blocked_precision(found, self._right), self._whole_precision),
            shifted_ap50=average_precision(shown, self._right).ap50,
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


def _doubts(part: ClipPart, frames: int) -> list[str]:
    doubts = []
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
