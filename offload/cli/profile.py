"""`offload profile`: measure what each layer of a model costs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.delivery import Delivery
from offload.cli.options import (
    AllLayersOption,
    BatchOption,
    ForceOption,
    Format,
    FormatOption,
    IdlePowerOption,
    InputsOption,
    JsonOption,
    OutputOption,
    PlotOption,
    PowerOption,
    TlsCaOption,
    TokenOption,
    WeightsOption,
    chosen_format,
    existing_file,
)
from offload.cli.profile_clip import given, profile_clip
from offload.cli.terminal import Terminal
from offload.errors import UsageError
from offload.units import format_duration, parse_duration, parse_fraction, parse_power

if TYPE_CHECKING:
    from offload import api


class RuntimeChoice(StrEnum):
    """What can run a model."""

    ONNXRUNTIME = "onnxruntime"
    TORCH = "torch"


class Dtype(StrEnum):
    """What a model's weights and tensors can be cast to."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"


class MeterChoice(StrEnum):
    """What can measure energy."""

    AUTO = "auto"
    NVML = "nvml"
    RAPL = "rapl"
    JETSON = "jetson"
    NONE = "none"


class PredictorChoice(StrEnum):
    """What can tell times from fitted costs."""

    FITTED = "fitted"
    NEUROSURGEON = "neurosurgeon"


def profile(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A built-in name (offload models), FILE.onnx, package.module:callable, torchvision:NAME or timm:NAME; "
            "with --detector a video, or a folder of frames.",
        ),
    ],
    device: Annotated[str, typer.Option(metavar="NAME", help="What runs the model: cpu, cuda or cuda:1.")] = "cpu",
    runtime: Annotated[
        RuntimeChoice | None, typer.Option(help="What runs it by; chosen by the model and the device if left out.")
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="Cast weights and tensors; fp16 and bf16 on torch.")] = Dtype.FP32,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Keep images with channels innermost, on torch.")
    ] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the model as a whole, on torch.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads; all physical cores if left out.")
    ] = None,
    batch: BatchOption = 1,
    inputs: InputsOption = None,
    precision: Annotated[str, typer.Option(metavar="PERCENT", help="Stop when the interval is this narrow.")] = "2%",
    max_time: Annotated[str, typer.Option(metavar="TIME", help="Stop after this long.")] = "60s",
    power: PowerOption = None,
    idle_power: IdlePowerOption = None,
    meter: Annotated[
        MeterChoice | None, typer.Option(help="What measures energy; auto takes what fits the device.")
    ] = None,
    weights: WeightsOption = None,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Profile on that offload server, not here; of a clip, time crops there."
        ),
    ] = None,
    predict: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Run nothing: tell it from a preset (offload devices) or a costs file."),
    ] = None,
    predictor: Annotated[
        PredictorChoice, typer.Option(help="What tells times in a costs file: the best form, or the paper's.")
    ] = PredictorChoice.FITTED,
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="D", help="Profile a clip with this detector: digits, digits-tiny, FILE.onnx (docs/detectors.md)."
        ),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A clip's ground truth; CLIP.truth.json if it is there.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a clip's profile that was interrupted, rather than anew.")
    ] = False,
    servers: Annotated[int, typer.Option(metavar="N", help="Servers that a clip is divided among, at most.")] = 4,
    frames: Annotated[int, typer.Option(metavar="N", help="Frames of a clip, from its beginning, at most.")] = 45,
    plot: PlotOption = None,
    token: TokenOption = None,
    tls_ca: TlsCaOption = None,
    all_layers: AllLayersOption = False,
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
    output: OutputOption = None,
    force: ForceOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and how long it takes.")] = False,
) -> None:
    """Measure what each layer of a model costs on this machine, or on a server; or predict it."""
    from offload import api
    from offload.artifacts.workspace import Workspace

    terminal: Terminal = context.obj
    workspace = Workspace()
    delivery = Delivery(
        terminal=terminal, workspace=workspace, output=output, force=force, form=chosen_format(form, json)
    )
    if detector is not None:
        profile_clip(
            context, delivery, clip=model, detector=detector, truth=truth, servers=servers, frames=frames,
            threads=threads, on=on, resume=resume, token=token, tls_ca=tls_ca, plot=plot, dry_run=dry_run,
        )  # fmt: skip
        return
    _refuse_those_of_clips(context)
    request = api.ProfileRequest(
        model=model,
        inputs=parse_inputs(inputs),
        batch=batch,
        weights=existing_file(weights, "--weights"),
        device=device,
        runtime=runtime.value if runtime else None,
        dtype=dtype.value,
        channels_last=channels_last,
        compiled=compiled,
        threads=threads,
        precision=parse_fraction(precision),
        max_time_s=parse_duration(max_time),
        power_w=parse_power(power) if power else None,
        idle_power_w=parse_power(idle_power) if idle_power else None,
        meter=meter.value if meter else None,
        on=on,
        predict=predict,
        predictor=predictor.value,
        token=token,
        tls_ca=existing_file(tls_ca, "--tls-ca"),
    )
    if not request.max_time_s:
        raise UsageError("--max-time 0 leaves no time to measure", hint="write it like --max-time 60s")
    if dry_run:
        terminal.result(_intention(request, output or workspace.root))
        return
    artifact = delivery.make(api.profile, request)
    path = delivery.deliver(artifact, name=artifact.model.name, all_layers=all_layers)
    if artifact.stopped == "interrupted":
        raise typer.Exit(130)
    if artifact.measured_on is not None:
        named = f" --server {path or 'FILE'}"
    else:
        named = f" --profile {path}" if path and output else ""
    terminal.note(f"next: offload plan{named} --bw 450mbps")


def _refuse_those_of_clips(context: typer.Context) -> None:
    for name in ("truth", "servers", "frames", "resume", "plot"):
        if given(context, name):
            raise UsageError(f"--{name} is about clips", hint="add --detector digits")


def _intention(request: api.ProfileRequest, destination: Path) -> str:
    if request.predict is not None:
        return (
            f"would tell what {request.model}, batch {request.batch}, takes from {request.predict}, running nothing\n"
            f"and write the profile to {destination}\n"
        )
    where = f"on the server {request.on}" if request.on else f"on this machine's {request.device}"
    threads = (
        f"{request.threads} thread{'s' if request.threads != 1 else ''}" if request.threads else "all physical cores"
    )
    return (
        f"would profile {request.model}, batch {request.batch}, {where} with {threads}\n"
        f"until the 95 % interval is within {request.precision * 100:g} % of the median either way, "
        f"or for {format_duration(request.max_time_s)} at most, beside loading the model\n"
        f"{_energy(request)}"
        f"and write the profile to {destination}\n"
    )


def _energy(request: api.ProfileRequest) -> str:
    if request.power_w is not None:
        return f"with its energy modelled from {request.power_w:g} W\n"
    if request.meter == "none" or request.on:
        return ""
    return f"then its energy by --meter {request.meter or 'auto'}, for about half as long, if there is such a meter\n"


def parse_inputs(texts: list[str] | None) -> dict[str, tuple[int, ...]]:
    """The shapes of `--input`, by the names of inputs.

    Raises:
        UsageError: a text is no NAME=SHAPE, or two are about the same input.
    """
    from offload.models.inputs import parse_input_shape

    shapes = [parse_input_shape(text) for text in texts or ()]
    if len(dict(shapes)) != len(shapes):
        raise UsageError("--input names the same input twice", hint="give each input one shape")
    return dict(shapes)
