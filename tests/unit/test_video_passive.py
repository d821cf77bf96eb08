"""Passive profiling: what counts against a server is what differs between servers, not the line that they share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.artifacts.video_run import AskRecord
from offload.video.partitioning import ServerCost
from offload.video.passive import PassiveProfile
from offload.video.timing import AskCost, Line, ask_times

COST = ServerCost(fixed_s=1e-3, seconds_per_pixel=1e-7)
LINE = Line(uplink_bps=20e6, downlink_bps=20e6, rtt_s=0.002)
PIXELS, SIDE = 160_000, 400


def _frame(
    pixels: list[tuple[int, int]], slower: list[float], line: Line = LINE, farther_s: float = 0.0
) -> list[AskRecord]:
    """Asks of so many columns of SIDE pixels for each server, timed as the pure model has it."""
    asks = [
        AskCost(
            server=server,
            encode_s=1e-3,
            sent_bytes=wide * SIDE / 8,
            decode_s=0.0,
            server_s=slower[server] * COST.time_s(wide * SIDE),
            answer_bytes=100,
        )
        for server, wide in pixels
    ]
    return [
        AskRecord(
            server=ask.server,
            box=(0, 0, wide, SIDE),
            sent_bytes=int(ask.sent_bytes),
            sent_at_s=times.sent_at_s,
            encode_s=ask.encode_s,
            uplink_s=times.uplink_s + (farther_s if ask.server == 1 else 0.0),
            queue_s=times.queue_s,
            decode_s=times.decode_s,
            server_s=times.server_s,
            downlink_s=times.downlink_s,
        )
        for ask, times, (_, wide) in zip(asks, ask_times(asks, line), pixels, strict=True)
    ]


def _ratio(profile: PassiveProfile) -> float:
    """What the second server takes for each second of the first."""
    first, second = profile.costs
    return second.time_s(PIXELS) / first.time_s(PIXELS)


def test_a_server_that_slows_to_a_quarter_is_known_for_it_within_ten_frames() -> None:
    profile = PassiveProfile((COST, COST))
    for _ in range(10):
        profile.observe(_frame([(0, 200), (1, 200)], [1, 1]))
    assert _ratio(profile) == pytest.approx(1, rel=0.1)
    for _ in range(10):
        profile.observe(_frame([(0, 200), (1, 200)], [1, 4]))
    assert _ratio(profile) == pytest.approx(4, rel=0.2)


@given(st.floats(1e6, 1e9), st.integers(40, 400), st.integers(40, 400), st.booleans())
def test_servers_of_equal_speed_stay_equal_whatever_the_shared_line_and_the_order(
    rate_bps: float, first: int, second: int, turned: bool
) -> None:
    profile = PassiveProfile((COST, COST), (0.002, 0.002))
    line = Line(uplink_bps=rate_bps, downlink_bps=rate_bps, rtt_s=0.002)
    for _ in range(10):
        profile.observe(_frame([(1, second), (0, first)] if turned else [(0, first), (1, second)], [1, 1], line))
    assert _ratio(profile) == pytest.approx(1, rel=0.05)


def test_a_server_on_a_slower_path_takes_longer() -> None:
    profile = PassiveProfile((COST, COST))
    for _ in range(10):
        profile.observe(_frame([(0, 200), (1, 200)], [1, 1], farther_s=3 * COST.time_s(200 * SIDE)))
    assert _ratio(profile) > 3


def test_waiting_for_ones_own_other_image_is_not_held_against_a_server() -> None:
    profile = PassiveProfile((COST, COST))
    for _ in range(10):
        profile.observe(_frame([(0, 200), (0, 200), (1, 200)], [1, 1]))
    assert _ratio(profile) == pytest.approx(1, rel=0.1)


def test_waiting_for_others_is() -> None:
    profile = PassiveProfile((COST, COST))
    for _ in range(10):
        asks = _frame([(0, 200), (1, 200)], [1, 1])
        asks[1] = asks[1].model_copy(update={"queue_s": 2 * COST.time_s(200 * SIDE)})
        profile.observe(asks)
    assert _ratio(profile) == pytest.approx(3, rel=0.2)


def test_a_server_that_is_asked_nothing_is_trusted_again_some_day() -> None:
    profile = PassiveProfile((COST, COST))
    for _ in range(10):
        profile.observe(_frame([(0, 200), (1, 200)], [1, 4]))
    for _ in range(100):
        profile.observe(_frame([(0, 200)], [1, 1]))
    assert _ratio(profile) < 1.5


def test_what_nobody_answered_tells_nothing_of_speed_and_servers_that_are_gone_are_none() -> None:
    profile = PassiveProfile((COST, COST))
    lost = _frame([(0, 200), (1, 200)], [1, 1])
    profile.observe([each.model_copy(update={"answered": False}) for each in lost])
    profile.observe([each.model_copy(update={"on_device": True, "server_s": 9.0}) for each in lost])
    assert profile.costs == (COST, COST)
    assert profile.servers((True, False)) == (COST, None)
