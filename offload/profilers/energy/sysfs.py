"""Numbers and names in the small files by which the Linux kernel shows its sensors."""

from __future__ import annotations

from pathlib import Path

from offload.profilers.energy.base import MeterLostError


def read_text(file: Path) -> str:
    """What a file says, without white space around it.

    Raises:
        OSError: it is not there, or may not be read.
    """
    return file.read_text(encoding="utf-8", errors="replace").strip()


def read_number(file: Path) -> int:
    """The number in a sensor's file, in the file's own unit.

    Raises:
        MeterLostError: it has vanished, cannot be read, or holds something else.
    """
    hint = "the sensor's driver was unloaded or refuses to answer: profile again, or declare --power"
    try:
        text = read_text(file)
    except OSError as error:
        raise MeterLostError(f"{file} cannot be read any more: {error.strerror or error}", hint=hint) from error
    try:
        return int(text)
    except ValueError as error:
        raise MeterLostError(f"{file} holds {text[:40]!r}, not a number", hint=hint) from error
