"""`offload video draw`: what one looks at after a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offload.cli.options import artifact_file, existing_file
from offload.cli.terminal import ConsoleProgress, Terminal


def draw(
    context: typer.Context,
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run, or a verification; the newest run if left out.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a verification, what to draw: elf if left out, whole, strips…"),
    ] = None,
    clip: Annotated[
        Path | None, typer.Option(metavar="CLIP", help="The clip that was run, where it is not as the run has it.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The clip's ground truth; CLIP.truth.json if it is there.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A video, as drawn.mp4, or .mkv, .mov.")
    ] = None,
    frames: Annotated[Path | None, typer.Option(metavar="FOLDER", help="A folder for PNG files.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the video, and frames in the folder.")] = False,
) -> None:
    """Draw what a run expected, sent where, found and missed onto the frames of its clip.

    Predicted boxes are dashed, what was sent has its server's colour and name. With ground truth, misses, duplicates
    and boxes that show nothing are marked.
    """
    from offload.api import video_drawings as api
    from offload.artifacts.workspace import Workspace

    terminal: Terminal = context.obj
    request = api.DrawVideoRequest(
        run=artifact_file(run, "RUN", "run"),
        method=method,
        clip=existing_file(clip, "--clip"),
        truth=existing_file(truth, "--truth"),
        output=output,
        frames=frames,
        force=force,
    )
    progress = ConsoleProgress(terminal)
    try:
        drawn = api.draw_video(request, workspace=Workspace(), progress=progress)
    finally:
        progress.finish()
    where = " and ".join(str(place) for place in (output, frames) if place is not None)
    words = f"{where}: {drawn.frames} frame{'' if drawn.frames == 1 else 's'} of {drawn.width}x{drawn.height}"
    if drawn.mistakes is not None:
        wrong = drawn.mistakes
        words += (
            f"; {wrong.missed_by_age.sum()} missed, {wrong.duplicates} told twice, {wrong.unfounded} with nothing there"
        )
    terminal.result(words)
