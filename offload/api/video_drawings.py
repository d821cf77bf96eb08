"""`offload video draw`: a run's frames with what happened to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offload.api.clips import clip_record, frames_of, truth_of
from offload.artifacts.base import kind_of
from offload.artifacts.video_run import VideoRun
from offload.artifacts.video_verification import ELF, VideoVerification
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError, UsageError
from offload.progress import NullProgress, Progress

if TYPE_CHECKING:
    from offload.artifacts.video_run import FrameRecord
    from offload.video.accuracy import Mistakes
    from offload.video.annotating import Annotator
    from offload.video.clips import Clip, Frame
    from offload.video.truth import FrameTruth

_ENDINGS = (".mp4", ".mkv", ".mov")


@dataclass(frozen=True, kw_only=True)
class DrawVideoRequest:
    """What is to be drawn, and where to."""

    run: Path | None = None
    """The run, or a verification of a clip's plan; the newest run in the workspace if None."""
    method: str | None = None
    """Of a verification, what to draw of it; None takes what was planned."""
    clip: Path | None = None
    """The clip that was run; where the run says it is if None."""
    truth: Path | None = None
    """None takes CLIP.truth.json where it is there."""
    output: Path | None = None
    """A video file."""
    frames: Path | None = None
    """A folder of PNG files."""
    force: bool = False
    """Whether to replace what is there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnVideo:
    """What was drawn."""

    frames: int
    width: int
    """Pixels."""
    height: int
    """Pixels, with the band under each frame."""
    mistakes: Mistakes | None
    """None without ground truth."""


def draw_video(request: DrawVideoRequest, *, workspace: Workspace, progress: Progress | None = None) -> DrawnVideo:
    """Write a run's frames, with what was expected, sent, found and missed, as H.264 or PNG files: all or none.

    Raises:
        UsageError: neither a video nor a folder is asked for, or not one that can be.
        OffloadError: the run, its clip or the ground truth cannot be used or is another's; something is there already,
            or cannot be written.
    """
    from offload.video.accuracy import mistakes
    from offload.video.annotating import Annotator, shown
    from offload.video.clips import open_clip

    progress = progress or NullProgress()
    source, run, first = _run(request, workspace)
    path = request.clip or Path(run.clip.path)
    _check_places(request, path)
    if request.clip is None and not path.exists():
        raise OffloadError(f"the clip of {source}, {path}, is not there", hint="say where it is with --clip")
    clip = open_clip(path)
    _check_clip(clip, path, run, first, source, progress)
    truth = truth_of(path, clip, request.truth, run.detector)
    truth = None if truth is None else truth[first : first + run.clip.frames]
    annotator = Annotator(run, judged=truth is not None)
    _draw(request, run, frames_of(clip, first, run.clip.frames), annotator, truth, progress)
    right = None if truth is None else [truth[record.number] for record in run.frames]
    return DrawnVideo(
        frames=len(run.frames),
        width=annotator.width,
        height=annotator.height,
        mistakes=None if right is None else mistakes([shown(record) for record in run.frames], right),
    )


def _run(request: DrawVideoRequest, workspace: Workspace) -> tuple[Path, VideoRun, int]:
    """Where it was found, it, and which frame of the clip's file is its first."""
    if request.run is not None and kind_of(request.run) == VideoVerification.KIND:
        verification = VideoVerification.load(request.run)
        return request.run, _run_of(verification, request.method or ELF, request.run), verification.first_frame
    if request.method is not None:
        raise UsageError("--method is about verifications of clips' plans", hint="leave it out, or name one")
    if request.run is not None:
        return request.run, VideoRun.load(request.run), 0
    found = workspace.newest(VideoRun)
    if found is None:
        raise OffloadError(f"no run of a video in {workspace.root}", hint="name one, or run one with `offload run`")
    return *found, 0


