"""`offload verify`: execute a plan and compare what it takes with what was predicted."""

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
    TaskName,
    TlsCaOption,
    TokenOption,
    artifact_file,
    chosen_format,
    existing_file,
)
from offload.cli.terminal import Terminal
from offload.errors import VerdictError
from offload.units import parse_duration, parse_fraction


def verify(
    context: typer.Context,
    plan: Annotated[
        Path | None, typer.Argument(metavar="[PLAN]", help="The plan; the newest in the workspace if left out.")
    ] = None,
    server: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A running server; one is started here if left out.")
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Requests of the plan's cut at most, after the warm-up; 50 without --duration."
        ),
    ] = None,
    duration: Annotated[
        str | None, typer.Option(metavar="TIME", help="Measure for so long, as 30s, rather than until it is stable.")
    ] = None,
    alternatives: Annotated[
        int, typer.Option(min=0, metavar="N", help="Measure so many of the plan's next best cuts, too, for the regret.")
    ] = 0,
    tolerance: Annotated[str, typer.Option(metavar="PERCENT", help="Accepted error of the latency.")] = "10%",
    link: Annotated[
        str | None,
        typer.Option(
            "--emulate-link", metavar="RATE,DELAY", help="Shape the connection, as 450mbps,2ms; else the plan's link."
        ),
    ] = None,
    traffic: Annotated[
        bool,
        typer.Option("--background-traffic", help="Another client sends all the time over the emulated link."),
    ] = False,
    slowdown: Annotated[
        float | None,
        typer.Option(
            "--emulate-slowdown", min=1, max=10_000, metavar="N", help="A device N times slower; else the plan's."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Send labelled test examples, for the accuracy over the wire: digits-in-clutter, spoken-digits, a "
            "folder of images or of parquet files, FILE.npz, package.module:callable.",
        ),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Examples at most; 200 if left out.", show_default=False)
    ] = None,
    task: Annotated[
        TaskName | None,
        typer.Option(
            metavar="TASK", help="classification, ctc, regression or detection; what the data have if left out."
        ),
    ] = None,
    token: TokenOption = None,
    tls_ca: TlsCaOption = None,
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Execute a plan and put what was measured beside what was predicted; exit code 4 if they disagree.

    A plan that carries a tensor in a codec is executed with it; with --data the accuracy over the wire is measured,
    too, beside the intact model's on the same examples and what the plan promised.
    """
    from offload import api
    from offload.artifacts.workspace import Workspace

    terminal: Terminal = context.obj
    request = api.VerifyRequest(
        plan=artifact_file(plan, "PLAN", "plan"),
        server=server,
        requests=requests,
        duration_s=parse_duration(duration) if duration is not None else None,
        alternatives=alternatives,
        tolerance=parse_fraction(tolerance),
        emulate_link=link,
        background_traffic=traffic,
        device_slowdown=slowdown,
        token=token,
        tls_ca=existing_file(tls_ca, "--tls-ca"),
        data=data,
        samples=samples,
        task=task.value if task is not None else None,
    )
    workspace = Workspace()
    delivery = Delivery(
        terminal=terminal, workspace=workspace, output=output, force=force, form=chosen_format(form, json)
    )
    artifact = delivery.make(api.verify, request)
    delivery.deliver(artifact, name=artifact.model.name)
    if artifact.stopped == "interrupted":
        raise typer.Exit(130)
    if artifact.verdict != "within tolerance":
        raise VerdictError(f"verdict: {artifact.verdict}", hint=_REMEDY[artifact.verdict])
    terminal.note("next: offload plan --bw RATE, to see the plan for another link")


_REMEDY = {
    "out of tolerance": "profile both sides again on quiet machines, or accept more with --tolerance",
    "less accurate than promised": "bench the codecs with these data and plan again: "
    "`offload codec bench MODEL --data DATA`",
    "cannot tell": "the machine is busy or has changed since it was profiled: quiet it, profile again, plan and verify",
}
