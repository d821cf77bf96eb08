"""Where a verb's artifact goes: to the workspace or a file, and as a report to stdout."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from offload.cli.options import Format
from offload.cli.terminal import ConsoleProgress, Terminal
from offload.errors import OffloadError

if TYPE_CHECKING:
    from offload.artifacts.base import Artifact
    from offload.artifacts.workspace import Workspace

_STDOUT = Path("-")
Made = TypeVar("Made", bound="Artifact")


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Where one artifact is to go."""

    terminal: Terminal
    workspace: Workspace
    output: Path | None
    force: bool
    form: Format

    def make(self, verb: Callable[..., Made], request: object) -> Made:
        """The artifact, by a verb's function, whose progress is drawn on the terminal.

        A place that cannot be written to is refused before an hour of measuring rather than after it.

        Raises:
            OffloadError: the file is there already, or its folder cannot be written to; and as the function does.
        """
        self._prepare()
        progress = ConsoleProgress(self.terminal)
        try:
            return verb(request, workspace=self.workspace, progress=progress)
        finally:
            progress.finish()

    def _prepare(self) -> None:
        if self.output == _STDOUT:
            return
        if self.output is not None and self.output.is_dir():
            raise OffloadError(f"{self.output} is a folder", hint="name a file in it")
        if self.output is not None and self.output.exists() and not self.force:
            raise OffloadError(
                f"{self.output} is there already", hint="add --force to replace it, or name another file"
            )
        check_writable(self.workspace.root if self.output is None else self.output.parent)

    def deliver(self, artifact: Artifact, *, name: str, all_layers: bool = False) -> Path | None:
        """Save the artifact, then write its report; the report is written even when saving fails.

        Returns:
            Where it was saved; None for stdout.

        Raises:
            OffloadError: the artifact cannot be saved, or stdout cannot be written to.
        """
        from offload.reports.render import render

        failure = path = None
        form = Format.JSON if self.output == _STDOUT else self.form
        if self.output != _STDOUT:
            try:
                path = self._save(artifact, name)
            except OffloadError as error:
                failure = error
        color = self.terminal.color(sys.stdout)
        self.terminal.result(
            render(artifact, form.value, all_layers=all_layers, width=self.terminal.width, color=color)
        )
        if failure is not None:
            raise failure
        if path is not None:
            self.terminal.note(f"written to {path}")
        return path

    def _save(self, artifact: Artifact, name: str) -> Path:
        from offload.artifacts.workspace import write_artifact

        if self.output is None:
            return self.workspace.save(artifact, name=name)
        write_artifact(artifact, self.output, force=self.force)
        return self.output


def check_writable(folder: Path) -> None:
    """Say that results cannot be kept before any work begins.

    Raises:
        OffloadError: the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OffloadError(
            f"cannot write to {folder}: {error.strerror}",
            hint="set OFFLOAD_HOME, or -o, to a folder you can write to",
        ) from error
