"""`offload profile CLIP`: what a detector costs and finds when regions of a clip's frames are looked at, not all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal

from offload.api.clips import clip_record, frames_of, truth_of
from offload.artifacts.video_profile import DetectorRecord, ImageRecord, ReplayRecord, VideoProfile
from offload.artifacts.workspace import Workspace
from offload.environment import chosen_threads, processor
from offload.errors import UsageError
from offload.progress import NullProgress, Progress
from offload.version import __version__

if TYPE_CHECKING:
    from offload.artifacts.profile import RuntimeIdentity
    from offload.artifacts.video_profile import ClipRecord, CropRecord, ElfFunction, Setting
    from offload.detectors.base import Detector
    from offload.profilers.video.checkpoint import ClipCheckpoint
    from offload.profilers.video.replay import ReplayedFrame
    from offload.runtimes.base import Session
    from offload.video.clips import Clip, Frame
    from offload.video.detections import Detections
    from offload.video.partitioning import ServerCost
    from offload.video.truth import FrameTruth

_ROUNDS = 9
_ROUNDS_TOGETHER = 2
"""Of settings that were good alone: the second knows how much less the first found than was thought."""
_MOST_SERVERS = 16


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
    on: str | None = None
    """HOST:PORT of an offload server to time crops on; None times them here."""
    resume: bool = False
    """Go on with what an interrupted profile of the same measured, rather than anew."""
    token: str | None = None
    """The server's token, for `on`."""
    tls_ca: Path | None = None


def profile_video(
    request: VideoProfileRequest, *, workspace: Workspace, progress: Progress | None = None
) -> VideoProfile:
    """Measure a detector on crops of a clip's frames, and ELF's loop over the clip with each of some settings.

    What was measured is kept after each setting, and a second call with `resume` goes on from there. An interrupt
    keeps the settings that were measured.

    Raises:
        OffloadError: the clip, its ground truth, the detector or the server cannot be used.
        KeyboardInterrupt: interrupted before the frame as it is was measured.
    """
    from offload.detectors.catalogue import load_detector
    from offload.planners.video_costs import ServerModel
    from offload.profilers.video.motion import by_quality, measure_motion
    from offload.profilers.video.sweep import WHOLE, settings
    from offload.runtimes.onnxruntime import OnnxRuntime
    from offload.video.clips import open_clip

    progress = progress or NullProgress()
    if not 1 <= request.servers <= _MOST_SERVERS:
        raise UsageError(f"--servers {request.servers}: from 1 to {_MOST_SERVERS}", hint="as in --servers 4")
    if request.frames < 2:
        raise UsageError(f"--frames {request.frames} are too few to predict anything", hint="as in --frames 45")
    detector, clip, threads = load_detector(request.detector), open_clip(request.clip), chosen_threads(request.threads)
    truth = truth_of(request.clip, clip, request.truth, detector)
    runtime = OnnxRuntime()
    session = runtime.load_onnx(detector.onnx, threads=threads)
    count = min(request.frames, clip.info.frames)
    told = clip_record(request.clip, clip, 0, count, truth=truth is not None)
    subject = _Subject(
        clip=clip,
        frames=count,
        detector=detector,
        session=session,
        truth=None if truth is None else truth[:count],
    )
    kept = _checkpoint(request, told, truth, detector, runtime.identity(threads=threads), workspace, progress)
    crops = _crops(request, subject, kept, progress)
    progress.start("looking at whole frames")
    cost = ServerModel.of(crops).cost
    looped = _looped(WHOLE, subject, cost)
    progress.finish()
    whole = [frame.found for frame in looped.frames]
    first = _record(looped, whole, subject.truth)
    noise, motion = measure_motion(whole, subject.truth, width=told.width, height=told.height)
    tried = settings(request.servers, by_quality(motion))
    done, stopped = _replays(tried, first, subject, whole, cost, kept, progress)
    if stopped == "done":
        stopped = _protocol(kept, crops, progress)
    if stopped == "done":
        kept.forget()
    return VideoProfile.create(
        clip=told,
        detector=DetectorRecord(
            name=detector.name,
            spec=request.detector,
            sha256=detector.hash,
            classes=detector.classes,
            multiple=detector.multiple,
        ),
        runtime=runtime.identity(threads=threads),
        measured_on=request.on,
        crops=crops,
        protocol=kept.protocol or (),
        motion_noise=noise,
        motion=motion,
        replays=done,
        stopped=stopped,
    )


def measured_crops(
    address: str, *, detector: Detector, frame: Frame, token: str | None, tls_ca: Path | None, progress: Progress
) -> tuple[CropRecord, ...]:
    """What a detector takes for crops of a frame on a server, by the server's own stamps.

    Args:
        address: HOST:PORT.
        detector: Which.
        frame: Shape (height, width, 3), RGB.
        token: The server's.
        tls_ca: The authority to trust; None speaks without TLS.
        progress: Told of the rounds.

    Raises:
        OffloadError: the server cannot be reached, refuses the detector, or does not tell its times.
    """
    from offload.profilers.video.sweep import QUALITY
    from offload.serving.client import ServerClient
    from offload.verification.video.remote_crops import measure_crops_on

    with ServerClient(address, token=token, tls=tls_ca) as client:
        return measure_crops_on(client, detector, frame, quality=QUALITY, rounds=_ROUNDS, progress=progress)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Subject:
    """What is measured."""

    clip: Clip
    frames: int
    detector: Detector
    session: Session
    truth: Sequence[FrameTruth] | None
    """Of these frames."""


