"""`offload verify` for the plan of a clip: executed, and compared with other ways to offload."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from offload.api.clips import clip_record, frames_of, planned_detector, truth_of
from offload.artifacts.video_plan import VideoPlan
from offload.artifacts.video_verification import VideoVerification
from offload.artifacts.workspace import Workspace
from offload.environment import physical_cores
from offload.errors import OffloadError, UsageError
from offload.progress import NullProgress, Progress

if TYPE_CHECKING:
    from offload.detectors.base import Detector
    from offload.serving.pacing import LinkShape
    from offload.verification.video.sites import Site
    from offload.verification.video.ways import ClipPart
    from offload.video.clips import Clip
    from offload.video.timing import Line

_FRAMES = 45
_FEWEST = 2


@dataclass(frozen=True, kw_only=True)
class VerifyVideoRequest:
    """What `verify` is asked for a clip's plan."""

    plan: Path
    servers: tuple[str, ...] = ()
    """HOST:PORT of each of the plan's servers, in their order; none starts or emulates them here."""
    clip: Path | None = None
    """None takes the plan's."""
    truth: Path | None = None
    """None takes CLIP.truth.json where it is there."""
    frames: int | None = None
    """How many at most; None takes 45."""
    methods: tuple[str, ...] | None = None
    """What to compare with beside the full frame; None for all."""
    tolerance: float = 0.1
    emulate_servers: bool = False
    """Whether to emulate them even where this machine has cores for all: then nothing shares them."""
    emulate_link: str | None = None
    """`RATE,DELAY` such as `450mbps,2ms` for both directions; None: the plan's own where no server is named."""
    token: str | None = None
    tls_ca: Path | None = None


def verify_video(
    request: VerifyVideoRequest, *, workspace: Workspace, progress: Progress | None = None
) -> VideoVerification:
    """Execute a clip's plan and what it is compared with.

    Servers that are named are used for real, all at once. Without any, one or two run here where this machine has cores
    for them and the plan's are like this machine; else they are emulated.

    Raises:
        OffloadError: the plan, the clip, its ground truth or the detector cannot be used, or no server can be reached.
        UsageError: not as many servers as the plan has, or no such method.
        KeyboardInterrupt: interrupted before two frames were answered.
    """
    from offload.serving.pacing import parse_link
    from offload.verification.video.verify import verify_video_plan

    progress = progress or NullProgress()
    plan = VideoPlan.load(request.plan)
    _check(request, plan)
    shape = parse_link(request.emulate_link) if request.emulate_link is not None else None
    detector = planned_detector(plan.detector)
    part = _part(request, plan, detector)
    link = None if shape is None else (shape, shape)
    with _site(request, plan, part, detector, link, progress) as (site, words, warnings):
        return verify_video_plan(
            plan,
            part,
            site,
            detector=detector,
            methods=request.methods,
            link=words,
            tolerance=request.tolerance,
            warnings=warnings,
            progress=progress,
        )


def _check(request: VerifyVideoRequest, plan: VideoPlan) -> None:
    if request.frames is not None and request.frames < _FEWEST:
        raise UsageError(f"--frames {request.frames} are too few to predict anything", hint="as in --frames 45")
    if not request.servers:
        return
    if request.emulate_servers:
        raise UsageError("--emulate-servers and --server exclude each other", hint="leave one out")
    if len(set(request.servers)) < len(request.servers):
        raise UsageError("--server names a server twice", hint="name each once, in the plan's order")
    if len(request.servers) != len(plan.servers):
        raise UsageError(
            f"the plan is for {len(plan.servers)} servers, --server names {len(request.servers)}",
            hint="name all of them in the plan's order, or none to have them emulated",
        )


