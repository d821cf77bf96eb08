"""`offload video make`: a clip of moving digits, with its ground truth."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.terminal import ConsoleProgress, Terminal
from offload.errors import UsageError
from offload.units import format_duration, format_rate

if TYPE_CHECKING:
    from offload import api

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


class SplitName(StrEnum):
    """Which drawings, pieces of photographs and kinds of motion a clip is made of."""

    TEST = "test"
    TRAIN = "train"
    VALIDATION = "validation"


def make(
    context: typer.Context,
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A file like clip.mp4, or .mkv, .mov.")],
    density: Annotated[int, typer.Option(min=1, max=200, metavar="N", help="Digits at a time.")] = 12,
    seconds: Annotated[float, typer.Option(min=0.0, metavar="S", help="How long it is.")] = 4.0,
    size: Annotated[str, typer.Option(metavar="WxH", help="Pixels of a frame.")] = "2560x1440",
    fps: Annotated[float, typer.Option(min=1.0, max=240.0, metavar="N", help="Frames a second.")] = 15.0,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of everything that chance decides.")] = 0,
    split: Annotated[
        SplitName, typer.Option(help="Which drawings, photographs and kinds of motion it is made of.")
    ] = SplitName.TEST,
    force: Annotated[bool, typer.Option("--force", help="Replace the clip and its ground truth.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made and how long it takes.")] = False,
) -> None:
    """Make a clip of handwritten digits that move over photographs, in H.264.

    Its ground truth is written beside it, clip.truth.json for clip.mp4: boxes, classes, identities and visible shares
    as COCO has them.
    """
    from offload import api

    terminal: Terminal = context.obj
    width, height = _parse_size(size)
    request = api.MakeVideoRequest(
        clip=clip,
        density=density,
        seconds=seconds,
        width=width,
        height=height,
        fps=fps,
        seed=seed,
        split=split.value,
        force=force,
    )
    if dry_run:
        outlook = api.make_video_outlook(request)
        terminal.result(
            f"would make {clip}: {_described(request, outlook.frames)}; it takes about "
            f"{format_duration(outlook.duration_s)}"
        )
        return
    progress = ConsoleProgress(terminal)
    try:
        made = api.make_video(request, progress=progress)
    finally:
        progress.finish()
    terminal.result(f"{clip}: {_described(request, made.settings.frames)}, {format_rate(made.rate_bps)}")
    terminal.note(f"ground truth in {made.truth}")
    terminal.note(f"next: offload profile {clip} --detector digits")


def _parse_size(text: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None:
        raise UsageError(f"--size: {text!r} is not a width and a height", hint="write it like 2560x1440")
    return int(found[1]), int(found[2])


def _described(request: api.MakeVideoRequest, frames: int) -> str:
    return (
        f"{frames} frames of {request.width}x{request.height} at {request.fps:g} a second, "
        f"{request.density} digits at a time, {request.split} split"
    )
