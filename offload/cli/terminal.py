"""The one place that writes: results on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from offload.errors import OffloadError

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_WIDTH_OF_A_FILE = 200
_BESIDE_DETAIL = 56
"""Columns that a task's name, its bar, its share and the time left take."""
_LONGEST_LINE = 1500
"""Characters of an error or its hint; a file may hold names of any length."""
_CONTROL = re.compile(r"\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_CONTROL_BUT_COLOR = re.compile(rf"(\x1b\[[0-9;]*m)|{_CONTROL.pattern}")
"""What a terminal obeys rather than shows: names in files may hold it, and what we write never does but for colours."""
_NOT_SHOWN = "\N{REPLACEMENT CHARACTER}"


@dataclass(kw_only=True)
class Terminal:
    """What the user asked of the output, and the streams it goes to."""

    quiet: bool = False
    """No progress and no notes; warnings and errors stay."""
    verbose: bool = False
    """Tracebacks with errors."""
    no_color: bool = False

    def color(self, stream: TextIO) -> bool:
        """Whether to write colours to a stream: a terminal that understands them, and nobody said no."""
        refused = self.no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return not refused and stream.isatty()

    @property
    def width(self) -> int:
        """Columns of stdout; wide enough for any table when it is not a terminal."""
        return shutil.get_terminal_size(fallback=(_WIDTH_OF_A_FILE, 24)).columns

    def result(self, text: str) -> None:
        """Write a result to stdout; a reader that has gone away is not an error.

        Raises:
            OffloadError: stdout cannot be written to, for example because the disk is full.
        """
        if self.color(sys.stdout):
            text = _CONTROL_BUT_COLOR.sub(lambda found: found[1] or _NOT_SHOWN, text)
        else:
            text = _plain(text)
        try:
            sys.stdout.write(text if text.endswith("\n") else text + "\n")
            sys.stdout.flush()
        except OSError as error:
            _discard_stdout()
            if error.errno != errno.EPIPE:
                raise OffloadError(
                    f"cannot write the result: {error.strerror}", hint="free some space, or write it elsewhere"
                ) from error

    def note(self, message: str) -> None:
        """A line for the user on stderr; silent under `--quiet`."""
        if not self.quiet:
            print(_plain(message), file=sys.stderr)

    def warn(self, message: str) -> None:
        """A reason to trust the result less, on stderr."""
        print(self._styled("warning:", "33"), _plain(message), file=sys.stderr)

    def error(self, message: str, hint: str = "") -> None:
        """An error and its hint on stderr, one line each, with the traceback under `--verbose`."""
        if self.verbose and sys.exc_info()[0] is not None:
            traceback.print_exc()
        print(self._styled("error:", "31"), _one_line(message), file=sys.stderr)
        if hint:
            print(self._styled("hint:", "36"), _one_line(hint), file=sys.stderr)

    def _styled(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.color(sys.stderr) else text


class ConsoleProgress:
    """Draws progress on stderr: a bar with the time left on a terminal, plain lines elsewhere.

    While a bar is drawn rich puts whatever else is written to sys.stderr above it, so notes are plain writes.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._bar: Bar | None = None

    def start(self, task: str, total: float | None = None) -> None:
        """A new task begins; `total` is in the task's own steps, None when unknown."""
        self.finish()
        if self._terminal.quiet:
            return
        if sys.stderr.isatty():
            self._bar = _bar(self._terminal.color(sys.stderr))
            self._bar.add_task(task, total=total, detail="")
            self._bar.start()
        else:
            self._terminal.note(f"{task} …")

    def advance(self, steps: float = 1.0, *, total: float | None = None) -> None:
        """`steps` more are done; `total` replaces an earlier estimate."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], advance=steps, total=total)

    def detail(self, words: str) -> None:
        """What the current task has done so far; drawn behind the bar, as far as there is room."""
        if self._bar is not None:
            room = max(1, self._bar.console.width - _BESIDE_DETAIL)
            shown = words if len(words) <= room else words[: room - 1] + "…"
            self._bar.update(self._bar.task_ids[0], detail=shown)

    def note(self, message: str) -> None:
        """A sentence the user should see."""
        self._terminal.note(message)

    def warn(self, message: str) -> None:
        """A reason to trust the result less."""
        self._terminal.warn(message)

    def finish(self) -> None:
        """The current task is over; nothing happens when there is none."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _bar(color: bool) -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column

    console = Console(stderr=True, no_color=not color, highlight=False)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False, table_column=Column(no_wrap=True)),
        console=console,
        transient=True,
    )


def _plain(words: str) -> str:
    """Words that may hold names from a file, without what a terminal would obey."""
    return _CONTROL.sub(_NOT_SHOWN, words)


def _one_line(words: str) -> str:
    """The same on one line that is not a page long."""
    line = _plain(" ".join(words.split()))
    return line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + " …"


def _discard_stdout() -> None:
    """Send what is left in the buffer nowhere, so that the interpreter's last flush does not fail again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
