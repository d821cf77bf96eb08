"""`offload plan --planner elf`: how a profiled clip's frames are divided among servers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offload.api.links import LinkChoice
from offload.api.video_profiles import measured_crops
from offload.artifacts.video_profile import VideoProfile
from offload.errors import OffloadError, UsageError
from offload.progress import NullProgress, Progress

if TYPE_CHECKING:
    from offload.artifacts.link import Link
    from offload.artifacts.video_plan import VideoPlan, VideoTarget
    from offload.artifacts.video_profile import CropRecord
    from offload.artifacts.workspace import Workspace
    from offload.planners.elf import GivenServer

_MOST_SERVERS = 16
_ASSUMED_RADIO = "wifi"


@dataclass(frozen=True, kw_only=True)
class VideoPlanRequest:
    """What a plan for a clip is asked for."""

    profile: Path | None = None
    """A video profile; None takes the newest in the workspace."""
    servers: tuple[str, ...] = ()
    """Each a video profile that was made there, or HOST:PORT, where it is measured now."""
    alike: int | None = None
    """How many servers like the one that the profile was made with, instead of `servers`."""
    link: LinkChoice
    target: VideoTarget = "latency"
    least_ap50: float | None = None
    """AP50 that a setting must have at least."""
    most_lost: float = 0.01
    """Without `least_ap50`: how much below the whole frame's it may be."""
    radio: str | None = None
    """None assumes one, and says so, where energy is the target."""
    pareto: bool = False
    token: str | None = None
    tls_ca: Path | None = None


def plan_video(request: VideoPlanRequest, *, workspace: Workspace, progress: Progress | None = None) -> VideoPlan:
    """Choose the setting of ELF's loop, and how many of the servers share a frame.

    Raises:
        UsageError: options contradict one another, or no server was told.
        OffloadError: there is no profile or no link, a server cannot be reached, or profiles do not belong together.
        VerdictError: no setting that was measured is as accurate as was asked.
    """
    from offload.planners.elf import ElfProblem, plan_elf
    from offload.predictors.radios import load_radio

    progress = progress or NullProgress()
    request.link.check()
    _check_servers(request)
    radio = request.radio or (_ASSUMED_RADIO if request.target == "energy" else None)
    radio_model = None if radio is None else load_radio(radio)
    profile = _profile(request, workspace, progress)
    link, warnings = _link(request, workspace, progress)
    if request.radio is None and radio is not None:
        warnings.append(f"no radio was named and {radio} is assumed: give the device's own with --radio")
    servers = _servers(request, profile, progress)
    problem = ElfProblem(
        profile=profile,
        servers=servers,
        link=link,
        target=request.target,
        radio=radio_model,
        least_ap50=max(0.0, profile.whole.accuracy.ap50 - request.most_lost)
        if request.least_ap50 is None
        else request.least_ap50,
    )
    try:
        return plan_elf(problem, pareto=request.pareto, warnings=warnings, progress=progress)
    finally:
        progress.finish()


def _check_servers(request: VideoPlanRequest) -> None:
    if request.servers and request.alike is not None:
        raise UsageError("--server and --servers exclude each other", hint="leave one out")
    if not request.servers and request.alike is None:
        raise UsageError(
            "no server was told", hint="add --servers 4, for four like the profile's machine, or --server HOST:PORT"
        )
    count = len(request.servers) or request.alike or 0
    if not 1 <= count <= _MOST_SERVERS:
        raise UsageError(f"{count} servers: from 1 to {_MOST_SERVERS}", hint="as in --servers 4")
    addresses = [spec for spec in request.servers if not Path(spec).is_file()]
    for spec in addresses:
        if ":" not in spec:
            raise OffloadError(
                f"--server {spec}: neither a file nor HOST:PORT",
                hint="name a profile that `offload profile CLIP --detector D -o FILE` made there, or HOST:PORT",
            )
        if addresses.count(spec) > 1:
            raise UsageError(f"--server {spec} is named twice", hint="each address is one server: name it once")


def _profile(request: VideoPlanRequest, workspace: Workspace, progress: Progress) -> VideoProfile:
    if request.profile is not None:
        return VideoProfile.load(request.profile)
    found = workspace.newest(VideoProfile)
    if found is None:
        raise OffloadError(
            f"no video profile in {workspace.root}", hint="make one with `offload profile CLIP --detector DETECTOR`"
        )
    progress.note(f"clip: took the newest video profile, {found[0]}")
    return found[1]


def _link(request: VideoPlanRequest, workspace: Workspace, progress: Progress) -> tuple[Link, list[str]]:
    """The one line that all servers are behind: measured to the first of them that has an address, if measured."""
    address = next((spec for spec in request.servers if not Path(spec).is_file()), None)
    return request.link.chosen(address, workspace, progress)


def _servers(request: VideoPlanRequest, profile: VideoProfile, progress: Progress) -> tuple[GivenServer, ...]:
    from offload.planners.elf import GivenServer

    if request.alike is not None:
        return tuple(
            GivenServer(
                name=f"server {number}",
                address=None,
                crops=profile.crops,
                profile_hash=profile.content_hash,
            )
            for number in range(1, request.alike + 1)
        )
    files = {spec: _server_profile(Path(spec), profile) for spec in request.servers if Path(spec).is_file()}
    found = []
    for spec in request.servers:
        if spec in files:
            crops, made = files[spec].crops, files[spec]
            found.append(GivenServer(name=spec, address=made.measured_on, crops=crops, profile_hash=made.content_hash))
        else:
            crops = _crops_at(spec, request, profile, progress)
            found.append(GivenServer(name=spec, address=spec, crops=crops, profile_hash=None))
    return tuple(found)


def _server_profile(path: Path, profile: VideoProfile) -> VideoProfile:
    made = VideoProfile.load(path)
    if made.detector.sha256 != profile.detector.sha256:
        raise OffloadError(
            f"--server {path} is of the detector {made.detector.name} ({made.detector.sha256[:12]}), the profile of "
            f"{profile.detector.name} ({profile.detector.sha256[:12]})",
            hint="profile both with the same detector",
        )
    return made


def _crops_at(
    address: str, request: VideoPlanRequest, profile: VideoProfile, progress: Progress
) -> tuple[CropRecord, ...]:
    """Measured now, with the clip and the detector that the profile names, if they are still there."""
    from offload.detectors.catalogue import load_detector
    from offload.video.clips import open_clip

    path = Path(profile.clip.path)
    elsewhere = f"profile it with `offload profile CLIP --detector D --on {address} -o FILE`, and give --server FILE"
    if not path.exists():
        raise OffloadError(f"{path}, the clip of the profile, is not there to measure {address} with", hint=elsewhere)
    detector = load_detector(profile.detector.spec)
    if detector.hash != profile.detector.sha256:
        raise OffloadError(f"{profile.detector.spec} is another detector now than the profile is of", hint=elsewhere)
    return measured_crops(
        address,
        detector=detector,
        frame=next(open_clip(path).frames()),
        token=request.token,
        tls_ca=request.tls_ca,
        progress=progress,
    )
