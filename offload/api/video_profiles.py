"""`offload profile CLIP`: what a detector costs and finds when regions of a clip's frames are looked at, not all."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from offload.artifacts.video_profile import (
    ClipRecord,
    DetectionAccuracy,
    DetectorRecord,
    ImageRecord,
    ReplayRecord,
    VideoProfile,
    area_line,
)
from offload.artifacts.workspace import Workspace
from offload.environment import chosen_threads
from offload.errors import OffloadError, UsageError
from offload.progress import NullProgress, Progress

if TYPE_CHECKING:
    from offload.artifacts.video_profile import Setting
    from offload.detectors.base import Detector
    from offload.profilers.video.replay import ReplayedFrame
    from offload.runtimes.base import Session
    from offload.video.clips import Clip, Frame
    from offload.video.detections import Detections
    from offload.video.partitioning import ServerCost
    from offload.video.truth import FrameTruth

_ROUNDS = 9
_MOST_SERVERS = 16
_SHOWN = 0.3
"""Score from which a box is shown to a user, for what is missed or told twice."""


@dataclass(frozen=True, kw_only=True)
class VideoProfileRequest:
    """What a profile of a clip is asked for."""

    clip: Path
    detector: str
    truth: Path | None = None
    """None takes CLIP.truth.json where it is there."""
    servers: int = 4
    """How many of equal speed the loop is tried with at most."""
    frames: int = 45
    """Of the clip, from its beginning, at most."""
    threads: int | None = None
    """Of the detector; None takes all physical cores."""


def profile_video(
    request: VideoProfileRequest, *, workspace: Workspace, progress: Progress | None = None
) -> VideoProfile:
    """Measure a detector on crops of a clip's frames, and ELF's loop over the clip with each of some settings.

    What was measured is kept after each setting, and a second call goes on from there. An interrupt keeps the settings
    that were measured.

    Raises:
        OffloadError: the clip, its ground truth or the detector cannot be used.
        KeyboardInterrupt: interrupted before the frame as it is was measured.
    """
    from offload.detectors.catalogue import load_detector
    from offload.profilers.video.latency import measure_crops
    from offload.profilers.video.sweep import settings
    from offload.runtimes.onnxruntime import OnnxRuntime
    from offload.video.clips import open_clip
    from offload.video.partitioning import ServerCost
    from offload.video.proposals.catalogue import PREDICTORS

    progress = progress or NullProgress()
    if not 1 <= request.servers <= _MOST_SERVERS:
        raise UsageError(f"--servers {request.servers}: from 1 to {_MOST_SERVERS}", hint="as in --servers 4")
    if request.frames < 2:
        raise UsageError(f"--frames {request.frames} are too few to predict anything", hint="as in --frames 45")
    detector, clip, threads = load_detector(request.detector), open_clip(request.clip), chosen_threads(request.threads)
    truth = _truth(request, clip, detector)
    runtime = OnnxRuntime()
    session = runtime.load_onnx(detector.onnx, threads=threads)
    tried = settings(request.servers, tuple(PREDICTORS))
    crops = measure_crops(
        detector, session, next(clip.frames()), quality=tried[1].quality, rounds=_ROUNDS, progress=progress
    )
    line = area_line(crops)
    cost = ServerCost(fixed_s=line.fixed_s, seconds_per_pixel=line.seconds_per_pixel)
    done: list[ReplayRecord] = []
    stopped: Literal["done", "interrupted"] = "done"
    progress.start("replaying the clip", len(tried))
    whole: list[Detections] = []
    try:
        for setting in tried:
            replayed = _replayed(setting, request, clip, detector, session, cost)
            if not whole:
                whole = [frame.found for frame in replayed]
            done.append(_record(setting, replayed, whole, truth))
            progress.advance()
            progress.detail(f"{setting.servers} servers, AP50 {done[-1].accuracy.ap50:.3f}")
    except KeyboardInterrupt:
        if not done:
            raise
        stopped = "interrupted"
        progress.note("interrupted: the settings that were measured are kept")
    finally:
        progress.finish()
    return VideoProfile.create(
        clip=_clip_record(request, clip, len(whole), told=truth is not None),
        detector=DetectorRecord(
            name=detector.name,
            spec=request.detector,
            sha256=detector.hash,
            classes=detector.classes,
            multiple=detector.multiple,
        ),
        runtime=runtime.identity(threads=threads),
        crops=crops,
        replays=tuple(done),
        stopped=stopped,
    )


def _truth(request: VideoProfileRequest, clip: Clip, detector: Detector) -> Sequence[FrameTruth] | None:
    from offload.video.truth import load_truth, truth_file

    path = request.truth or truth_file(request.clip)
    if request.truth is None and not path.exists():
        return None
    truth = load_truth(path, clip.info)
    if len(truth.classes) != len(detector.classes) or truth.classes != detector.classes:
        raise OffloadError(
            f"{path} has the classes {', '.join(truth.classes)[:80]}, the detector {', '.join(detector.classes)[:80]}",
            hint="give both the same names in the same order",
        )
    return truth.frames


def _replayed(
    setting: Setting,
    request: VideoProfileRequest,
    clip: Clip,
    detector: Detector,
    session: Session,
    cost: ServerCost,
) -> list[ReplayedFrame]:
    from offload.profilers.video.replay import replay
    from offload.video.methods.elf import Elf, ElfSettings
    from offload.video.proposals.catalogue import make_predictor

    method = Elf(
        settings=ElfSettings.of(setting, detector.multiple),
        predictor=make_predictor(setting.predictor),
        width=clip.info.width,
        height=clip.info.height,
        servers=(cost,) * setting.servers,
    )
    return replay(_first(clip, request.frames), method, detector=detector, session=session, quality=setting.quality)


def _first(clip: Clip, count: int) -> Iterator[Frame]:
    return itertools.islice(clip.frames(), count)


def _record(
    setting: Setting,
    replayed: Sequence[ReplayedFrame],
    whole: Sequence[Detections],
    truth: Sequence[FrameTruth] | None,
) -> ReplayRecord:
    from offload.video.accuracy import as_truth, average_precision, confident, mistakes
    from offload.video.boxes import rounded

    found = [frame.found for frame in replayed]
    intact = as_truth(confident(whole, _SHOWN))
    right = intact if truth is None else truth[: len(found)]
    precision, against_whole = average_precision(found, right), average_precision(found, intact)
    for told, what in ((against_whole, "the detector finds nothing"), (precision, "there is nothing to find")):
        if math.isnan(told.ap50):
            raise OffloadError(
                f"{what} in the first {len(found)} frames", hint="take more --frames, or another clip or detector"
            )
    wrong = mistakes(confident(found, _SHOWN), right)
    delays = [float(delay) for delay in wrong.delays] if truth is not None else []
    seen = [delay for delay in delays if math.isfinite(delay)]
    return ReplayRecord(
        setting=setting,
        accuracy=DetectionAccuracy(
            ap50=precision.ap50,
            ap=precision.ap50_95,
            ap50_whole=against_whole.ap50,
            duplicates=wrong.duplicates / len(found),
            missed=float(wrong.missed_by_age.sum() / max(1, wrong.asked_by_age.sum())),
            new_object_delay_frames=sum(seen) / len(seen) if seen else None,
            never_found=1 - len(seen) / len(delays) if delays else None,
        ),
        predicted=tuple(rounded(frame.plan.predicted) for frame in replayed),
        images=tuple(_images(frame) for frame in replayed),
        plan_s=tuple(frame.functions_s["plan"] for frame in replayed),
        merge_s=tuple(frame.functions_s["merge"] for frame in replayed),
    )


def _images(frame: ReplayedFrame) -> tuple[ImageRecord, ...]:
    return tuple(
        ImageRecord(pixels=ask.pixels, small=ask.scale != 1, sent_bytes=size, encode_s=took_s)
        for ask, size, took_s in zip(frame.plan.asks, frame.sent_bytes, frame.encode_s, strict=True)
    )


def _clip_record(request: VideoProfileRequest, clip: Clip, frames: int, *, told: bool) -> ClipRecord:
    info, content = clip.info, hashlib.sha256()
    for frame in _first(clip, frames):
        content.update(frame.tobytes())
    return ClipRecord(
        name=info.name,
        path=str(request.clip),
        sha256=content.hexdigest(),
        width=info.width,
        height=info.height,
        fps=info.fps,
        frames=frames,
        truth=told,
    )
