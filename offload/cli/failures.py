"""How every failure is told: one line, a hint, and an exit code."""

from __future__ import annotations

import errno

import typer

from offload.cli.terminal import Terminal
from offload.errors import OffloadError
from offload.version import __version__

BUG = 3
INTERRUPTED = 130


def report(error: BaseException, terminal: Terminal) -> int:
    """Tell the user what happened; returns the exit code."""
    if isinstance(error, KeyboardInterrupt):
        terminal.error("interrupted")
        return INTERRUPTED
    if isinstance(error, typer.TyperException):
        terminal.error(error.format_message().replace("Value error, ", ""), hint=_usage_hint(error))
        return error.exit_code
    known = error if isinstance(error, OffloadError) else _known(error)
    if known is not None:
        terminal.error(known.message, hint=known.hint)
        return known.exit_code
    terminal.error(
        f"this is a bug in offload {__version__}: {type(error).__name__}: {error}",
        hint="tell the project's issue tracker, with the command and "
        + ("the traceback above" if terminal.verbose else "what it prints when -v is added"),
    )
    return BUG


def _known(error: BaseException) -> OffloadError | None:
    """What the user can mend although no part of the program foresaw where it would happen."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" while writing {error.filename}" if error.filename else ""
        return OffloadError(f"{error.strerror}{where}", hint="free some space, or set OFFLOAD_HOME or TMPDIR elsewhere")
    if isinstance(error, MemoryError) or _is_torchs_memory_error(error):
        return OffloadError("out of memory", hint="use a smaller model, input or --batch")
    return None


def _is_torchs_memory_error(error: BaseException) -> bool:
    """Whether a GPU's or a processor's memory ran out in torch, which is not imported to find out."""
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)


def _usage_hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path} --help" if context is not None else "see offload --help"
