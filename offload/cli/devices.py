"""`offload devices`: the presets, by what is published of each."""

from __future__ import annotations

import sys

import typer

from offload.cli.options import Format, FormatOption, JsonOption, chosen_format
from offload.cli.terminal import Terminal


def devices(context: typer.Context, form: FormatOption = Format.TABLE, json: JsonOption = False) -> None:
    """List the presets: devices and servers by their published rates."""
    from offload.predictors.presets import presets
    from offload.reports.presets import presets_report
    from offload.reports.render import render_report

    terminal: Terminal = context.obj
    report = presets_report(presets().values())
    color = terminal.color(sys.stdout)
    terminal.result(render_report(report, chosen_format(form, json).value, width=terminal.width, color=color))
    terminal.note("next: offload profile MODEL --predict NAME, or offload plan --server NAME")
