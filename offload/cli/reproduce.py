"""`offload reproduce`: make a paper's decisions again and put them beside what it published."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from offload.cli.delivery import Delivery
from offload.cli.options import ForceOption, Format, FormatOption, JsonOption, OutputOption, chosen_format
from offload.cli.terminal import Terminal


class Paper(StrEnum):
    """What can be reproduced."""

    NEUROSURGEON = "neurosurgeon"


class ReproducedTarget(StrEnum):
    """What the paper makes least."""

    LATENCY = "latency"
    ENERGY = "energy"


def reproduce(
    context: typer.Context,
    paper: Annotated[Paper, typer.Argument(metavar="PAPER", help="neurosurgeon.")],
    target: Annotated[ReproducedTarget, typer.Option(help="What to make least.")] = ReproducedTarget.LATENCY,
    network: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this one of the paper's; repeatable.")
    ] = None,
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Make a paper's decisions again, and put them beside what it published."""
    from offload import api
    from offload.artifacts.workspace import Workspace

    terminal: Terminal = context.obj
    request = api.ReproduceRequest(paper=paper.value, target=target.value, networks=tuple(network or ()))
    workspace = Workspace()
    delivery = Delivery(
        terminal=terminal, workspace=workspace, output=output, force=force, form=chosen_format(form, json)
    )
    artifact = delivery.make(api.reproduce, request)
    delivery.deliver(artifact, name=paper.value)
    terminal.note("next: offload plan --planner maui, or neurosurgeon, on a model of yours")
