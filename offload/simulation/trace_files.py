"""Reading traces: Mahimahi's packet delivery opportunities, and tables of time and value."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from offload.errors import OffloadError
from offload.simulation.traces import Trace

PACKET_BITS = 1500 * 8
"""What passes at one opportunity of a Mahimahi trace (Netravali et al., USENIX ATC 2015; mm-link(1))."""
MOST_BYTES = 64 * 1024**2
MOST_MBPS = 1e6
MOST_LOAD = 10_000.0
MOST_S = 1e7
"""About four months; a time beyond it is in another unit or counted from another age."""
_A_HOLE = 5
"""A step so many times longer than the middle one is a hole in the recording."""
_WORDS = {"mbps": "rate", "load": "load"}
_HOW = {
    "mbps": "write `time,mbps` and rows such as `0.5,18.9`, or Mahimahi's one whole number of milliseconds a line",
    "load": "write `time,load` and rows such as `0.5,2`, where a load of 1 is an idle server",
}


def read_bandwidth(path: Path) -> Trace:
    """The rate of a link in bits per second, from a table `time,mbps` or a Mahimahi trace.

    A row of a table holds until the next; the last as long as the row before it. In a Mahimahi trace each line is a
    millisecond at which 1500 bytes can pass; here they pass evenly during the millisecond that ends there. Both begin
    again after their end.

    Raises:
        OffloadError: the file cannot be read, or is no such trace; names the line.
    """
    lines = _lines(path, "mbps")
    if "," in lines[0]:
        return _table(path, lines, "mbps", least=0.0, most=MOST_MBPS).mapped(lambda mbps: mbps * 1e6)
    return _mahimahi(path, lines)


def read_load(path: Path) -> Trace:
    """How many times longer a server's computing takes, from a table `time,load`; see `read_bandwidth`.

    Raises:
        OffloadError: the file cannot be read, or is no such table; names the line.
    """
    return _table(path, _lines(path, "load"), "load", least=1.0, most=MOST_LOAD)


def _lines(path: Path, column: str) -> list[str]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise OffloadError(
                f"{path} is larger than {MOST_BYTES // 1024**2} MiB", hint="give a shorter piece: traces repeat"
            )
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise OffloadError(f"{path} is not there", hint="check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "it is not text"
        raise OffloadError(f"{path} cannot be read: {reason}", hint="give a text file") from error
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise OffloadError(f"{path} is empty", hint=_HOW[column])
    return lines


def _mahimahi(path: Path, lines: Sequence[str]) -> Trace:
    opportunities: Counter[int] = Counter()
    before = 0
    for number, line in enumerate(lines, 1):
        if not line:
            raise _bad(path, number, "a gap: an empty line", "take it out: outages are times without lines")
        if not (line.isascii() and line.removeprefix("-").isdigit()):
            raise _bad(path, number, f"{line[:40]!r} is not a whole number of milliseconds", _HOW["mbps"])
        milliseconds = int(line[:20])
        if not 0 <= milliseconds <= MOST_S * 1e3:
            raise _bad(path, number, f"{line[:40]} ms cannot be true", "count milliseconds from the trace's beginning")
        if milliseconds < before:
            raise _bad(path, number, f"{milliseconds} ms after {before} ms: time goes back", "sort the lines by time")
        opportunities[milliseconds] += 1
        before = milliseconds
    if before == 0:
        raise _bad(path, len(lines), "the trace ends at 0 ms, so it has no rate", "let its last line be above 0")
    # what passes at 0 is what passes at the end of the period before
    opportunities[before] += opportunities.pop(0, 0)
    starts, values, end = [], [], 0
    for milliseconds, count in sorted(opportunities.items()):
        if milliseconds - 1 > end:
            starts.append(end / 1e3)
            values.append(0.0)
        starts.append((milliseconds - 1) / 1e3)
        values.append(count * PACKET_BITS * 1e3)
        end = milliseconds
    return Trace(starts_s=tuple(starts), values=tuple(values), period_s=before / 1e3)


def _table(path: Path, lines: Sequence[str], column: str, *, least: float, most: float) -> Trace:
    how = _HOW[column]
    titles = [title.strip().lower() for title in lines[0].split(",")]
    if titles != ["time", column]:
        raise _bad(path, 1, f"{lines[0][:40]!r} is not the heading `time,{column}`", how)
    if len(lines) == 1:
        raise OffloadError(f"{path} has no rows", hint=how)
    times: list[float] = []
    values: list[float] = []
    for number, line in enumerate(lines[1:], 2):
        cells = [cell.strip() for cell in line.split(",")]
        if cells == [""]:
            raise _bad(path, number, "a gap: an empty line", "take it out, or fill it in")
        if len(cells) != 2:
            raise _bad(path, number, f"{line[:40]!r} is not a time and a value", how)
        time_s, value = (_number(path, number, cell, how) for cell in cells)
        if abs(time_s) > 1e12 or (times and time_s - times[0] > MOST_S):
            raise _bad(path, number, f"a time of {cells[0]} s cannot be true", "write seconds")
        if times and time_s <= times[-1]:
            raise _bad(path, number, f"time {cells[0]} does not come after {times[-1]:g}", "sort the rows by time")
        if not least <= value <= most:
            words = "negative" if value < 0 else "less than 1" if value < least else f"more than {most:g}"
            raise _bad(path, number, f"a {_WORDS[column]} of {cells[1]} is {words}", how)
        times.append(time_s)
        values.append(value)
    if not any(values):
        raise OffloadError(f"{path}: the rate is 0 all the time, so nothing would arrive", hint=how)
    steps = [after - before for before, after in pairwise(times)]
    middle = statistics.median(steps) if steps else 1.0
    for number, step in enumerate(steps, 3):
        if step > _A_HOLE * middle * (1 + 1e-9):
            words = f"a gap of {step:g} s where rows are {middle:g} s apart"
            raise _bad(path, number, words, "fill the rows in, 0 where nothing passed, or give a piece without the gap")
    end = times[-1] + (steps[-1] if steps else middle)
    starts = tuple(time - times[0] for time in times)
    return Trace(starts_s=starts, values=tuple(values), period_s=end - times[0])


def _number(path: Path, number: int, cell: str, how: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in cell:
        raise _bad(path, number, f"{cell[:40]!r} is not a number" if cell else "a gap: a value is missing", how)
    return value


def _bad(path: Path, number: int, what: str, hint: str) -> OffloadError:
    return OffloadError(f"{path}, line {number}: {what}", hint=hint)
