"""`offload serve`: run tails for other devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offload.cli.options import existing_file
from offload.cli.terminal import ConsoleProgress, Terminal
from offload.units import parse_size


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Port; 0 takes any free one.")] = 8001,
    threads: Annotated[int | None, typer.Option(min=1, metavar="N", help="Threads; all physical cores if left out.")] = None,
    max_upload: Annotated[str, typer.Option(metavar="SIZE", help="Largest model a client may upload.")] = "512MiB",
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
    from offload.serving.server import ServerSettings
    from offload.serving.server import serve as run

    terminal: Terminal = context.obj
    settings = ServerSettings(
        host=host,
        port=port,
        threads=threads,
        max_upload_bytes=parse_size(max_upload),
        token=token,
        insecure=insecure,
        tls_certificate=existing_file(tls_cert, "--tls-cert"),
        tls_key=existing_file(tls_key, "--tls-key"),
    )
    run(settings, progress=ConsoleProgress(terminal), ready=lambda address: terminal.note(f"listening on {address}"))