def _part(request: VerifyVideoRequest, plan: VideoPlan, detector: Detector) -> ClipPart:
    """Frames behind those that the plan was chosen by; those themselves where there are no others."""
    from offload.verification.video.ways import ClipPart
    from offload.video.clips import open_clip

    path = request.clip or Path(plan.clip.path)
    if request.clip is None and not path.exists():
        raise OffloadError(f"the plan's clip, {path}, is not there", hint="name one with --clip CLIP")
    clip, planned = open_clip(path), plan.clip
    info = clip.info
    if (info.width, info.height) != (planned.width, planned.height):
        raise OffloadError(
            f"{path} has frames of {info.width}x{info.height}, the plan is for {planned.width}x{planned.height}",
            hint="profile this clip and plan again, or name another with --clip",
        )
    same = _is_planned(path, clip, plan)
    if request.clip is None and not same:
        raise OffloadError(
            f"{path} is not the clip that was profiled", hint="name the clip to verify with by --clip, or profile again"
        )
    wanted = request.frames or _FRAMES
    first = planned.frames if same and info.frames - planned.frames >= _FEWEST else 0
    count = min(wanted, info.frames - first)
    if count < _FEWEST:
        raise OffloadError(f"{path} has {info.frames} frames", hint="take a longer clip: --clip CLIP")
    truth = truth_of(path, clip, request.truth, detector)
    return ClipPart(
        info=info,
        first=first,
        count=count,
        fresh=not same or first > 0,
        frames=partial(frames_of, clip, first, count),
        truth=None if truth is None else truth[first : first + count],
        record=partial(clip_record, path, clip, first, truth=truth is not None),
    )


def _is_planned(path: Path, clip: Clip, plan: VideoPlan) -> bool:
    """Whether a clip begins with the frames that the plan was chosen by."""
    if clip.info.frames < plan.clip.frames:
        return False
    return clip_record(path, clip, 0, plan.clip.frames, truth=plan.clip.truth).sha256 == plan.clip.sha256


@contextmanager
def _site(
    request: VerifyVideoRequest,
    plan: VideoPlan,
    part: ClipPart,
    detector: Detector,
    link: tuple[LinkShape, LinkShape] | None,
    progress: Progress,
) -> Iterator[tuple[Site, str, list[str]]]:
    """The servers; the line to them in words; and reasons to trust them less."""
    from offload.runtimes.onnxruntime import OnnxRuntime
    from offload.verification.endpoint import Endpoint, link_shapes, link_words
    from offload.verification.video.endpoints import embedded_servers
    from offload.verification.video.execute import MOST_EMBEDDED
    from offload.verification.video.sites import EmulatedSite, RealSite, costs_here, like_here, planned_costs

    threads, count = plan.runtime.threads, len(plan.servers)
    alike = all(like_here(plan, server) for server in plan.servers)
    fits = alike and count <= MOST_EMBEDDED and count * threads <= physical_cores()
    if not request.servers and (request.emulate_servers or not fits):
        session = OnnxRuntime().load_onnx(detector.onnx, threads=threads)
        frame = next(part.frames())
        site = EmulatedSite(
            costs=planned_costs(plan),
            here=costs_here(plan, detector, session, frame, progress),
            line=_line(plan, link),
            detector=detector,
            session=session,
        )
        shown = link_words(Endpoint(link=link or link_shapes(plan.link)))
        yield site, shown.replace("emulated", "modelled"), _other_link(plan, link)
        return
    with ExitStack() as stack:
        addresses, warnings = request.servers, _other_link(plan, link)
        if not addresses:
            link = link or link_shapes(plan.link)
            progress.note(f"starting {count} server{'s' if count > 1 else ''} here, {threads} threads each")
            addresses = tuple(stack.enter_context(embedded_servers(count, threads)))
            warnings.append("device, link and servers share this machine's cores: name servers elsewhere with --server")
        real = RealSite(
            addresses=addresses,
            costs=planned_costs(plan),
            detector=detector,
            link=link,
            token=request.token,
            tls=request.tls_ca,
            progress=progress,
        )
        yield real, link_words(Endpoint(link=link)), warnings


def _other_link(plan: VideoPlan, link: tuple[LinkShape, LinkShape] | None) -> list[str]:
    from offload.verification.endpoint import link_shapes

    if link is None or link == link_shapes(plan.link):
        return []
    return ["--emulate-link is not the plan's link, which the prediction is for: plan for this one, too"]


def _line(plan: VideoPlan, link: tuple[LinkShape, LinkShape] | None) -> Line:
    """The plan's, or one of these shapes."""
    from offload.artifacts.link import Link
    from offload.video.timing import Line

    if link is None:
        return Line.of(plan.link, plan.protocol)
    up, down = link
    declared = Link(uplink_bps=up.rate_bps, downlink_bps=down.rate_bps, rtt_s=up.delay_s + down.delay_s)
    return Line.of(declared, plan.protocol)