def _run_of(verification: VideoVerification, method: str, source: Path) -> VideoRun:
    """One method of a verification as a run of its own."""
    run = verification.run(method)
    if run is None:
        raise OffloadError(
            f"{source} has no method {method!r:.40}",
            hint="it has " + ", ".join(each.name for each in verification.runs),
        )
    return VideoRun.create(
        clip=verification.clip,
        detector=verification.detector,
        method=method,
        setting=run.setting,
        servers=verification.addresses or tuple(server.name for server in verification.servers),
        link=verification.link,
        plan_hash=verification.plan_hash,
        emulated=run.emulated,
        notes=run.notes,
        frames=run.frames,
        stopped=verification.stopped,
    )


def _check_places(request: DrawVideoRequest, clip: Path) -> None:
    from offload.video.frame_folder import check_frame_folder

    output, frames = request.output, request.frames
    if output is None and frames is None:
        raise UsageError("nothing says where to draw to", hint="add -o drawn.mp4, --frames FOLDER, or both")
    for place in (output, frames):
        if place is not None and place.resolve() == clip.resolve():
            raise OffloadError(f"{place} is the clip itself", hint="name another place to draw to")
    if output is not None:
        if output.suffix.lower() not in _ENDINGS:
            raise UsageError(f"{output}: videos are {', '.join(_ENDINGS)} files", hint="name it like drawn.mp4")
        if output.is_dir():
            raise OffloadError(f"{output} is a folder", hint="name a file in it, or use --frames")
        if output.exists() and not request.force:
            raise OffloadError(f"{output} is there already", hint="add --force to replace it, or name another file")
    if frames is not None:
        check_frame_folder(frames, force=request.force)
    if output is not None and frames is not None and output.resolve().is_relative_to(frames.resolve()):
        raise UsageError(f"{output} lies in the folder of --frames", hint="name a file beside it")


def _check_clip(clip: Clip, path: Path, run: VideoRun, first: int, source: Path, progress: Progress) -> None:
    info, told = clip.info, run.clip
    other = None
    if (info.width, info.height) != (told.width, told.height):
        other = f"{info.width}x{info.height} pixels instead of {told.width}x{told.height}"
    elif info.fps != told.fps:
        other = f"{info.fps:g} frames a second instead of {told.fps:g}"
    elif info.frames < first + told.frames:
        other = f"{info.frames} frames instead of {first + told.frames}"
    else:
        progress.start(f"reading {info.name}")
        if clip_record(path, clip, first, told.frames, truth=told.truth).sha256 != told.sha256:
            other = "other pixels"
        progress.finish()
    if other is not None:
        raise OffloadError(f"{path} is not the clip of {source}: it has {other}", hint="name that one with --clip")


def _draw(
    request: DrawVideoRequest,
    run: VideoRun,
    frames: Iterable[Frame],
    annotator: Annotator,
    truth: Sequence[FrameTruth] | None,
    progress: Progress,
) -> None:
    from offload.video.frame_folder import FrameFolder
    from offload.video.recording import Recorder

    progress.start("drawing", len(run.frames))
    with ExitStack() as stack:
        recorder = folder = None
        if request.output is not None:
            recorder = stack.enter_context(
                Recorder(request.output, width=annotator.width, height=annotator.height, fps=run.clip.fps)
            )
        if request.frames is not None:
            folder = stack.enter_context(FrameFolder(request.frames))
        for frame, record in _with_records(frames, run):
            canvas = annotator.annotated(frame, record, None if truth is None else truth[record.number])
            if recorder is not None:
                recorder.add(canvas)
            if folder is not None:
                folder.add(record.number, canvas)
            progress.advance()
        if recorder is not None:
            recorder.close()  # before the folder takes its place: both or none
    progress.finish()


def _with_records(frames: Iterable[Frame], run: VideoRun) -> Iterator[tuple[Frame, FrameRecord]]:
    records = {record.number: record for record in run.frames}
    for number, frame in enumerate(frames):
        if number in records:
            yield frame, records[number]
