"""Traces: reading them, what is no trace, and the made-up ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from offload.errors import OffloadError
from offload.simulation.generators import BANDWIDTHS, LOADS
from offload.simulation.trace_files import MOST_BYTES, read_bandwidth, read_load
from offload.simulation.traces import Trace


def test_a_value_holds_until_the_next_and_all_of_it_repeats() -> None:
    trace = Trace(starts_s=(0.0, 1.0), values=(2.0, 5.0), period_s=3.0)
    assert trace.at([0.0, 0.99, 1.0, 2.9, 3.0, 4.5]).tolist() == [2, 2, 5, 5, 2, 5]
    assert trace.between(0.5, 4.0) == pytest.approx(1 + 10 + 2)
    assert trace.finish([0.0, 2.0, 2.0], 12.0) == pytest.approx([3.0, 5.0, 5.0])
    assert trace.finish([7.25], 0.0).tolist() == [7.25]


def test_nothing_passes_while_the_value_is_0() -> None:
    trace = Trace(starts_s=(0.0, 1.0), values=(4.0, 0.0), period_s=10.0)
    assert trace.finish([0.5, 0.5, 5.0], 2.0) == pytest.approx([1.0, 1.0, 10.5])
    assert trace.finish([0.5], 2.5) == pytest.approx([10.125])


def test_a_long_trace_costs_no_digits() -> None:
    trace = Trace(starts_s=(0.0, 0.3), values=(1e9, 3e9), period_s=1.0)
    starts = np.array([1e6, 1e6 + 0.5])
    assert trace.finish(starts, 1e8) - starts == pytest.approx([0.1, 1 / 30], rel=1e-7)


@pytest.mark.parametrize(
    ("starts", "values", "period"),
    [((), (), 1.0), ((0.5,), (1.0,), 1.0), ((0.0, 0.0), (1.0, 1.0), 1.0), ((0.0,), (1.0,), 0.0),
     ((0.0,), (0.0,), 1.0), ((0.0, 1.0), (1.0, -1.0), 2.0), ((0.0,), (1.0, 2.0), 2.0)],
)  # fmt: skip
def test_what_is_no_trace(starts: tuple[float, ...], values: tuple[float, ...], period: float) -> None:
    with pytest.raises(ValueError, match=r"trace|rise|negative"):
        Trace(starts_s=starts, values=values, period_s=period)


def test_a_mahimahi_trace_passes_1500_bytes_a_line(tmp_path: Path) -> None:
    """One line of 1 is 12 Mbit/s (mahimahi-traces' own README)."""
    path = tmp_path / "one.up"
    path.write_text("1\n")
    assert read_bandwidth(path).at([0.0, 0.5, 7.25]).tolist() == [12e6] * 3
    path.write_text("0\n2\n2\n3\n10\n")
    trace = read_bandwidth(path)
    assert trace.period_s == 0.01
    assert trace.between(0.0, 0.01) == pytest.approx(5 * 12_000)
    assert trace.at([0.0005, 0.0015, 0.0025, 0.005, 0.0095]).tolist() == [0, 24e6, 12e6, 0, 24e6], "0 is 10, again"


def test_a_table_holds_each_value_until_the_next(tmp_path: Path) -> None:
    path = tmp_path / "link.csv"
    path.write_text("time,mbps\n100, 8\n100.5,0\n101,2.5\n\n")
    trace = read_bandwidth(path)
    assert (trace.starts_s, trace.values, trace.period_s) == ((0.0, 0.5, 1.0), (8e6, 0.0, 2.5e6), 1.5)
    path.write_text("\ufeffTime,Load\r\n0,1\r\n2,3.5\r\n", encoding="utf-8")
    load = read_load(path)
    assert (load.starts_s, load.values, load.period_s) == ((0.0, 2.0), (1.0, 3.5), 4.0)
    path.write_text("time,load\n5,2\n")
    assert read_load(path).at([0.0, 9.0]).tolist() == [2, 2]


BAD_RATES = {
    "": "is empty",
    "\n\n": "is empty",
    "time,mbps\n": "has no rows",
    "0,5\n1,6\n": "line 1: '0,5' is not the heading `time,mbps`",
    "time,mbit\n0,5\n": "line 1: 'time,mbit' is not the heading `time,mbps`",
    "time,mbps\n0,5\n1,-2\n": "line 3: a rate of -2 is negative",
    "time,mbps\n0,5\n1,fast\n": "line 3: 'fast' is not a number",
    "time,mbps\n0,5\n1,nan\n": "line 3: 'nan' is not a number",
    "time,mbps\n0,5\n1,inf\n": "line 3: 'inf' is not a number",
    "time,mbps\n0,5\n1,1e300\n": "line 3: a rate of 1e300 is more than 1e+06",
    "time,mbps\n0,5\n1,\n": "line 3: a gap: a value is missing",
    "time,mbps\n0,5\n\n2,5\n": "line 3: a gap: an empty line",
    "time,mbps\n0,5\n1,6,7\n": "line 3: '1,6,7' is not a time and a value",
    "time,mbps\n0,5\n0,6\n": "line 3: time 0 does not come after 0",
    "time,mbps\n1,5\n0.5,6\n": "line 3: time 0.5 does not come after 1",
    "time,mbps\n0,5\n1,5\n2,5\n12,5\n13,5\n": "line 5: a gap of 10 s where rows are 1 s apart",
    "time,mbps\n0,0\n1,0\n": "the rate is 0 all the time, so nothing would arrive",
    "time,mbps\n0,5\n1e9,5\n": "line 3: a time of 1e9 s cannot be true",
    "time,mbps\n1_0,5\n": "line 2: '1_0' is not a number",
    "time,mbps\n1e300,5\n": "line 2: a time of 1e300 s cannot be true",
    "5\n\n7\n": "line 2: a gap: an empty line",
    "5\nsix\n": "line 2: 'six' is not a whole number of milliseconds",
    "5\n6.5\n": "line 2: '6.5' is not a whole number of milliseconds",
    "-3\n5\n": "line 1: -3 ms cannot be true",
    "5\n3\n": "line 2: 3 ms after 5 ms: time goes back",
    "0\n0\n": "line 2: the trace ends at 0 ms, so it has no rate",
    "99999999999999999999999999\n": "line 1: 99999999999999999999999999 ms cannot be true",
    "٣\n": "line 1: '٣' is not a whole number of milliseconds",
}


@pytest.mark.parametrize(("text", "error"), BAD_RATES.items())
def test_a_bad_bandwidth_is_one_line_that_names_the_place(tmp_path: Path, text: str, error: str) -> None:
    check(read_bandwidth, tmp_path, text, error)


@pytest.mark.parametrize(
    ("text", "error"),
    [("time,load\n0,1\n1,0.5\n", "line 3: a load of 0.5 is less than 1"),
     ("time,load\n0,1\n1,-5\n", "line 3: a load of -5 is negative"),
     ("time,load\n0,1\n1,20000\n", "line 3: a load of 20000 is more than 10000"),
     ("time,mbps\n0,1\n", "line 1: 'time,mbps' is not the heading `time,load`"),
     ("5\n6\n", "line 1: '5' is not the heading `time,load`"),
     ("time,load\n0,1\n1,2\n2,NaN\n", "line 4: 'NaN' is not a number")],
)  # fmt: skip
def test_a_bad_load_is_one_line_that_names_the_place(tmp_path: Path, text: str, error: str) -> None:
    check(read_load, tmp_path, text, error)


def check(read: Callable[[Path], Trace], folder: Path, text: str, error: str) -> None:
    path = folder / "trace"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(OffloadError) as raised:
        read(path)
    assert error in raised.value.message
    assert raised.value.message.startswith(str(path))
    assert "\n" not in raised.value.message
    assert raised.value.hint


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, error in ((tmp_path / "none", "is not there"), (tmp_path, "cannot be read")):
        with pytest.raises(OffloadError, match=error):
            read_bandwidth(path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OffloadError, match="it is not text"):
        read_load(tmp_path / "binary")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(OffloadError, match="is larger than 64 MiB"):
        read_bandwidth(tmp_path / "large")


@pytest.mark.parametrize("name", [*BANDWIDTHS, *LOADS])
def test_made_up_traces_repeat_with_their_seed_and_can_be_true(name: str) -> None:
    for generators, own, least in ((BANDWIDTHS, 18e6, 1e3), (LOADS, 1.0, 1.0)):
        if name not in generators:
            continue
        one, same, other = (generators[name](own, 60.0, random.Random(seed)) for seed in (1, 1, 2))
        assert one.values == same.values
        assert (one.values == other.values) == (name in ("steps", "ramp"))
        assert one.period_s == pytest.approx(60.0)
        assert min(one.values) >= least
        assert max(one.values) > 1.5 * min(one.values)


def test_the_radios_traces_stay_around_their_published_rates() -> None:
    for name, middle_bps in (("wifi", 18.88e6), ("lte", 5.85e6), ("3g", 1.1e6)):
        values = BANDWIDTHS[name](1.0, 20_000.0, random.Random(0)).values
        assert np.median(values) == pytest.approx(middle_bps, rel=0.15)
