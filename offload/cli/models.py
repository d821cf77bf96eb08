"""`offload models`: the networks that come with the program."""

from __future__ import annotations

import sys

import typer

from offload.cli.options import Format, FormatOption, JsonOption, chosen_format
from offload.cli.terminal import Terminal


def models(context: typer.Context, form: FormatOption = Format.TABLE, json: JsonOption = False) -> None:
    """List the built-in networks."""
    from offload.models.zoo.catalogue import CATALOGUE
    from offload.reports.models import models_report
    from offload.reports.render import render_report

    terminal: Terminal = context.obj
    report = models_report((entry.name, entry.input_shape, entry.description) for entry in CATALOGUE.values())
    color = terminal.color(sys.stdout)
    terminal.result(render_report(report, chosen_format(form, json).value, width=terminal.width, color=color))
    terminal.note("next: offload profile NAME")
