"""`offload codec show`: what one trained codec is, and what it reached."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from offload.cli.options import Format, FormatOption, JsonOption, chosen_format
from offload.cli.terminal import Terminal


def show(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name of `offload codec list`, deepcod@ID, an ID, or a folder.")
    ],
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Show a trained codec, its files checked."""
    from offload import api
    from offload.artifacts.workspace import Workspace
    from offload.reports.render import render

    terminal: Terminal = context.obj
    files = api.show_codec(name, Workspace())
    color = terminal.color(sys.stdout)
    terminal.result(render(files.manifest, chosen_format(form, json).value, width=terminal.width, color=color))
    terminal.note(f"in {files.folder}")
    terminal.note("next: offload codec bench MODEL --data DATA")
