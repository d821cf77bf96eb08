"""`offload import`: a profile from the trace of another tool."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from offload.cli.delivery import Delivery
from offload.cli.options import (
    AllLayersOption,
    BatchOption,
    ForceOption,
    Format,
    FormatOption,
    InputsOption,
    JsonOption,
    OutputOption,
    WeightsOption,
    chosen_format,
    existing_file,
)
from offload.cli.terminal import Terminal
from offload.errors import UsageError
from offload.units import parse_duration


class Tool(StrEnum):
    """What can have written a trace."""

    TRTEXEC = "trtexec"
    ONNXRUNTIME = "onnxruntime"
    TORCH = "torch"


def import_(
    context: typer.Context,
    trace: Annotated[
        Path,
        typer.Argument(
            metavar="TRACE",
            help="What trtexec --exportProfile, ONNX Runtime's enable_profiling or torch's export_chrome_trace wrote.",
        ),
    ],
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="What it is a trace of: FILE.onnx, a built-in name, package.module:callable, torchvision:NAME.",
        ),
    ],
    tool: Annotated[Tool | None, typer.Option(help="What wrote the trace; found out if left out.")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where it ran, as cuda:0; what the trace tells if left out.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Threads it ran on; what the trace tells, or 1, if left out."),
    ] = None,
    batch: BatchOption = 1,
    inputs: InputsOption = None,
    total: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="What one run takes without a profiler, as 12.5ms; layers are closed on it."),
    ] = None,
    weights: WeightsOption = None,
    all_layers: AllLayersOption = False,
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Make a profile from a trace that another tool recorded, on this machine or another."""
    from offload import api
    from offload.artifacts.workspace import Workspace
    from offload.models.inputs import parse_input_shape

    terminal: Terminal = context.obj
    shapes = [parse_input_shape(text) for text in inputs or ()]
    request = api.ImportRequest(
        trace=trace,
        model=model,
        tool=tool.value if tool else None,
        inputs=dict(shapes),
        batch=batch,
        weights=existing_file(weights, "--weights"),
        device=device,
        threads=threads,
        total_s=parse_duration(total) if total else None,
    )
    if len(shapes) != len(request.inputs):
        raise UsageError("--input names the same input twice", hint="give each input one shape")
    workspace = Workspace()
    delivery = Delivery(
        terminal=terminal, workspace=workspace, output=output, force=force, form=chosen_format(form, json)
    )
    artifact = delivery.make(api.import_trace, request)
    path = delivery.deliver(artifact, name=artifact.model.name, all_layers=all_layers)
    terminal.note(f"next: offload plan --profile {path or 'FILE'} --bw 450mbps, or --server {path or 'FILE'}")
