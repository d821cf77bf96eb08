"""`offload codec list`: the trained codecs of the workspace."""

from __future__ import annotations

import sys

import typer

from offload.cli.options import Format, FormatOption, JsonOption, chosen_format
from offload.cli.terminal import ConsoleProgress, Terminal


def list_(context: typer.Context, form: FormatOption = Format.TABLE, json: JsonOption = False) -> None:
    """List the trained codecs of the workspace."""
    from offload import api
    from offload.artifacts.workspace import Workspace
    from offload.reports.render import render_report
    from offload.reports.trained_codecs import codecs_report

    terminal: Terminal = context.obj
    found = api.list_codecs(Workspace(), progress=ConsoleProgress(terminal))
    report = codecs_report((files.folder.name, files.manifest) for files in found)
    color = terminal.color(sys.stdout)
    terminal.result(render_report(report, chosen_format(form, json).value, width=terminal.width, color=color))
    terminal.note(
        "next: offload codec show NAME" if found else "next: offload codec train MODEL --at LAYER --data DATA"
    )
