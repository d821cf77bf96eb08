"""Videos: clips with what is to be seen in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offload.datasets.base import Split
from offload.errors import OffloadError, UsageError
from offload.progress import NullProgress, Progress

if TYPE_CHECKING:
    from offload.datasets.digits_in_motion.clip import MadeClip
    from offload.datasets.digits_in_motion.scene import SceneSettings

_ENDINGS = (".mp4", ".mkv", ".mov")
_SMALLEST, _LARGEST = 64, 8192
"""Pixels of a frame's side."""
_MOST_FRAMES = 60 * 3600


@dataclass(frozen=True, kw_only=True)
class MakeVideoRequest:
    """What `video make` is asked for."""

    clip: Path
    """The video file; its ground truth is written beside it."""
    density: int = 12
    """Digits at a time."""
    seconds: float = 4.0
    width: int = 2560
    height: int = 1440
    fps: float = 15.0
    seed: int = 0
    split: Split = "test"
    """Which drawings, pieces of photographs and kinds of motion it is made of."""
    force: bool = False
    """Whether to replace what is there."""


@dataclass(frozen=True, kw_only=True)
class MakeVideoOutlook:
    """What making a clip would do."""

    frames: int
    duration_s: float
    """About how long it takes."""


def make_video(request: MakeVideoRequest, *, progress: Progress | None = None) -> MadeClip:
    """Record a clip of digits that move over photographs, and its ground truth.

    Raises:
        UsageError: no such clip can be made.
        OffloadError: one of the files is there already, or cannot be written.
    """
    from offload.datasets.digits_in_motion.clip import make_clip

    return make_clip(request.clip, _settings(request), progress or NullProgress())


def make_video_outlook(request: MakeVideoRequest) -> MakeVideoOutlook:
    """What `make_video` would do, found by making the first frames elsewhere.

    Raises:
        OffloadError: as `make_video`, as far as that is known before.
    """
    from offload.datasets.digits_in_motion.clip import duration_s

    settings = _settings(request)
    return MakeVideoOutlook(frames=settings.frames, duration_s=duration_s(settings))


def _settings(request: MakeVideoRequest) -> SceneSettings:
    from offload.datasets.digits_in_motion.scene import SceneSettings
    from offload.video.truth import truth_file

    if request.clip.suffix.lower() not in _ENDINGS:
        raise UsageError(f"{request.clip}: videos are {', '.join(_ENDINGS)} files", hint="name it like clip.mp4")
    sides = request.width, request.height
    if min(sides) < _SMALLEST or max(sides) > _LARGEST or any(side % 2 for side in sides):
        raise UsageError(
            f"--size {request.width}x{request.height}: sides are even, {_SMALLEST} to {_LARGEST} pixels",
            hint="write it like 2560x1440",
        )
    if not 0.5 < request.seconds * request.fps <= _MOST_FRAMES:  # nor what is no number
        raise UsageError(
            f"--seconds {request.seconds:g} --fps {request.fps:g}: a clip has 1 to {_MOST_FRAMES} frames",
            hint="write them like --seconds 4 --fps 15",
        )
    for file in (request.clip, truth_file(request.clip)):
        if file.is_dir():
            raise OffloadError(f"{file} is a folder", hint="name a file in it")
        if file.exists() and not request.force:
            raise OffloadError(f"{file} is there already", hint="add --force to replace it, or name another file")
    return SceneSettings(
        split=request.split,
        seed=request.seed,
        width=request.width,
        height=request.height,
        fps=request.fps,
        frames=round(request.seconds * request.fps),
        density=request.density,
    )
