"""`offload plan`: choose where to cut a profiled model."""

from __future__ import annotations

from enum import StrEnum
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
    TlsCaOption,
    TokenOption,
    chosen_format,
    existing_file,
)
from offload.cli.terminal import ConsoleProgress, Terminal
from offload.units import parse_duration, parse_rate


class Target(StrEnum):
    """What a plan minimises."""

    LATENCY = "latency"
    ENERGY = "energy"


def plan(
    context: typer.Context,
    bw: Annotated[str, typer.Option("--bw", metavar="RATE", help="Uplink, device to server, as 450mbps or 56MB/s.")],
    profile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The device's profile; the newest measured one if left out.")
    ] = None,
    server: Annotated[
        str | None, typer.Option(metavar="SPEC", help="A profile made there, HOST:PORT (profiles there), or a preset.")
    ] = None,
    down: Annotated[str | None, typer.Option(metavar="RATE", help="Downlink; the uplink's rate if left out.")] = None,
    rtt: Annotated[str, typer.Option(metavar="TIME", help="Round trip of an empty message, as 4ms.")] = "0ms",
    target: Annotated[Target, typer.Option(help="What to minimise.")] = Target.LATENCY,
    radio: Annotated[
        str | None, typer.Option(metavar="NAME", help="The device's radio, for energy: wifi, lte or 3g.")
    ] = None,
    slowdown: Annotated[
        float,
        typer.Option(
            "--emulate-slowdown", min=1, max=10_000, metavar="N", help="A device N times slower than profiled."
        ),
    ] = 1,
    planner: Annotated[str, typer.Option(metavar="NAME", help="The algorithm: neurosurgeon.")] = "neurosurgeon",
    token: TokenOption = None,
    tls_ca: TlsCaOption = None,
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Choose where to cut a profiled model between this device and a server."""
    from offload import api
    from offload.artifacts.workspace import Workspace

    terminal: Terminal = context.obj
    request = api.PlanRequest(
        profile=existing_file(profile, "--profile"),
        server=server,
        uplink_bps=parse_rate(bw),
        downlink_bps=parse_rate(down) if down else None,
        rtt_s=parse_duration(rtt),
        target=target.value,
        radio=radio,
        device_slowdown=slowdown,
        planner=planner,
        token=token,
        tls_ca=existing_file(tls_ca, "--tls-ca"),
    )
    workspace = Workspace()
    delivery = Delivery(
        terminal=terminal, workspace=workspace, output=output, force=force, form=chosen_format(form, json)
    )
    delivery.prepare()
    progress = ConsoleProgress(terminal)
    try:
        artifact = api.plan(request, workspace=workspace, progress=progress)
    finally:
        progress.finish()
    delivery.deliver(artifact, name=artifact.model.name)
    terminal.note(f"next: offload verify{f' {output}' if output and output != Path('-') else ''}")
