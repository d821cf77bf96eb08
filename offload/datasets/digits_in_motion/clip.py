"""Records a scene as a video file, and what is to be seen in it beside it."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from offload.datasets.digits_in_motion.scene import SceneSettings, draw_scene
from offload.errors import OffloadError
from offload.progress import NullProgress, Progress
from offload.video.recording import Recorder
from offload.video.truth import GroundTruth, truth_file, write_truth

NAME = "digits-in-motion"
CLASSES = ("digit",)
"""Which digit it is does not matter: what is to be found out is where there are any."""
_TRIED = 4
"""Frames that are made to find out how long all take."""


@dataclass(frozen=True, kw_only=True)
class MadeClip:
    """A clip that was recorded."""

    path: Path
    truth: Path
    """COCO's JSON."""
    settings: SceneSettings
    rate_bps: float
    """Achieved, not asked for."""


def make_clip(path: Path, settings: SceneSettings, progress: Progress) -> MadeClip:
    """Record a clip in H.264, and its ground truth beside it; replaces what is there, both or none.

    Args:
        path: The video file.
        settings: What is to be seen.
        progress: Told of each frame.

    Raises:
        OffloadError: a file cannot be written.
    """
    truth = truth_file(path)
    frames = []
    progress.start(f"making {path.name}", settings.frames)
    with Recorder(path, width=settings.width, height=settings.height, fps=settings.fps) as recorder:
        for frame, seen in draw_scene(settings):
            recorder.add(frame)
            frames.append(seen)
            progress.advance()
        recorder.close()
        about = {
            "description": NAME,
            "split": settings.split,
            "seed": settings.seed,
            "density": settings.density,
            "fps": settings.fps,
            "codec": "h264",
            "bit_rate_bps": round(recorder.rate_bps),
        }
        part = truth.with_name(f".{truth.name}.{os.getpid()}")
        try:
            write_truth(
                GroundTruth(classes=CLASSES, frames=tuple(frames)),
                part,
                about,
                width=settings.width,
                height=settings.height,
            )
            part.replace(truth)
        except OSError as error:
            raise OffloadError(
                f"cannot write {truth}: {error.strerror}", hint="free some space, or name a clip in another folder"
            ) from error
        finally:
            part.unlink(missing_ok=True)
    progress.finish()
    return MadeClip(path=path, truth=truth, settings=settings, rate_bps=recorder.rate_bps)


def duration_s(settings: SceneSettings) -> float:
    """About how long it takes to make a clip, from making the first frames of it."""
    with tempfile.TemporaryDirectory(prefix="offload-video-") as folder:
        few = replace(settings, frames=min(_TRIED, settings.frames))
        next(draw_scene(replace(settings, frames=1)))  # reads what all scenes are made of
        begun = time.perf_counter()
        make_clip(Path(folder, "clip.mp4"), few, NullProgress())
        return (time.perf_counter() - begun) / few.frames * settings.frames
