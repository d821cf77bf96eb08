"""`offload run`: execute a video plan over its clip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offload.cli.delivery import Delivery
from offload.cli.options import (
    ForceOption,
    Format,
    FormatOption,
    JsonOption,
    OutputOption,
    PlotOption,
    TlsCaOption,
    TokenOption,
    artifact_file,
    chosen_format,
    existing_file,
)
from offload.cli.terminal import Terminal


def run(
    context: typer.Context,
    plan: Annotated[
        Path | None, typer.Argument(metavar="[PLAN]", help="The video plan; the newest in the workspace if left out.")
    ] = None,
    servers: Annotated[
        list[str] | None,
        typer.Option(
            "--server", metavar="HOST:PORT", help="A running server, once for each; up to two are started if left out."
        ),
    ] = None,
    clip: Annotated[
        Path | None, typer.Option(metavar="CLIP", help="Another clip of the same size, or the plan's if it was moved.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of the clip, from its beginning; all if left out.")
    ] = None,
    link: Annotated[
        str | None,
        typer.Option(
            "--emulate-link",
            metavar="RATE,DELAY",
            help="Shape the line that all servers share, as 450mbps,2ms; else the plan's if they are started here.",
        ),
    ] = None,
    plot: PlotOption = None,
    token: TokenOption = None,
    tls_ca: TlsCaOption = None,
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Offload a clip's frames to servers as a video plan says, and tell what became of each.

    Frames are not paced: each is begun as soon as the one before it is answered. What a server that dies was asked the
    others look at, or the device; when it is there again it is asked again.
    """
    from offload import api
    from offload.artifacts.workspace import Workspace
    from offload.reports.picture import check_picture_file, write_picture

    terminal: Terminal = context.obj
    if plot is not None:
        check_picture_file(plot, force=force)
    request = api.VideoRunRequest(
        plan=artifact_file(plan, "PLAN", "plan"),
        servers=tuple(servers or ()),
        clip=clip,
        frames=frames,
        emulate_link=link,
        token=token,
        tls_ca=existing_file(tls_ca, "--tls-ca"),
    )
    workspace = Workspace()
    delivery = Delivery(
        terminal=terminal, workspace=workspace, output=output, force=force, form=chosen_format(form, json)
    )
    artifact = delivery.make(api.run_video, request)
    delivery.deliver(artifact, name=Path(artifact.clip.name).stem)
    if plot is not None:
        from offload.reports.video_run_plots import video_run_picture

        write_picture(video_run_picture(artifact), plot)
        terminal.note(f"drawn in {plot}")
    if artifact.stopped == "interrupted":
        raise typer.Exit(130)
    terminal.note("next: offload verify PLAN, to see it beside the prediction and other ways to offload")
