"""`offload models`: the networks that come with the program, and what each costs."""

from __future__ import annotations

import sys

import typer

from offload.cli.options import Format, FormatOption, JsonOption, chosen_format
from offload.cli.terminal import Terminal


def models(context: typer.Context, form: FormatOption = Format.TABLE, json: JsonOption = False) -> None:
    """List the built-in networks."""
    from offload.models.zoo.catalogue import CATALOGUE
    from offload.reports.models import Network, models_report
    from offload.reports.render import render_report

    terminal: Terminal = context.obj
    report = models_report(
        Network(
            name=entry.name,
            input_shape=entry.input_shape,
            input_dtype=entry.input_dtype,
            layers=entry.layers,
            parameters=entry.parameters,
            flops=entry.flops,
            description=entry.description,
            trained=entry.trained,
        )
        for entry in CATALOGUE.values()
    )
    color = terminal.color(sys.stdout)
    terminal.result(render_report(report, chosen_format(form, json).value, width=terminal.width, color=color))
    terminal.note("next: offload profile NAME")
