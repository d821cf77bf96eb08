"""`offload verify PLAN` for the plan of a clip: the same verb for videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from offload.cli.delivery import Delivery
from offload.cli.options import existing_file
from offload.cli.profile_clip import given
from offload.cli.terminal import Terminal
from offload.errors import UsageError, VerdictError

OF_CLIPS = ("clip", "truth", "frames", "methods", "emulate_servers", "plot")
"""Parameters of `verify` that are about clips alone."""
_OF_NETWORKS = ("requests", "duration", "alternatives", "traffic", "slowdown", "data", "samples", "task")
_SPELLED = {"traffic": "background-traffic", "slowdown": "emulate-slowdown"}


def verify_clip(
    context: typer.Context,
    delivery: Delivery,
    *,
    plan: Path,
    servers: Sequence[str],
    clip: Path | None,
    truth: Path | None,
    frames: int | None,
    methods: str | None,
    tolerance: float,
    emulate_servers: bool,
    link: str | None,
    plot: Path | None,
    token: str | None,
    tls_ca: Path | None,
) -> None:
    """Execute, deliver, and say what the verdict is.

    Raises:
        UsageError: an option was given that is about networks.
        VerdictError: the verdict is negative.
    """
    from offload import api
    from offload.reports.picture import check_picture_file, write_picture

    for name in _OF_NETWORKS:
        if given(context, name):
            raise UsageError(
                f"--{_SPELLED.get(name, name)} is about networks, the plan is for a clip", hint="leave it out"
            )
    if plot is not None:
        check_picture_file(plot, force=delivery.force)
    request = api.VerifyVideoRequest(
        plan=plan,
        servers=tuple(servers),
        clip=clip,
        truth=existing_file(truth, "--truth"),
        frames=frames,
        methods=None if methods is None else tuple(word.strip() for word in methods.split(",") if word.strip()),
        tolerance=tolerance,
        emulate_servers=emulate_servers,
        emulate_link=link,
        token=token,
        tls_ca=existing_file(tls_ca, "--tls-ca"),
    )
    artifact = delivery.make(api.verify_video, request)
    delivery.deliver(artifact, name=Path(artifact.clip.name).stem)
    terminal: Terminal = context.obj
    if plot is not None:
        from offload.reports.video_verification_plots import video_verification_picture

        write_picture(video_verification_picture(artifact), plot)
        terminal.note(f"drawn in {plot}")
    if artifact.stopped == "interrupted":
        raise typer.Exit(130)
    if artifact.verdict != "within tolerance":
        raise VerdictError(f"verdict: {artifact.verdict}", hint=_REMEDY[artifact.verdict])
    terminal.note(f"next: offload run {plan}")


def refuse_those_of_clips(context: typer.Context) -> None:
    """Options that a network's plan cannot do anything with.

    Raises:
        UsageError: one was given.
    """
    for name in OF_CLIPS:
        if given(context, name):
            spelled = name.replace("_", "-")
            raise UsageError(
                f"--{spelled} is about clips", hint="give the plan of a clip: `offload plan --planner elf`"
            )


_REMEDY = {
    "out of tolerance": "profile the clip again on quiet machines and plan again, or accept more with --tolerance",
    "less accurate than promised": "profile more --frames, or a clip like this one, and plan again with another "
    "--min-accuracy",
}
