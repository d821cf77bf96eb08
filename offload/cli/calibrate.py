"""`offload calibrate`: scale a preset to latencies that are known of the device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from offload.cli.delivery import Delivery
from offload.cli.options import ForceOption, Format, FormatOption, JsonOption, OutputOption, chosen_format
from offload.cli.terminal import Terminal
from offload.errors import UsageError
from offload.units import parse_duration


def calibrate(
    context: typer.Context,
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="One of offload devices.")],
    latency: Annotated[
        list[str],
        typer.Option(metavar="MODEL=TIME", help="A whole run's latency known of it, as alexnet=80ms; repeatable."),
    ],
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Inputs in one run, of each of them.")] = 1,
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Scale a preset to latencies that are known of the device."""
    from offload import api
    from offload.artifacts.workspace import Workspace

    terminal: Terminal = context.obj
    request = api.CalibrateRequest(preset=preset, latencies_s=parse_latencies(latency), batch=batch)
    workspace = Workspace()
    delivery = Delivery(
        terminal=terminal, workspace=workspace, output=output, force=force, form=chosen_format(form, json)
    )
    artifact = delivery.make(api.calibrate, request)
    path = delivery.deliver(artifact, name=artifact.base)
    terminal.note(f"next: offload profile MODEL --predict {path or 'FILE'}")


def parse_latencies(texts: Iterable[str]) -> tuple[tuple[str, float], ...]:
    """Models and seconds, from texts such as `alexnet=80ms`.

    Raises:
        UsageError: a text of another form, or a latency that cannot be.
    """
    found = []
    for text in texts:
        model, _, known = text.rpartition("=")
        if not model:
            raise UsageError(f"--latency {text}: not a model and a time", hint="write it like --latency alexnet=80ms")
        seconds = parse_duration(known)
        if not seconds:
            raise UsageError(f"--latency {text}: nothing takes no time", hint="write it like --latency alexnet=80ms")
        found.append((model, seconds))
    return tuple(found)
