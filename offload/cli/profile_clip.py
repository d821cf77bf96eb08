"""`offload profile CLIP --detector D`: the same verb for videos."""

from __future__ import annotations

from pathlib import Path

import typer

from offload.cli.delivery import Delivery
from offload.cli.options import existing_file
from offload.cli.terminal import Terminal
from offload.errors import UsageError

_OF_CLIPS = frozenset(
    {
        *("model", "detector", "truth", "servers", "frames", "threads", "on", "resume", "token", "tls_ca", "plot"),
        *("form", "json", "output", "force", "dry_run"),
    }
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
    on: str | None,
    resume: bool,
    token: str | None,
    tls_ca: Path | None,
    plot: Path | None,
    dry_run: bool,
) -> None:
    """Measure, deliver, and say what comes next.

    Raises:
        UsageError: an option was given that is about models.
    """
    from offload import api
    from offload.reports.picture import check_picture_file, write_picture

    _refuse_those_of_models(context)
    if plot is not None:
        check_picture_file(plot, force=delivery.force)
    request = api.VideoProfileRequest(
        clip=Path(clip),
        detector=detector,
        truth=existing_file(truth, "--truth"),
        servers=servers,
        frames=frames,
        threads=threads,
        on=on,
        resume=resume,
        token=token,
        tls_ca=existing_file(tls_ca, "--tls-ca"),
    )
    terminal: Terminal = context.obj
    if dry_run:
        where, destination = f" on {on}" if on else "", delivery.output or delivery.workspace.root
        terminal.result(
            f"would time {detector} on crops of {clip}'s first frame{where}, then run ELF's loop over its first "
            f"{frames} frames here\nwith one expansion, interval, ratio, predictor, quality and number of servers (1 "
            f"to {servers}) changed at a time,\nthen with what was good alone together,\n"
            f"and write the profile to {destination}\n"
        )
        return
    artifact = delivery.make(api.profile_video, request)
    path = delivery.deliver(artifact, name=Path(clip).stem)
    if plot is not None:
        from offload.reports.video_plots import video_profile_picture

        write_picture(video_profile_picture(artifact), plot)
        terminal.note(f"drawn in {plot}")
    if artifact.stopped == "interrupted":
        raise typer.Exit(130)
    named = f" --video-profile {path}" if path and delivery.output else ""
    shared = f"--server {path}" if path and on else f"--servers {servers}"
    terminal.note(f"next: offload plan --planner elf{named} {shared} --bw 50mbps")


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
