"""Measuring a link whose every property the test has set, on a clock that only the test moves."""

from __future__ import annotations

from typing import Any

import pytest

from offload.artifacts.link import LinkProfile
from offload.errors import OffloadError
from offload.progress import NullProgress
from offload.serving import link_measurement
from offload.serving.builtin_models import PING
from offload.serving.client_errors import ServerError
from offload.serving.link_measurement import measure_link, spread_sizes
from tests.fake_link import FakeServer

ROUND = 17
"""Inferences of a round on a server that tells its times: five tiny calls, five messages each way, two cold ones."""


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(server: FakeServer, sizes: list[int] | None = None, duration_s: float = 10.0) -> LinkProfile:
        monkeypatch.setattr(link_measurement, "time", server.clock())
        connect: Any = server.connect
        return measure_link(connect, sizes_bytes=sizes, duration_s=duration_s, progress=NullProgress())

    return run


@pytest.mark.parametrize("builtin", [True, False])
@pytest.mark.parametrize("stamps", [True, False])
def test_the_figures_are_those_of_the_link(measure: Any, builtin: bool, stamps: bool) -> None:
    server = FakeServer(builtin=builtin, stamps=stamps, drift=50e-6)
    kept = set(server.models)
    found = measure(server)
    assert found.probes == ("built-in" if builtin else "uploaded")
    assert found.timing == ("one-way" if builtin and stamps else "round trip")
    assert found.uplink.goodput_bps.value == pytest.approx(20e6, rel=1e-3)
    assert found.downlink.goodput_bps.value == pytest.approx(80e6, rel=1e-3)
    assert found.rtt_s.value == pytest.approx(0.010, rel=0.01)
    assert found.jitter_s == pytest.approx(0.0, abs=1e-6)
    assert found.uplink.overhead_s.value == pytest.approx(0.005, abs=1e-4)
    assert found.downlink.overhead_s.value == pytest.approx(0.005, abs=1e-4)
    assert found.uplink.cold_s is not None
    assert found.uplink.cold_s.value == pytest.approx(0.010, abs=1e-4)
    assert found.uplink.residual < 0.01
    assert found.stopped == "time"
    assert server.models == kept, "uploaded probes are removed"
    assert server.connections == 0, "every connection is closed"


def test_a_clock_that_runs_away_is_followed(measure: Any) -> None:
    found = measure(FakeServer(drift=2e-3))
    assert found.clock_drift == pytest.approx(2e-3, rel=0.01)
    assert found.uplink.overhead_s.value == pytest.approx(0.005, rel=0.03)
    assert found.downlink.overhead_s.value == pytest.approx(0.005, rel=0.03)


def test_sizes_fit_the_link_and_the_time(measure: Any) -> None:
    slow = measure(FakeServer(up_bps=1e6, down_bps=1e6))
    largest = max(size.size_bytes for size in slow.uplink.sizes)
    assert largest * 8 / 1e6 < 10.0 / 4, "several rounds fit"
    assert max(sample.at_s for sample in slow.transfers) < 2 * 10.0
    fast = measure(FakeServer(up_bps=1e9, down_bps=1e9))
    assert [size.size_bytes for size in fast.uplink.sizes] == [10_000, 47_000, 220_000, 1_100_000, 5_000_000]


@pytest.mark.parametrize("bytes_a_round", [1.0, 3e2, 1e4, 1e6, 1e12])
def test_chosen_sizes_are_five_rising_ones(bytes_a_round: float) -> None:
    sizes = spread_sizes(bytes_a_round)
    assert sizes == sorted(set(sizes))
    assert len(sizes) == 5
    assert sizes[0] >= 1
    assert sizes[-1] <= 5_000_000


