"""How long work reports on itself: an injected observer, so that the library never prints."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What long work calls; the command line draws it, tests and applications may ignore it."""

    def start(self, task: str, total: float | None = None) -> None:
        """A new task begins; `total` is in the task's own steps, None when unknown."""

    def advance(self, steps: float = 1.0, *, total: float | None = None) -> None:
        """`steps` more are done; `total` replaces an earlier estimate."""

    def detail(self, words: str) -> None:
        """What the current task has done so far, in a few words that replace the ones before."""

    def note(self, message: str) -> None:
        """A sentence the user should see, for example which artifact was taken."""

    def warn(self, message: str) -> None:
        """A reason to trust the result less, with its remedy."""

    def finish(self) -> None:
        """The current task is over."""


class NullProgress:
    """The observer that ignores everything."""

    def start(self, task: str, total: float | None = None) -> None:
        """Ignored."""

    def advance(self, steps: float = 1.0, *, total: float | None = None) -> None:
        """Ignored."""

    def detail(self, words: str) -> None:
        """Ignored."""

    def note(self, message: str) -> None:
        """Ignored."""

    def warn(self, message: str) -> None:
        """Ignored."""

    def finish(self) -> None:
        """Ignored."""
