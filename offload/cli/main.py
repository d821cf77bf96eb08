"""The `offload` command: its verbs, its global options, and how every failure ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated

import typer

from offload.cli import failures
from offload.cli.calibrate import calibrate
from offload.cli.codec import codec_group
from offload.cli.devices import devices
from offload.cli.fit import fit
from offload.cli.import_verb import import_
from offload.cli.link import link
from offload.cli.models import models
from offload.cli.plan import plan
from offload.cli.profile import profile
from offload.cli.reproduce import reproduce
from offload.cli.run import run
from offload.cli.serve import serve
from offload.cli.simulate import simulate
from offload.cli.terminal import Terminal
from offload.cli.verify import verify
from offload.cli.video import video_group
from offload.version import __version__

GLOBAL_FLAGS = ("-q", "--quiet", "-v", "--verbose", "--no-color")
_EPILOG = "Global options (-q, -v, --no-color) may stand here too; offload --help explains them."

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for verb in (profile, link, plan, serve, verify, run, simulate, models, devices, calibrate, fit, reproduce):
    app.command(epilog=_EPILOG)(verb)
app.command("import", epilog=_EPILOG)(import_)
app.add_typer(codec_group(_EPILOG), name="codec")
app.add_typer(video_group(_EPILOG), name="video")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"offload {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 an error you can mend, 2 usage, 3 a bug, 4 the answer is no, 130 interrupted."
)
def _offload(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tracebacks with errors.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR in the environment too.")] = False,
) -> None:
    """Decide whether, where and in what form to offload a neural network, and prove it.

    The usual order: profile a model, plan where to cut it, verify the plan over a real connection.
    """
    terminal: Terminal = context.obj
    terminal.quiet, terminal.verbose, terminal.no_color = quiet, verbose, no_color
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code and raises nothing.

    Args:
        arguments: What follows the program's name; None takes the process's own.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC writes its own lines to stderr beside our error
    terminal = Terminal()
    if arguments is None:  # being told to end keeps what was measured and leaves no child, as Ctrl-C does
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = app(
            args=_global_flags_first(sys.argv[1:] if arguments is None else arguments),
            prog_name="offload",
            standalone_mode=False,
            obj=terminal,
        )
    except (Exception, KeyboardInterrupt) as error:
        return failures.report(error, terminal)
    if code == failures.INTERRUPTED:
        terminal.error("interrupted")
    return int(code or 0)


def _global_flags_first(arguments: Sequence[str]) -> list[str]:
    """The arguments with the global flags before the verb, wherever they stood."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    flags = [each for each in arguments[:end] if each in GLOBAL_FLAGS]
    return [*flags, *(each for each in arguments[:end] if each not in GLOBAL_FLAGS), *arguments[end:]]
