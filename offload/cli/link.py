"""`offload link`: measure the link to a server."""

from __future__ import annotations

import json as json_format
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from offload.cli.terminal import Terminal
from offload.errors import OffloadError, UsageError
from offload.units import parse_duration, parse_size

if TYPE_CHECKING:
    from offload import api
    from offload.artifacts.workspace import Workspace

_RETRY_S = 1.0


def link(
    context: typer.Context,
    server: Annotated[str, typer.Argument(metavar="HOST:PORT", help="A running server.")],
    sizes: Annotated[
        str | None,
        typer.Option(metavar="SIZE,…", help="Message sizes, as 10kB,100kB,1MB; five that fit the link if left out."),
    ] = None,
    duration: Annotated[str, typer.Option(metavar="TIME", help="Measure for about this long.")] = "10s",
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, a line each time, until Ctrl-C.")] = False,
    token: TokenOption = None,
    tls_ca: TlsCaOption = None,
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Measure round trip, uplink and downlink to a server, by the path that requests take."""
    from offload import api
    from offload.artifacts.workspace import Workspace

    terminal: Terminal = context.obj
    request = api.LinkRequest(
        server=server,
        sizes_bytes=None if sizes is None else tuple(parse_size(text) for text in sizes.split(",")),
        duration_s=parse_duration(duration),
        token=token,
        tls_ca=existing_file(tls_ca, "--tls-ca"),
    )
    workspace = Workspace()
    form = chosen_format(form, json)
    if watch:
        if output is not None or form not in (Format.TABLE, Format.JSON):
            raise UsageError("--watch writes a line each time and keeps no artifact", hint="leave -o and --format out")
        _watch(request, terminal, workspace, as_json=form is Format.JSON)
        return
    delivery = Delivery(terminal=terminal, workspace=workspace, output=output, force=force, form=form)
    artifact = delivery.make(api.link, request)
    delivery.deliver(artifact, name=server)
    if artifact.stopped == "lost":
        terminal.warn(f"the connection was lost, what was measured before is kept: {artifact.failure}")
    if artifact.stopped == "interrupted":
        raise typer.Exit(130)
    named = f" --link {output}" if output and output != Path("-") else ""
    terminal.note(f"next: offload plan{named}")


def _watch(request: api.LinkRequest, terminal: Terminal, workspace: Workspace, *, as_json: bool) -> None:
    """A line for each measurement until interrupted; once there was one, a link that is down is only told of."""
    from offload import api
    from offload.reports.link import link_line, link_summary

    seen = False
    try:
        while True:
            try:
                artifact = api.link(request, workspace=workspace)
            except UsageError:
                raise
            except OffloadError as error:
                if not seen:
                    raise
                terminal.warn(error.message)
                time.sleep(_RETRY_S)
                continue
            seen = True
            terminal.result(json_format.dumps(link_summary(artifact)) if as_json else link_line(artifact))
            if artifact.stopped == "interrupted":
                return
    except KeyboardInterrupt:  # how a watch ends
        return
