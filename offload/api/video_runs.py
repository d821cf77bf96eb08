"""`offload run`: a video plan executed over its clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offload.api.clips import clip_record, planned_detector
from offload.artifacts.base import kind_of
from offload.artifacts.plan import Plan
from offload.artifacts.video_plan import VideoPlan
from offload.artifacts.video_run import VideoRun
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError, UsageError
from offload.progress import NullProgress, Progress

if TYPE_CHECKING:
    from offload.video.clips import Clip


@dataclass(frozen=True, kw_only=True)
class VideoRunRequest:
    """What `run` is asked for."""

    plan: Path | None
    """None takes the newest video plan in the workspace."""
    servers: tuple[str, ...] = ()
    """HOST:PORT of each; none starts them here and emulates the plan's link."""
    clip: Path | None = None
    """Another clip than the plan's, or where that is now; None for where it was."""
    frames: int | None = None
    """Of the clip, from its beginning, at most; None for all."""
    emulate_link: str | None = None
    """`RATE,DELAY` such as `450mbps,2ms` for both directions; None: the plan's own where servers are started here."""
    token: str | None = None
    tls_ca: Path | None = None


def run_video(request: VideoRunRequest, *, workspace: Workspace, progress: Progress | None = None) -> VideoRun:
    """Offload a clip's frames as a plan says.

    Raises:
        OffloadError: there is no plan, its clip or detector is not what it was, or no server can be reached.
        KeyboardInterrupt: interrupted before the first frame was answered.
    """
    from offload.serving.link_emulation import parse_link
    from offload.verification.endpoint import link_shapes
    from offload.verification.video.execute import ServerChoice, chosen_addresses, execute_video_plan
    from offload.video.clips import open_clip

    progress = progress or NullProgress()
    if request.frames is not None and request.frames < 1:
        raise UsageError(f"--frames {request.frames} leaves nothing to do", hint="as in --frames 45")
    shape = parse_link(request.emulate_link) if request.emulate_link is not None else None
    plan = _chosen_plan(request.plan, workspace, progress)
    addresses = request.servers or None
    chosen_addresses(plan, addresses)
    path = request.clip or Path(plan.clip.path)
    clip, detector = open_clip(path), planned_detector(plan.detector)
    progress.start("checking the clip")
    _check_clip(plan, clip, path, asked=request.clip is not None, progress=progress)
    progress.finish()
    link = link_shapes(plan.link) if addresses is None else None
    return execute_video_plan(
        plan,
        clip,
        detector,
        ServerChoice(
            addresses=addresses,
            link=link if shape is None else (shape, shape),
            token=request.token,
            tls_ca=request.tls_ca,
        ),
        path=path,
        frames=request.frames,
        progress=progress,
    )


def _chosen_plan(path: Path | None, workspace: Workspace, progress: Progress) -> VideoPlan:
    if path is not None:
        if kind_of(path) == Plan.KIND:
            raise OffloadError(
                f"{path} is a plan that divides a network, not a clip's frames",
                hint=f"execute it: `offload verify {path}`",
            )
        return VideoPlan.load(path)
    found = workspace.newest(VideoPlan)
    if found is None:
        raise OffloadError(
            f"no video plan in {workspace.root}",
            hint="make one with `offload plan --planner elf --servers 2 --bw 450mbps`",
        )
    progress.note(f"took the newest video plan, {found[0]}")
    return found[1]


def _check_clip(plan: VideoPlan, clip: Clip, path: Path, *, asked: bool, progress: Progress) -> None:
    """Refuse a clip that the plan is not for; another one of the same size the user may ask for."""
    info, planned = clip.info, plan.clip
    if (info.width, info.height) != (planned.width, planned.height):
        raise OffloadError(
            f"{path} has frames of {info.width}x{info.height}, the plan is for {planned.width}x{planned.height}",
            hint="profile this clip and plan again",
        )
    if clip_record(path, clip, 0, planned.frames, truth=planned.truth).sha256 == planned.sha256:
        return
    if not asked:
        raise OffloadError(
            f"{path} is not the clip that was profiled", hint="name that one, or this one as another, with --clip"
        )
    progress.note(f"{path} is another clip than the one that was profiled")
