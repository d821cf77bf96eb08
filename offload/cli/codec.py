"""`offload codec`: codecs for the tensor that crosses a cut, trained, measured and listed."""

from __future__ import annotations

import typer

from offload.cli.codec_bench import bench
from offload.cli.codec_list import list_
from offload.cli.codec_show import show
from offload.cli.codec_train import train


def codec_group(epilog: str) -> typer.Typer:
    """The group with its verbs.

    Args:
        epilog: What stands under the help of each.
    """
    group = typer.Typer(
        rich_markup_mode=None,
        epilog=epilog,
        help="Codecs for the tensor that crosses a cut: train, bench, list and show them.",
    )
    group.command(epilog=epilog)(train)
    group.command(epilog=epilog)(bench)
    group.command("list", epilog=epilog)(list_)
    group.command(epilog=epilog)(show)
    return group
