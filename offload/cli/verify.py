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
    PlotOption,
    TaskName,
    TlsCaOption,
    TokenOption,
    artifact_file,
    chosen_format,
    existing_file,
)
from offload.cli.terminal import Terminal
from offload.cli.verify_video import refuse_those_of_clips, verify_clip
from offload.errors import UsageError, VerdictError
from offload.units import parse_duration, parse_fraction


def verify(
    context: typer.Context,
    plan: Annotated[
        Path | None, typer.Argument(metavar="[PLAN]", help="The plan; the newest in the workspace if left out.")
    ] = None,
    server: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT",
            help="A running server; started here if left out. Repeatable for a clip's plan, in the plan's order.",
        ),
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
    clip: Annotated[
        Path | None, typer.Option(metavar="CLIP", help="Other frames than those that a clip's plan was chosen by.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A clip's ground truth; CLIP.truth.json if it is there.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(metavar="N", help="Frames of a clip at most; 45 if left out.", show_default=False)
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What to compare a clip's plan with beside the full frame: filter,strips,tiles,hold,oracle; all if "
            "left out.",
        ),
    ] = None,
    emulate_servers: Annotated[
        bool, typer.Option("--emulate-servers", help="Emulate a clip's servers though this machine has cores for them.")
    ] = False,
    plot: PlotOption = None,
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

    The plan of a clip is executed beside other ways to offload it, with frames that it was not chosen by where there
    are some. Servers that are not named run here, or are emulated where this machine has too few cores for them.
    """
    from offload import api
    from offload.artifacts.base import kind_of
    from offload.artifacts.workspace import Workspace

    terminal: Terminal = context.obj
    plan = artifact_file(plan, "PLAN", "plan")
    workspace = Workspace()
    delivery = Delivery(
        terminal=terminal, workspace=workspace, output=output, force=force, form=chosen_format(form, json)
    )
    if plan is not None and kind_of(plan) == "video-plan":
        verify_clip(
            context, delivery, plan=plan, servers=server or (), clip=clip, truth=truth, frames=frames, methods=methods,
            emulate_servers=emulate_servers,
            tolerance=parse_fraction(tolerance), link=link, plot=plot, token=token, tls_ca=tls_ca,
        )  # fmt: skip
        return
    refuse_those_of_clips(context)
    if server is not None and len(server) > 1:
        raise UsageError(
            f"a network's plan has one server, --server names {len(server)}", hint="name the one of the plan"
        )
    request = api.VerifyRequest(
        plan=plan,
        server=server[0] if server else None,
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