def test_the_asked_sizes_are_measured_interleaved_each_way(measure: Any) -> None:
    found = measure(FakeServer(), [1000, 300_000])
    assert {size.size_bytes for size in found.uplink.sizes} == {1000, 300_000}
    rounds = sum(s.direction == "up" and s.size_bytes == 1000 for s in found.transfers)
    assert rounds >= 3
    assert all(size.samples == rounds for way in (found.uplink, found.downlink) for size in way.sizes)
    assert sum(sample.cold for sample in found.transfers) == 2 * rounds
    assert [s.at_s for s in found.transfers] == sorted(s.at_s for s in found.transfers)


def test_a_token_bucket_shows_as_short_messages_off_the_line(measure: Any) -> None:
    found = measure(FakeServer(burst_bytes=64_000))
    assert found.uplink.goodput_bps.value == pytest.approx(20e6, rel=0.01), "the rate, not the burst"
    assert min(size.deviation for size in found.uplink.sizes[:-1]) < -0.1


def test_computing_counts_as_transfer_only_where_the_server_keeps_no_statistics(measure: Any) -> None:
    told = measure(FakeServer(builtin=False))
    untold = measure(FakeServer(builtin=False, statistics=False))
    assert not told.compute_included
    assert untold.compute_included
    assert untold.uplink.overhead_s.value - told.uplink.overhead_s.value == pytest.approx(0.002, abs=1e-4)


def test_a_server_that_ignores_uploads_is_an_error(measure: Any) -> None:
    with pytest.raises(OffloadError) as raised:
        measure(FakeServer(builtin=False, uploads=False))
    assert "takes no uploads" in raised.value.message
    assert "offload serve" in raised.value.hint


def test_a_message_that_takes_too_long_names_its_size(measure: Any) -> None:
    with pytest.raises(ServerError) as raised:
        measure(FakeServer(up_bps=1e6, longest_s=5.0), [10_000, 2_000_000])
    assert raised.value.message == "a message of 2.0 MB up did not get through in 30 s"
    assert "--sizes" in raised.value.hint


@pytest.mark.parametrize("ending", [ServerError("gone", code="UNAVAILABLE"), KeyboardInterrupt()])
def test_what_was_measured_before_the_end_is_kept_if_it_is_enough(measure: Any, ending: BaseException) -> None:
    preparation = FakeServer()
    measure(preparation, [10_000, 100_000, 200_000, 300_000, 400_000], duration_s=1e-9)
    before = preparation.inferences - 3 * ROUND
    enough = FakeServer(ends_after=before + 3 * ROUND + 8, ending=ending)
    found = measure(enough, [10_000, 100_000, 200_000, 300_000, 400_000])
    assert found.stopped == ("interrupted" if isinstance(ending, KeyboardInterrupt) else "lost")
    assert found.failure == (None if isinstance(ending, KeyboardInterrupt) else "gone")
    assert {size.samples for size in found.uplink.sizes} == {3}, "whole rounds only"
    too_few = FakeServer(ends_after=before + 2 * ROUND, ending=ending)
    with pytest.raises(type(ending)):
        measure(too_few, [10_000, 100_000, 200_000, 300_000, 400_000])
    assert enough.connections == too_few.connections == 0


def test_uploaded_probes_are_removed_when_measuring_fails(measure: Any) -> None:
    server = FakeServer(builtin=False, ends_after=10)
    with pytest.raises(ServerError):
        measure(server)
    assert server.models == set()


def test_a_link_without_a_rate_is_an_error(measure: Any) -> None:
    with pytest.raises(OffloadError, match="no rate can be told"):
        measure(FakeServer(up_bps=1e30), [10, 20])


def test_a_model_of_the_probes_name_that_is_another(measure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer()
    client = server.connect()
    monkeypatch.setattr(type(client), "infer", lambda self, *_, **__: _answering_nothing(client))
    with pytest.raises(OffloadError, match="must say 1000"):
        measure(server)


def _answering_nothing(client: Any) -> Any:
    from offload.serving.timing import InferResult

    return InferResult(outputs={}, encoding_ns=0, started_ns=0, finished_ns=1, decoded_ns=1, server=None)


def test_the_fake_knows_the_ping() -> None:
    assert FakeServer().connect().infer(PING, {}).network_s == pytest.approx(0.020)
