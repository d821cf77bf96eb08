"""Options that several verbs share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from offload.errors import OffloadError, UsageError


class TaskName(StrEnum):
    """What the answers of labelled examples are."""

    CLASSIFICATION = "classification"
    CTC = "ctc"
    REGRESSION = "regression"
    DETECTION = "detection"


class Format(StrEnum):
    """How a result is written to stdout."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MD = "md"


FormatOption = Annotated[Format, typer.Option("--format", help="How to write the result to stdout.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Short for --format json.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the artifact here, not to the workspace; - is stdout."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the file of -o.")]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw what came of a clip, too: a .png, .svg or .html file."),
]
TokenOption = Annotated[
    str | None, typer.Option("--token", envvar="OFFLOAD_TOKEN", metavar="TEXT", help="The server's token.")
]

TlsCaOption = Annotated[
    Path | None, typer.Option("--tls-ca", metavar="FILE", help="Use TLS and trust this authority, PEM.")
]
BatchOption = Annotated[int, typer.Option(min=1, metavar="N", help="Inputs in one run.")]
InputsOption = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="NAME=SHAPE", help="An input's shape, as data=1x3x224x224; repeatable."),
]
WeightsOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Weights of a built-in model, safetensors.")]
PowerOption = Annotated[
    str | None, typer.Option(metavar="POWER", help="Power while computing, as 3.2W: models energy.")
]
IdlePowerOption = Annotated[
    str | None, typer.Option(metavar="POWER", help="Power while waiting, as 1.2W; measured if there is a meter.")
]
AllLayersOption = Annotated[bool, typer.Option("--all", help="Every layer, not the slowest ten.")]


def chosen_format(form: Format, json: bool) -> Format:
    """The format that `--format` and `--json` ask for together.

    Raises:
        UsageError: they contradict each other.
    """
    if json and form not in (Format.TABLE, Format.JSON):
        raise UsageError(f"--json and --format {form} exclude each other", hint="leave one out")
    return Format.JSON if json else form


def existing_file(path: Path | None, option: str) -> Path | None:
    """The path, when a file is there or none was given.

    Raises:
        OffloadError: nothing is there.
    """
    if path is not None and not path.exists():
        raise OffloadError(f"{option}: {path} is not there", hint="check the path")
    return path


def artifact_file(path: Path | None, option: str, kind: str) -> Path | None:
    """As `existing_file`, but None, for the newest plan, where `plan.json` is asked for and not there."""
    return None if path == Path(f"{kind}.json") and not path.exists() else existing_file(path, option)
