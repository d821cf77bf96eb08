"""Interleaved rounds with a clock that only requests move."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.artifacts.verification import RequestSample
from offload.profilers.rests import PAUSE_S
from offload.progress import NullProgress
from offload.verification.rounds import Budget, Contender, Measured, is_stable, measure


class World:
    """A clock, and options that take the seconds they are told to; the names of who was asked are kept."""

    def __init__(self, *request_s: float, found: Sequence[float] | None = None, interrupt_at_s: float = 1e9) -> None:
        self.now, self.asked, self.references = 100.0, [], 0
        self.request_s, self.found, self.interrupt_at_s = request_s, found or request_s, interrupt_at_s

    def clock(self) -> float:
        return self.now

    def rest(self, seconds: float) -> None:
        self.now += seconds

    def reference(self) -> None:
        self.references += 1

    def contender(self, number: int) -> Contender:
        def ask() -> RequestSample:
            taken_s = self.request_s[number]
            if number == 0 and self.asked.count(0) // 10 % 2:
                taken_s *= 1.3  # so that its windows never agree
            self.asked.append(number)
            self.now += taken_s
            if self.now - 100 >= self.interrupt_at_s:
                raise KeyboardInterrupt
            rest = dict.fromkeys(("encode_s", "uplink_s", "queue_s", "decode_s", "server_s", "downlink_s"), 0.0)
            return RequestSample(device_s=taken_s, latency_s=taken_s, **rest)

        return Contender(ask=ask, request_s=self.found[number])

    def run(self, *, requests: int | None = None, duration_s: float | None = None) -> Measured:
        contenders = [self.contender(number) for number in range(len(self.request_s))]
        return measure(
            contenders,
            budget=Budget(requests=requests, duration_s=duration_s),
            between=self.reference,
            progress=NullProgress(),
            clock=self.clock,
            rest=self.rest,
        )

    def time_of(self, number: int) -> float:
        return self.asked.count(number) * (self.request_s[number] * (1.3 if number == 0 else 1) + PAUSE_S)


def counts(found: Measured) -> list[int]:
    return [len(samples) for samples in found.samples]


def test_options_as_fast_as_the_chosen_one_have_as_many_turns() -> None:
    found = World(0.2, 0.2, 0.19).run(requests=30)
    assert counts(found)[0] == 30
    assert min(counts(found)) >= 28
    assert found.stopped == "requests"
    assert not found.refused


def test_an_option_that_takes_ten_times_as_long_is_asked_about_every_tenth_round() -> None:
    found = World(0.2, 2.0).run(requests=100, duration_s=200.0)
    assert 8 <= counts(found)[1] <= 16


def test_the_fewest_requests_of_a_slow_option_are_spread_over_the_run() -> None:
    world = World(0.2, 3.0)
    found = world.run(duration_s=30.0)
    assert {int(sample.started_s or 0) // 10 for sample in found.samples[1]} == {0, 1, 2}


def test_an_option_too_slow_for_the_run_is_not_asked_at_all() -> None:
    world = World(0.3, 20.0, 0.35)
    found = world.run(duration_s=18.0)
    assert found.refused == {1}
    assert 1 not in world.asked
    assert found.request_s[1] == 20.0
    assert found.available_s == pytest.approx(6.0)
    assert counts(found)[2] >= 3


def test_the_slowest_go_first_when_not_all_can_be_afforded() -> None:
    found = World(0.1, 1.9, 1.0, 5.0).run(duration_s=12.0)
    assert found.refused == {1, 3}


def test_without_a_duration_the_run_is_as_long_as_its_requests_make_it() -> None:
    assert World(0.3, 3.0).run(requests=5).refused == frozenset()
    assert World(0.3, 6.0).run(requests=5).refused == {1}
    assert World(5.0, 20.0).run(requests=50).refused == frozenset()


def test_a_chosen_option_slower_than_the_run_is_asked_five_times() -> None:
    found = World(20.0, 30.0).run(duration_s=18.0)
    assert counts(found) == [5, 0]
    assert found.refused == {1}
    assert found.stopped == "duration"
    assert found.measuring_s > 90


def test_whichever_of_requests_and_duration_is_reached_first() -> None:
    assert World(0.2).run(requests=10, duration_s=60.0).stopped == "requests"
    assert World(0.2).run(requests=1000, duration_s=6.0).stopped == "duration"


def test_fewer_requests_are_not_made_more() -> None:
    found = World(0.2, 0.2).run(requests=1)
    assert counts(found) == [1, 1]


def test_brief_requests_forget_what_ran_before_them() -> None:
    world = World(0.01, 0.01)
    found = world.run(requests=12)
    assert counts(found)[0] == 12
    runs = [len(list(group)) for _, group in itertools.groupby(world.asked)]
    # One that does not count, then three that do; turns in a row need settling only after a reference.
    assert set(runs) <= {4, 7, 8, 11}
    by_round = collections.Counter(sample.round_number for sample in found.samples[0])
    assert set(by_round.values()) == {3}


def test_references_are_timed_every_third_round() -> None:
    world = World(0.2)
    world.run(requests=9)
    assert world.references == 3


def test_an_interrupt_keeps_what_means_something() -> None:
    kept = World(0.2, 0.2, interrupt_at_s=6.0).run(requests=1000)
    assert kept.stopped == "interrupted"
    assert counts(kept)[0] >= 5
    with pytest.raises(KeyboardInterrupt):
        World(0.2, 0.2, interrupt_at_s=1.0).run(requests=1000)


def test_an_option_found_to_be_slower_than_it_seemed_takes_no_more_than_one_request_too_much() -> None:
    world = World(0.2, 30.0, found=(0.2, 0.5))
    found = world.run(duration_s=30.0)
    assert counts(found)[1] < 3
    assert world.asked.count(1) == 1


@settings(deadline=None)
@given(
    chosen=st.floats(0.005, 3),
    others=st.lists(st.floats(0.005, 60), max_size=5),
    duration_s=st.floats(5, 60),
)
def test_the_others_never_eat_the_run(chosen: float, others: list[float], duration_s: float) -> None:
    world = World(chosen, *others)
    found = world.run(duration_s=duration_s)
    turns = [4 * (each + PAUSE_S) if each < 0.1 else each + PAUSE_S for each in others]
    one_too_many = max(turns, default=0.0) if len(found.refused) < len(others) else 0.0
    others_s = sum(world.time_of(number) for number in range(1, len(others) + 1))
    assert others_s <= 2 * world.time_of(0) + found.available_s + one_too_many + 1e-6
    assert counts(found)[0] >= 5
    for number in range(1, len(others) + 1):
        assert (counts(found)[number] >= 3) != (number in found.refused)


def test_three_windows_within_ten_percent_are_stable() -> None:
    assert not is_stable([1.0] * 29)
    assert is_stable([1.0] * 30)
    assert is_stable([9.0] * 10 + [1.0] * 10 + [1.1] * 10 + [1.05] * 10)
    assert not is_stable([1.0] * 20 + [1.3] * 10)
    assert is_stable([1.0] * 9, window=3)
    assert not is_stable([1.0], window=0)