def _checkpoint(
    request: VideoProfileRequest,
    clip: ClipRecord,
    truth: Sequence[FrameTruth] | None,
    detector: Detector,
    runtime: RuntimeIdentity,
    workspace: Workspace,
    progress: Progress,
) -> ClipCheckpoint:
    """What was measured of the same before; empty where that is not to be gone on with."""
    from offload.profilers.video.checkpoint import ClipCheckpoint

    content = hashlib.sha256(f"{clip} {detector.hash} {runtime} {processor()} {request.on} {__version__}".encode())
    for frame in truth or ():
        for array in (frame.boxes, frame.labels, frame.ids, frame.visible):
            content.update(array.tobytes())
    path = workspace.cache / f"clip-{content.hexdigest()[:16]}.jsonl"
    kept = ClipCheckpoint(path)
    if not request.resume:
        kept.forget()
        return ClipCheckpoint(path)
    if kept.crops is None:
        progress.note("nothing of this profile was measured before: it begins anew")
    else:
        progress.note(f"{len(kept.replays)} settings were measured before: {path}")
    return kept


def _crops(
    request: VideoProfileRequest, subject: _Subject, kept: ClipCheckpoint, progress: Progress
) -> tuple[CropRecord, ...]:
    from offload.profilers.video.latency import measure_crops
    from offload.profilers.video.sweep import QUALITY

    if kept.crops is not None:
        return kept.crops
    detector, frame = subject.detector, next(subject.clip.frames())
    if request.on is None:
        crops = measure_crops(detector, subject.session, frame, quality=QUALITY, rounds=_ROUNDS, progress=progress)
    else:
        crops = measured_crops(
            request.on, detector=detector, frame=frame, token=request.token, tls_ca=request.tls_ca, progress=progress
        )
    kept.keep(crops=crops)
    return crops


def _replays(
    tried: Sequence[Setting],
    first: ReplayRecord,
    subject: _Subject,
    whole: Sequence[Detections],
    cost: ServerCost,
    kept: ClipCheckpoint,
    progress: Progress,
) -> tuple[tuple[ReplayRecord, ...], Literal["done", "interrupted"]]:
    """The loop with each setting, of which the first one's record is there, and with what should be good together."""
    from offload.profilers.video.sweep import combinations

    done = [first]

    def replay_each(settings: Sequence[Setting], task: str) -> None:
        progress.start(task, len(settings))
        for setting in settings:
            record = kept.replays.get(setting)
            if record is None:
                record = _record(_looped(setting, subject, cost), whole, subject.truth)
                kept.keep(replay=record)
            done.append(record)
            progress.advance()
            progress.detail(f"{setting.servers} servers, AP50 {record.accuracy.ap50:.3f}")
        progress.finish()

    try:
        replay_each(tried[1:], "replaying the clip")
        for _ in range(_ROUNDS_TOGETHER):
            replay_each(combinations(done), "replaying it with what was good alone")
    except KeyboardInterrupt:
        progress.finish()
        progress.note("interrupted: the settings that were measured are kept, --resume goes on")
        return tuple(done), "interrupted"
    return tuple(done), "done"


def _protocol(kept: ClipCheckpoint, crops: Sequence[CropRecord], progress: Progress) -> Literal["done", "interrupted"]:
    """Have what the serving protocol costs be known."""
    from offload.serving.protocol_cost import measure_protocol

    if kept.protocol is not None:
        return "done"
    progress.start("timing the serving protocol")
    try:
        kept.keep(protocol=measure_protocol(median(crops[0].samples_s)))
    except KeyboardInterrupt:
        return "interrupted"
    finally:
        progress.finish()
    return "done"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Looped:
    """The loop over the clip with one setting."""

    setting: Setting
    frames: list[ReplayedFrame]
    functions_s: Mapping[ElfFunction, Sequence[float]]


def _looped(setting: Setting, subject: _Subject, cost: ServerCost) -> _Looped:
    from offload.profilers.video.functions import TimedElf
    from offload.profilers.video.replay import replay
    from offload.video.methods.elf import ElfSettings
    from offload.video.methods.whole import Whole
    from offload.video.proposals.catalogue import make_predictor

    width, height = subject.clip.info.width, subject.clip.info.height
    servers = (cost,) * setting.servers
    elf = TimedElf(
        settings=ElfSettings.of(setting, subject.detector.multiple),
        predictor=make_predictor(setting.predictor),
        width=width,
        height=height,
        servers=servers,
    )
    done = replay(
        frames_of(subject.clip, 0, subject.frames),
        Whole(width=width, height=height, servers=servers) if setting.whole else elf,
        detector=subject.detector,
        session=subject.session,
        quality=setting.quality,
    )
    return _Looped(setting=setting, frames=done, functions_s={} if setting.whole else elf.took_s)


def _record(looped: _Looped, whole: Sequence[Detections], truth: Sequence[FrameTruth] | None) -> ReplayRecord:
    from offload.video.boxes import rounded
    from offload.video.clip_accuracy import clip_accuracy

    frames = looped.frames
    return ReplayRecord(
        setting=looped.setting,
        accuracy=clip_accuracy([frame.found for frame in frames], whole, truth),
        predicted=tuple(rounded(frame.plan.predicted) for frame in frames),
        images=tuple(_images(frame) for frame in frames),
        plan_s=tuple(frame.functions_s["plan"] for frame in frames),
        merge_s=tuple(frame.functions_s["merge"] for frame in frames),
        functions_s={name: tuple(took_s) for name, took_s in looped.functions_s.items()},
    )


def _images(frame: ReplayedFrame) -> tuple[ImageRecord, ...]:
    return tuple(
        ImageRecord(pixels=ask.pixels, small=ask.scale != 1, sent_bytes=size, encode_s=took_s)
        for ask, size, took_s in zip(frame.plan.asks, frame.sent_bytes, frame.encode_s, strict=True)
    )
