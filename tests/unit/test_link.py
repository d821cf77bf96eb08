"""A link as planners take it, and the artifact it comes from: summaries from samples, refusals, the report."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.artifacts.link import AffineCost, Link, LinkProfile, TransferSample, fit_one_way
from offload.errors import OffloadError
from offload.reports.link import link_line, link_summary
from offload.reports.link_warnings import link_warnings
from offload.reports.render import render
from tests.fake_link import SIZES, link_profile

PROTOCOL = AffineCost(fixed_s=0.001, per_byte_s=1e-9)


def messages(seconds: Any, *, sizes: tuple[int, ...] = SIZES, rounds: int = 5) -> list[TransferSample]:
    return [
        TransferSample(direction="up", size_bytes=size, seconds=seconds(size, number), cold=False, at_s=float(number))
        for number in range(rounds)
        for size in sizes
    ]


def test_a_measured_curve_takes_the_place_of_rate_round_trip_and_protocol() -> None:
    curve = AffineCost(fixed_s=0.003, per_byte_s=1e-6, above_s=0.001, above_per_byte_s=1e-7)
    link = Link(uplink_bps=8e6, downlink_bps=8e6, rtt_s=0.004, source="measured", uplink_curve=curve)
    up, down = link.uplink_s(1000, PROTOCOL), link.downlink_s(1000, PROTOCOL)
    assert up.value == pytest.approx(0.004)
    assert up.high == pytest.approx(0.004 + 0.001 + 0.0001)
    assert down.value == pytest.approx(0.002 + 0.001 + 0.001 + 1e-6), "this direction has none"


@given(st.floats(1e5, 1e10), st.floats(0, 0.1), st.integers(0, 10**8))
def test_time_is_affine_in_bytes_with_and_without_a_curve(rate: float, fixed: float, size: int) -> None:
    curve = AffineCost(fixed_s=fixed, per_byte_s=8 / rate)
    for link in (
        Link(uplink_bps=rate, downlink_bps=rate, rtt_s=fixed),
        Link(uplink_bps=rate, downlink_bps=rate, rtt_s=0.0, uplink_curve=curve, downlink_curve=curve),
    ):
        for seconds in (link.uplink_s, link.downlink_s):
            once, twice = seconds(size, PROTOCOL).value, seconds(2 * size, PROTOCOL).value
            assert twice + seconds(0, PROTOCOL).value == pytest.approx(2 * once)


def test_another_rate_changes_what_grows_with_the_bytes_and_nothing_else() -> None:
    curve = AffineCost(fixed_s=0.003, per_byte_s=1e-6, above_s=0.001)
    link = Link(uplink_bps=8e6, downlink_bps=8e6, rtt_s=0.004, source="measured", uplink_curve=curve)
    slower = link.at_rates(uplink_bps=1e6, downlink_bps=2e6)
    assert slower.uplink_curve == dataclasses.replace(curve, per_byte_s=8e-6)
    assert slower.downlink_curve is None
    assert (slower.uplink_bps, slower.downlink_bps, slower.rtt_s) == (1e6, 2e6, 0.004)
    assert link.at_rates(uplink_bps=8e6, downlink_bps=8e6) == link


def test_goodput_is_in_bits_and_sizes_in_bytes() -> None:
    found = fit_one_way(messages(lambda size, _: 0.002 + size / 1e6))
    assert found.goodput_bps.value == pytest.approx(8e6)
    assert found.curve.per_byte_s == pytest.approx(1e-6)
    assert found.overhead_s.value == pytest.approx(0.002)
    assert found.goodput_bps.low <= found.goodput_bps.value <= found.goodput_bps.high
    assert found.residual == pytest.approx(0.0, abs=1e-9)
    assert found.cold_s is None


def test_outliers_do_not_move_the_line() -> None:
    found = fit_one_way(messages(lambda size, number: (0.002 + size / 1e6) * (50 if number == 2 else 1)))
    assert found.goodput_bps.value == pytest.approx(8e6)
    assert found.overhead_s.value == pytest.approx(0.002)


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_holds_the_true_rate_and_narrows_with_samples(seed: int) -> None:
    import numpy as np

    generator = np.random.default_rng(seed)

    def noisy(size: int, _: int) -> float:
        return float((0.002 + size / 1e6) * (1 + 0.02 * generator.standard_normal()))

    few, many = fit_one_way(messages(noisy)), fit_one_way(messages(noisy, rounds=80))
    for found in (few, many):
        assert found.goodput_bps.low * 0.98 < 8e6 < found.goodput_bps.high * 1.02
    assert many.goodput_bps.relative_half_width < few.goodput_bps.relative_half_width


def test_requests_that_stray_further_when_longer_have_a_wider_interval() -> None:
    found = fit_one_way(messages(lambda size, number: (0.002 + size / 1e6) * (0.9 + 0.05 * number)))
    short, long = found.curve.at(10_000), found.curve.at(5_000_000)
    assert short.high - short.value < 0.01
    assert long.high - long.value > 0.3


def test_a_short_burst_does_not_raise_the_rate() -> None:
    found = fit_one_way(messages(lambda size, _: 0.001 + max(0, size - 100_000) / 1e6))
    assert found.goodput_bps.value == pytest.approx(8e6)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "two sizes"),
        (messages(lambda size, _: size / 1e6, sizes=(1000,)), "two sizes"),
        (messages(lambda *_: 0.001), "no rate can be told"),
        (messages(lambda size, _: 1 - size / 1e7), "no rate can be told"),
    ],
)
def test_what_is_no_line_is_refused(samples: list[TransferSample], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_one_way(samples)


def test_cold_messages_are_kept_apart() -> None:
    warm = messages(lambda size, _: size / 1e6)
    cold = [dataclasses.replace(sample, cold=True, seconds=sample.seconds + 0.03) for sample in warm[:5]]
    found = fit_one_way([*warm, *cold])
    assert found.cold_s is not None
    assert found.cold_s.value == pytest.approx(0.03)
    assert found.curve == fit_one_way(warm).curve


def test_the_artifact_survives_its_file_and_becomes_a_link() -> None:
    profile = link_profile()
    again = LinkProfile.from_json(profile.to_json(), source="x")
    assert again == profile
    link = again.link()
    assert link.source == "measured"
    assert link.uplink_curve == profile.uplink.curve
    assert link.uplink_curve is not None
    assert link.uplink_curve.per_byte_s == pytest.approx(8 / link.uplink_bps)
    assert link.rtt_s == profile.rtt_s.value
    assert (link.uplink_bps, link.downlink_bps) == (pytest.approx(20e6), pytest.approx(80e6))


def test_jitter_is_the_median_change_between_consecutive_round_trips() -> None:
    profile = link_profile(rtts_s=(0.010, 0.013, 0.012, 0.012, 0.020))
    assert profile.rtt_s.value == 0.012
    assert profile.jitter_s == pytest.approx(0.002)
    assert link_profile(rtts_s=(0.010,)).jitter_s == 0.0


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("transfers", 0, "seconds"), -1.0, "transfers.0.seconds"),
        (("transfers", 0, "seconds"), None, "transfers.0.seconds"),
        (("transfers", 0, "seconds"), 1e300, "transfers.0.seconds"),
        (("transfers", 0, "size_bytes"), 0, "transfers.0.size_bytes"),
        (("transfers", 0, "size_bytes"), 10**400, "transfers.0.size_bytes"),
        (("transfers", 0, "size_bytes"), 1.5, "transfers.0.size_bytes"),
        (("transfers", 0, "direction"), "sideways", "transfers.0.direction"),
        (("transfers",), [], "transfers up: a line needs samples"),
        (("rtts",), [], "rtts holds no samples"),
        (("rtts", 0, "seconds"), -1.0, "rtts.0.seconds"),
        (("clock_drift",), 1e999, "Infinity"),
        (("clock_uncertainty_s",), -1.0, "clock_uncertainty_s"),
        (("stopped",), "bored", "stopped"),
        (("kind",), "profile", "is a profile, not a link"),
        (("schema_version",), 7, "schema_version 7"),
    ],
)
def test_absurd_links_are_refused_with_a_line(path: tuple[Any, ...], value: object, message: str) -> None:
    document = json.loads(link_profile().to_json())
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(OffloadError) as raised:
        LinkProfile.from_json(json.dumps(document), source="link.json")
    assert message in raised.value.message
    assert "\n" not in raised.value.message
    assert "offload" in raised.value.hint


def test_not_a_number_is_refused() -> None:
    text = link_profile().to_json().replace('"seconds": 0.01,', '"seconds": NaN,')
    with pytest.raises(OffloadError, match="NaN is not JSON"):
        LinkProfile.from_json(text, source="link.json")


def test_the_report_says_it_in_human_units() -> None:
    text = " ".join(render(link_profile(), "table").split())
    assert text.startswith("Link to 10.0.0.1:8001 (offload 1)")
    for words in (
        "goodput of long messages 20 Mbit/s – 80 Mbit/s",
        "overhead of a message 5.00 ms",
        "more on a fresh connection 10.0 ms",
        "median 10.0 ms",
        "uplink 10.0 kB",
        "5.0 MB",
        "known to ±5.00 ms",
    ):
        assert words in text
    assert "Before you rely" not in text


def test_the_report_in_other_formats() -> None:
    profile = link_profile()
    rows = list(csv.DictReader(io.StringIO(render(profile, "csv"))))
    assert len(rows) == 2 * len(SIZES)
    assert rows[0]["direction"] == "uplink"
    assert float(rows[0]["goodput_bps"]) == pytest.approx(20e6)
    assert float(rows[0]["median_s"]) == pytest.approx(0.005 + 0.004)
    assert "| uplink | 10.0 kB |" in render(profile, "md")
    assert LinkProfile.from_json(render(profile, "json"), source="x") == profile


def test_the_line_of_a_watch_and_its_record() -> None:
    profile = link_profile()
    line, record = link_line(profile), link_summary(profile)
    assert "up 20 Mbit/s" in line
    assert "down 80 Mbit/s" in line
    assert "\n" not in line
    assert record["uplink_goodput_bps"] == pytest.approx(20e6)
    assert record["rtt_s"] == pytest.approx(0.010)
    assert "lost: gone" in link_line(link_profile(stopped="lost", failure="gone"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stopped": "lost", "failure": "gone"}, "the connection was lost (gone)"),
        ({"stopped": "interrupted"}, "interrupted"),
        ({"compute_included": True}, "keeps no statistics"),
        ({"clock_drift": 0.01}, "clock moves 10.0 ms a second"),
        ({"burst_bytes": 100_000}, "a token bucket"),
        ({"extra_s": {10_000: 0.02}}, "messages of 10.0 kB (+222.2 %) are slower than the line"),
        ({"slower_later": 0.3}, "not steady"),
        ({"slower_later": 0.3}, "goodput is known to ±"),
        ({"overhead_s": 0.0, "extra_s": {10_000: -0.004}}, "arrive before they were sent"),
    ],
)
def test_warnings_come_with_their_reason(changes: dict[str, Any], words: str) -> None:
    assert not link_warnings(link_profile())
    assert any(words in warning for warning in link_warnings(link_profile(**changes)))
