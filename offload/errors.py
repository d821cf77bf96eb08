"""The errors a user can cause; each is one line, a hint, and an exit code."""

from __future__ import annotations


class OffloadError(Exception):
    """Something went wrong that the user can mend.

    Args:
        message: What is wrong, one line, naming the file, field or value.
        hint: What to do about it, one line; empty when there is nothing to add.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(OffloadError):
    """A value on the command line that cannot be understood."""

    exit_code = 2


class VerdictError(OffloadError):
    """The work was done and the answer is no: infeasible, or out of tolerance."""

    exit_code = 4
