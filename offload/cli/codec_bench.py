"""`offload codec bench`: what codecs cost and keep at the cuts of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offload.cli.delivery import Delivery
from offload.cli.options import (
    ForceOption,
    Format,
    FormatOption,
    InputsOption,
    JsonOption,
    OutputOption,
    TaskName,
    WeightsOption,
    artifact_file,
    chosen_format,
)
from offload.cli.profile import parse_inputs
from offload.cli.terminal import Terminal
from offload.units import parse_rate


def bench(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As for `offload profile`.")],
    data: Annotated[str, typer.Option(metavar="DATA", help="Labelled examples; see `offload codec train --help`.")],
    task: Annotated[
        TaskName | None, typer.Option(help="What the answers are; what the data have labels for if left out.")
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYERS", help="Cuts, as input,block2; repeatable. If left out, the ends of the model's stages."
        ),
    ] = None,
    codecs: Annotated[str, typer.Option(metavar="NAMES", help="Families to bench, as deepcod,webp,int8.")] = "all",
    seeds: Annotated[
        int, typer.Option(min=1, max=20, metavar="N", help="Seeds that each learned codec is trained with.")
    ] = 1,
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Train the learned codecs and tails that are missing.")
    ] = True,
    examples: Annotated[
        int | None, typer.Option(min=10, metavar="N", help="Test examples; 1000, or 200 with --quick.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Short training, few examples: a first look.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads; all physical cores if left out.")
    ] = None,
    bw: Annotated[
        str | None, typer.Option("--bw", metavar="RATE", help="Tell the transfer at this rate, as 450mbps.")
    ] = None,
    link: Annotated[Path | None, typer.Option(metavar="FILE", help="Tell the transfer over a measured link.")] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw accuracy against size: a .png, .svg or .html file.")
    ] = None,
    inputs: InputsOption = None,
    weights: WeightsOption = None,
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Measure bytes, accuracy and time of every codec at each cut, beside sending tensors or answers as they are."""
    from offload import api
    from offload.artifacts.workspace import Workspace
    from offload.reports.picture import check_picture_file

    terminal: Terminal = context.obj
    if picture is not None:
        check_picture_file(picture, force=force)
    request = api.CodecBenchRequest(
        model=model,
        data=data,
        task=task.value if task else None,
        at=tuple(name for each in at for name in each.split(",") if name) if at else None,
        codecs=None if codecs == "all" else tuple(name.strip() for name in codecs.split(",") if name.strip()),
        seeds=seeds,
        train=train,
        examples=examples,
        quick=quick,
        threads=threads,
        uplink_bps=parse_rate(bw) if bw else None,
        link=artifact_file(link, "--link", "link"),
        inputs=parse_inputs(inputs),
        weights=weights,
    )
    delivery = Delivery(
        terminal=terminal, workspace=Workspace(), output=output, force=force, form=chosen_format(form, json)
    )
    artifact = delivery.make(api.bench_codecs, request)
    delivery.deliver(artifact, name=artifact.model.name)
    if picture is not None:
        from offload.reports.codec_bench import codec_bench_picture
        from offload.reports.picture import write_picture

        write_picture(codec_bench_picture(artifact), picture)
        terminal.note(f"drawn in {picture}")
    if artifact.stopped == "interrupted":
        raise typer.Exit(130)
    terminal.note("next: offload plan --planner deepcod --max-accuracy-loss 1%")
