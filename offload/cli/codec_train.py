"""`offload codec train`: learn how one tensor of a model crosses in few bytes."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.delivery import check_writable
from offload.cli.options import (
    Format,
    FormatOption,
    InputsOption,
    JsonOption,
    TaskName,
    WeightsOption,
    chosen_format,
)
from offload.cli.profile import parse_inputs
from offload.cli.terminal import ConsoleProgress, Terminal

if TYPE_CHECKING:
    from offload import api


class Learned(StrEnum):
    """What can be trained."""

    DEEPCOD = "deepcod"
    ENTROPIC = "entropic"
    AUTOENCODER = "autoencoder"


def train(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As for `offload profile`.")],
    at: Annotated[
        list[str],
        typer.Option(metavar="LAYER[,LAYER…]", help="Layers or tensors to cut behind, or input; a codec each."),
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="digits-in-clutter, spoken-digits, a folder of images or parquet files, FILE.npz, or "
            "package.module:callable.",
        ),
    ],
    codec: Annotated[Learned, typer.Option(help="What to train.")] = Learned.DEEPCOD,
    ratio: Annotated[
        float | None,
        typer.Option(
            metavar="R", help="Payload bits against the tensor's float32 bits, as 0.01; the paper's if left out."
        ),
    ] = None,
    task: Annotated[
        TaskName | None, typer.Option(help="What the answers are; what the data have labels for if left out.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Passes over the training examples; those of 1500 steps if left out."),
    ] = None,
    batch: Annotated[int, typer.Option(min=2, metavar="N", help="Examples in one step.")] = 32,
    lr: Annotated[
        float, typer.Option(min=0.0, metavar="RATE", help="Learning rate at first; it falls to 0. The paper's is 1e-4.")
    ] = 2e-3,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of weights and order.")] = 0,
    distillation: Annotated[
        bool, typer.Option("--distillation/--no-distillation", help="Whether to teach the intact model's answers.")
    ] = True,
    labels: Annotated[
        bool, typer.Option("--labels", help="Teach the data's own labels, too; they are not needed otherwise.")
    ] = False,
    random_encoder: Annotated[
        bool, typer.Option("--random-encoder", help="Leave the encoder as it is drawn, to see what training it gains.")
    ] = False,
    orthogonality: Annotated[
        float, typer.Option(min=0.0, metavar="WEIGHT", help="Of |W'W - I|^2 of DeepCOD's encoder in the loss.")
    ] = 0.0,
    patience: Annotated[
        int, typer.Option(min=1, metavar="N", help="Stop after so many epochs without a lower validation loss.")
    ] = 5,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last epoch that was kept.")] = False,
    device: Annotated[str, typer.Option(metavar="NAME", help="What trains: cpu, cuda or cuda:1.")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads; all physical cores if left out.")
    ] = None,
    inputs: InputsOption = None,
    weights: WeightsOption = None,
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be trained.")] = False,
) -> None:
    """Train codecs for the tensors that cross a model's cuts; under torchrun by several processes."""
    from offload import api
    from offload.artifacts.workspace import Workspace
    from offload.reports.render import render_report
    from offload.reports.trained_codecs import codecs_report

    terminal: Terminal = context.obj
    form = chosen_format(form, json)
    request = api.CodecTrainRequest(
        model=model,
        data=data,
        at=tuple(name for names in at for name in names.split(",") if name),
        codec=codec.value,
        ratio=ratio,
        task=task.value if task else None,
        epochs=epochs,
        batch=batch,
        learning_rate=lr,
        seed=seed,
        distilled=distillation,
        labelled=labels,
        encoder_trained=not random_encoder,
        orthogonality=orthogonality,
        patience=patience,
        resume=resume,
        device=device,
        threads=threads,
        inputs=parse_inputs(inputs),
        weights=weights,
    )
    workspace, progress = Workspace(), ConsoleProgress(terminal)
    if dry_run:
        outlooks = api.train_outlook(request, workspace=workspace, progress=progress)
        terminal.result("\n".join(_intention(outlook, request) for outlook in outlooks))
        return
    check_writable(workspace.root)
    try:
        trained = api.train_codecs(request, workspace=workspace, progress=progress)
    finally:
        progress.finish()
    if not trained:  # one of torchrun's other processes
        return
    report = codecs_report((files.folder.name, files.manifest) for files in trained)
    terminal.result(render_report(report, form.value, width=terminal.width, color=terminal.color(sys.stdout)))
    for files in trained:
        terminal.note(f"written to {files.folder}")
    if trained[-1].manifest.training.stopped == "interrupted":
        terminal.note("interrupted: the best epoch was kept; the same command with --resume goes on")
        raise typer.Exit(130)
    terminal.note(f"next: offload codec bench {model} --data {data}")


def _intention(outlook: api.CodecOutlook, request: api.CodecTrainRequest) -> str:
    tensor, symbols = ("x".join(map(str, shape)) for shape in (outlook.tensor_shape, outlook.symbols_shape))
    size = "range coded" if outlook.payload_bytes is None else f"{outlook.payload_bytes} B with the header"
    return (
        f"would train {request.codec} at {outlook.layer}: {tensor} float32 to symbols {symbols} of {outlook.levels} "
        f"levels, {size}, ratio {outlook.ratio:.3g}\n"
        f"  encoder of {outlook.encoder_parameters} parameters, decoder of {outlook.decoder_parameters}; "
        f"{outlook.examples} examples, {outlook.epochs} epochs of {outlook.steps // outlook.epochs} steps "
        f"on {request.device}"
    )
