"""`offload serve`: run tails for other devices."""

from __future__ import annotations

import socket
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
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads; all physical cores if left out.")
    ] = None,
    max_upload: Annotated[str, typer.Option(metavar="SIZE", help="Largest model a client may upload.")] = "1GiB",
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
    from offload.environment import physical_cores
    from offload.serving import server
    from offload.serving.addresses import format_address
    from offload.serving.upload import UploadLimits

    terminal: Terminal = context.obj
    settings = server.ServeSettings(
        host=host,
        port=port,
        threads=threads or physical_cores(),
        token=token,
        tls_cert=str(tls_cert) if existing_file(tls_cert, "--tls-cert") else None,
        tls_key=str(tls_key) if existing_file(tls_key, "--tls-key") else None,
        insecure=insecure,
        limits=UploadLimits(max_upload_bytes=parse_size(max_upload)),
    )

    def ready(port: int) -> None:
        plural = "s" if settings.threads > 1 else ""
        terminal.note(
            f"listening on {format_address(host, port)} with {settings.threads} thread{plural}; Ctrl-C stops it"
        )
        everywhere = host in ("0.0.0.0", "::")  # noqa: S104  compared, not bound
        address = format_address(socket.gethostname() if everywhere else host, port)
        flags = f"{' --token TEXT' if token else ''}{' --tls-ca FILE' if tls_cert else ''}"
        terminal.note(f"next: offload profile MODEL --on {address}{flags}")

    server.serve(settings, ConsoleProgress(terminal), ready)
