"""`offload simulate`: follow a plan's policy while the link and the server's load change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offload.cli.delivery import Delivery
from offload.cli.options import (
    Format,
    FormatOption,
    JsonOption,
    OutputOption,
    artifact_file,
    chosen_format,
)
from offload.cli.terminal import Terminal
from offload.units import parse_duration


def simulate(
    context: typer.Context,
    plan: Annotated[
        Path | None, typer.Argument(metavar="[PLAN]", help="The plan; the newest in the workspace if left out.")
    ] = None,
    bandwidth: Annotated[
        str | None,
        typer.Option(
            metavar="TRACE",
            help="The uplink over time: a Mahimahi trace, a table time,mbps, a rate as 18mbps, or a made-up one: "
            "steps, random-walk, wifi, lte, 3g. The plan's rate if left out.",
        ),
    ] = None,
    load: Annotated[
        str | None,
        typer.Option(
            metavar="TRACE",
            help="The server's load over time: a table time,load, a number as 3, or a made-up one: steps, "
            "random-walk, ramp. The plan's load if left out.",
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="For so long requests begin; the longer file's time, or 2min, if left out."),
    ] = None,
    every: Annotated[str, typer.Option(metavar="TIME", help="From one request's beginning to the next's.")] = "1s",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the made-up traces.")] = 0,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it, too: a .png, .svg or .html file.")] = None,
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
    output: OutputOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of -o and --plot.")] = False,
) -> None:
    """Replay a changing link and server load: adaptive cuts against fixed ones and the oracle."""
    from offload import api
    from offload.artifacts.workspace import Workspace
    from offload.reports.picture import check_picture_file, write_picture

    terminal: Terminal = context.obj
    request = api.SimulateRequest(
        plan=artifact_file(plan, "PLAN", "plan"),
        bandwidth=bandwidth,
        load=load,
        duration_s=None if duration is None else parse_duration(duration),
        every_s=parse_duration(every),
        seed=seed,
    )
    workspace = Workspace()
    delivery = Delivery(
        terminal=terminal, workspace=workspace, output=output, force=force, form=chosen_format(form, json)
    )
    if plot is not None:
        check_picture_file(plot, force=force)
    artifact = delivery.make(api.simulate, request)
    delivery.deliver(artifact, name=artifact.model.name)
    if plot is not None:
        from offload.reports.simulation import simulation_picture

        write_picture(simulation_picture(artifact), plot)
        terminal.note(f"drawn in {plot}")
    terminal.note("next: offload verify, to execute the plan over a real connection")
