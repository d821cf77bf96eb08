"""`offload video`: clips to measure with."""

from __future__ import annotations

import typer

from offload.cli.video_draw import draw
from offload.cli.video_make import make
from offload.cli.video_train_predictor import train_predictor


def video_group(epilog: str) -> typer.Typer:
    """The group with its verbs.

    Args:
        epilog: What stands under the help of each.
    """
    group = typer.Typer(
        rich_markup_mode=None, epilog=epilog, help="Clips of moving objects: make them, learn from them, look at runs."
    )
    group.command(epilog=epilog)(make)
    group.command("train-predictor", epilog=epilog)(train_predictor)
    group.command(epilog=epilog)(draw)
    return group
