"""`offload profile CLIP --detector D`: the same verb for videos."""

from __future__ import annotations

from pathlib import Path

import typer

from offload.cli.delivery import Delivery
from offload.cli.options import existing_file
from offload.cli.terminal import Terminal
from offload.errors import UsageError

_OF_CLIPS = frozenset(
    {"model", "detector", "truth", "servers", "frames", "threads", "form", "json", "output", "force", "dry_run"}
)
"""Parameters of `profile` that are about clips, too."""


def profile_clip(
    context: typer.Context,
    delivery: Delivery,
    *,
    clip: str,
    detector: str,
    truth: Path | None,
    servers: int,
    frames: int,
    threads: int | None,
    dry_run: bool,
) -> None:
    """Measure, deliver, and say what comes next.

    Raises:
        UsageError: an option was given that is about models.
    """
    from offload import api

    _refuse_those_of_models(context)
    request = api.VideoProfileRequest(
        clip=Path(clip),
        detector=detector,
        truth=existing_file(truth, "--truth"),
        servers=servers,
        frames=frames,
        threads=threads,
    )
    terminal: Terminal = context.obj
    if dry_run:
        terminal.result(
            f"would time {detector} on crops of {clip}'s first frame, then run ELF's loop over its first {frames} "
            f"frames\nwith one expansion, interval, ratio, predictor, quality and number of servers (1 to {servers}) "
            f"changed at a time,\nand write the profile to {delivery.output or delivery.workspace.root}\n"
        )
        return
    artifact = delivery.make(api.profile_video, request)
    delivery.deliver(artifact, name=Path(clip).stem)
    if artifact.stopped == "interrupted":
        raise typer.Exit(130)


def given(context: typer.Context, parameter: str) -> bool:
    """Whether the user typed it, rather than leaving it at its default."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_those_of_models(context: typer.Context) -> None:
    for name in context.params:
        if name not in _OF_CLIPS and given(context, name):
            raise UsageError(
                f"--{name.replace('_', '-')} is about models, not about clips", hint="leave it out beside --detector"
            )
