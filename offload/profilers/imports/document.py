"""A trace file as JSON, refused when it is no such thing."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

from offload.errors import OffloadError

MOST_BYTES = 256 * 1024**2
"""Of a trace, unpacked: reading JSON takes several times as much memory."""
_GZIP = b"\x1f\x8b"


def read_document(path: Path) -> object:
    """The JSON document in a file, which may be packed by gzip as torch does for `.json.gz`.

    Raises:
        OffloadError: it is not there, too large, or no JSON.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
        with gzip.open(path) if packed else path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise OffloadError(f"{path} is not there", hint="name the trace's file") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise OffloadError(f"{path} cannot be read: {reason}", hint="record the trace again") from error
    if len(text) > MOST_BYTES:
        raise OffloadError(
            f"{path} holds more than {MOST_BYTES // 1024**2} MiB", hint="record fewer runs: ten tell what there is"
        )
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise OffloadError(
            f"{path} is no trace, or not a whole one: {error}",
            hint="end profiling before the file is copied, and record it again if it is damaged",
        ) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
