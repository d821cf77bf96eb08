"""`offload serve`: run tails for other devices."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.options import existing_file
from offload.cli.terminal import ConsoleProgress, Terminal
from offload.errors import UsageError
from offload.units import parse_duration, parse_size

if TYPE_CHECKING:
    from offload.serving.own_models import OwnModel


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Port; 0 takes any free one.")] = 8001,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads; all physical cores if left out.")
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="A torch model to serve tails of: a built-in name, package.module:callable, torchvision:NAME or "
            "timm:NAME; repeatable.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="What runs each --model: cpu (the default), cuda or cuda:N.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="NAME", help="Type of each --model: fp32 (the default), fp16 or bf16.")
    ] = None,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Keep each --model's images with channels innermost.")
    ] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile each tail of a --model as a whole.")] = False,
    batch: Annotated[int | None, typer.Option(min=1, metavar="N", help="Inputs in one run of each --model.")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=SHAPE", help="An input's shape of the only --model; repeatable."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights of the only --model, safetensors.")
    ] = None,
    max_upload: Annotated[str, typer.Option(metavar="SIZE", help="Largest model a client may upload.")] = "1GiB",
    max_loaded: Annotated[
        str, typer.Option(metavar="SIZE", help="Uploads and tails that clients may have loaded at once, together.")
    ] = "4GiB",
    idle_unload: Annotated[
        str, typer.Option(metavar="TIME", help="Unload what no client has used for so long; 0s never does.")
    ] = "30min",
    token: Annotated[
        str | None,
        typer.Option(envvar="OFFLOAD_TOKEN", metavar="TEXT", help="What clients must present."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen beyond this machine without a token and TLS.")
    ] = False,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key, PEM.")] = None,
) -> None:
    """Serve models to other devices over the Open Inference Protocol v2 (gRPC) until stopped."""
    from offload.environment import chosen_threads
    from offload.serving import server
    from offload.serving.addresses import format_address
    from offload.serving.upload import UploadLimits

    terminal: Terminal = context.obj
    own = _own_models(
        models or [],
        device=device,
        dtype=dtype,
        channels_last=channels_last,
        compiled=compiled,
        batch=batch,
        inputs=inputs or [],
        weights=existing_file(weights, "--weights"),
    )
    settings = server.ServeSettings(
        host=host,
        port=port,
        threads=chosen_threads(threads),
        token=token,
        tls_cert=str(tls_cert) if existing_file(tls_cert, "--tls-cert") else None,
        tls_key=str(tls_key) if existing_file(tls_key, "--tls-key") else None,
        insecure=insecure,
        limits=UploadLimits(max_upload_bytes=parse_size(max_upload), max_total_bytes=parse_size(max_loaded)),
        models=own,
        idle_unload_s=parse_duration(idle_unload),
    )

    def ready(port: int) -> None:
        plural = "s" if settings.threads > 1 else ""
        terminal.note(
            f"listening on {format_address(host, port)} with {settings.threads} thread{plural}; Ctrl-C stops it"
        )
        everywhere = host in ("0.0.0.0", "::")  # noqa: S104  compared, not bound
        address = format_address(socket.gethostname() if everywhere else host, port)
        flags = f"{' --token TEXT' if token else ''}{' --tls-ca FILE' if tls_cert else ''}"
        what = _as_profiled(own[0]) if own else "MODEL"
        terminal.note(f"next: offload profile {what} --on {address}{flags}")

    server.serve(settings, ConsoleProgress(terminal), ready)


def _as_profiled(own: OwnModel) -> str:
    """The very same model as `offload profile` takes it."""
    from offload.models.inputs import format_shape

    shapes = (f"--input {name}{'=' if name else ''}{format_shape(shape)}" for name, shape in own.inputs.items())
    options = (
        *([f"--dtype {own.dtype}"] if own.dtype != "fp32" else []),
        *([f"--batch {own.batch}"] if own.batch != 1 else []),
        *shapes,
        *(["--weights FILE"] if own.weights else []),
    )
    return " ".join((own.spec, "--runtime torch", *options))


def _own_models(
    specs: list[str],
    *,
    device: str | None,
    dtype: str | None,
    channels_last: bool,
    compiled: bool,
    batch: int | None,
    inputs: list[str],
    weights: Path | None,
) -> tuple[OwnModel, ...]:
    from offload.models.inputs import parse_input_shape
    from offload.serving.own_models import OwnModel

    given = {
        "--device": device, "--dtype": dtype, "--channels-last": channels_last, "--compile": compiled,
        "--batch": batch, "--input": inputs, "--weights": weights,
    }  # fmt: skip
    named = [option for option, value in given.items() if value]
    if named and not specs:
        raise UsageError(
            f"{named[0]} is for models that the server is started with, and none is",
            hint="add --model NAME; what clients upload runs in ONNX Runtime on the CPU",
        )
    own = [option for option in named if option in ("--input", "--weights")]
    if own and len(specs) > 1:
        raise UsageError(f"{own[0]} does not say for which --model it is", hint="start one server for each such model")
    shapes = [parse_input_shape(text) for text in inputs]
    if len(shapes) != len(dict(shapes)):
        raise UsageError("--input names the same input twice", hint="give each input one shape")
    return tuple(
        OwnModel(
            spec=spec,
            device=device or "cpu",
            dtype=dtype or "fp32",
            channels_last=channels_last,
            compiled=compiled,
            batch=batch or 1,
            inputs=dict(shapes),
            weights=str(weights.resolve()) if weights else None,
        )
        for spec in specs
    )
