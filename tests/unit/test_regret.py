"""Regret and trends against known distributions and brute force."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.artifacts import regret as module
from offload.artifacts.regret import Sampled, ratio_of_medians, regret

Values = Sequence[float]


def sampled(values: Values, *, every: int = 1) -> Sampled:
    return Sampled(costs=values, rounds=[number * every for number in range(len(values))])


def drawn(generator: np.random.Generator, median: float, count: int) -> list[float]:
    return [float(value) for value in median * np.exp(0.05 * generator.standard_normal(count))]


latencies = st.lists(st.floats(1e-3, 10), min_size=1, max_size=20)


@settings(max_examples=30, deadline=None)
@given(chosen=latencies, others=st.dictionaries(st.sampled_from("abc"), latencies))
def test_the_value_is_that_of_its_definition_and_inside_the_interval(
    chosen: list[float], others: dict[str, list[float]]
) -> None:
    found = regret(sampled(chosen), {name: sampled(values) for name, values in others.items()})
    smallest = min([np.median(chosen), *(np.median(values) for values in others.values())])
    assert found.fraction.value == pytest.approx(np.median(chosen) / smallest - 1)
    assert 0 <= found.fraction.low <= found.fraction.value <= found.fraction.high
    assert found.over == tuple(others)
    if found.best == "chosen":
        assert found.fraction.value == 0
        assert not found.established
    else:
        assert np.median(others[found.best]) == smallest


def test_nothing_to_compare_with() -> None:
    found = regret(sampled([1.0, 2.0]), {})
    assert (found.fraction.value, found.fraction.high, found.best, found.over) == (0, 0, "chosen", ())


def test_an_option_without_samples_is_no_option() -> None:
    with pytest.raises(ValueError, match="without samples"):
        regret(sampled([1.0]), {"other": sampled([])})


@pytest.mark.parametrize(("values", "counts"), [((1, 2, 3), (1, 0, 2)), ((1, 2, 3, 4), (1, 1, 1, 1)), ((5,), (3,))])
def test_weighted_medians_are_medians_of_repeated_values(values: Values, counts: Sequence[int]) -> None:
    repeated = np.repeat(np.array(values, np.float64), counts)
    assert module._weighted_median(np.array(values, np.float64), np.array(counts)) == np.median(repeated)


def test_the_bootstrap_draws_whole_rounds() -> None:
    """Three rounds of both options: the ratios are exactly those of all 27 draws of three rounds."""
    chosen, other = [1.0, 2.0, 4.0], [1.0, 3.0, 5.0]
    possible = {
        np.median([chosen[i] for i in draw]) / np.median([other[i] for i in draw])
        for draw in itertools.product(range(3), repeat=3)
    }
    assert set(module._ratios(sampled(chosen), sampled(other))) == possible


def test_rounds_of_one_option_only_are_drawn_apart() -> None:
    one = Sampled(costs=[1.0, 1.0, 7.0, 7.0], rounds=[0, 0, 1, 2])
    other = Sampled(costs=[2.0], rounds=[0])
    assert set(module._ratios(one, other)) == {2.0}
    apart = Sampled(costs=[2.0], rounds=[9])
    assert set(module._ratios(one, apart)) == {0.5, 2.0, 3.5}


def test_what_slows_a_round_slows_both_and_cancels() -> None:
    generator = np.random.default_rng(1)
    weather = 1 + generator.random(40)
    chosen, other = [float(each) for each in weather * 1.02], [float(each) for each in weather]
    paired = ratio_of_medians(sampled(chosen), sampled(other))
    apart = ratio_of_medians(sampled(chosen), Sampled(costs=other, rounds=range(100, 140)))
    assert (paired.low, paired.high) == (pytest.approx(1.02), pytest.approx(1.02))
    assert apart.low < 1 < apart.high


def test_a_real_difference_is_established_and_chance_is_not() -> None:
    generator = np.random.default_rng(2)
    base = drawn(generator, 0.100, 60)
    real = regret(sampled(base), {"faster": sampled(drawn(generator, 0.090, 60)), "slower": sampled([3.0] * 3)})
    assert real.established
    assert real.best == "faster"
    assert real.fraction.low < 1 / 0.9 - 1 < real.fraction.high
    alone = regret(sampled(base), {"slower": sampled([3.0] * 3)})
    assert (alone.best, alone.fraction.value, alone.fraction.high) == ("chosen", 0, 0)


def test_intervals_hold_the_truth_as_often_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six options that are equally fast: seldom is one taken to be faster; a known regret is mostly held."""
    monkeypatch.setattr(module, "_RESAMPLES", 300)
    generator = np.random.default_rng(3)
    false_alarms = held = 0
    for _ in range(60):
        same = {str(number): sampled(drawn(generator, 1.0, 15)) for number in range(5)}
        false_alarms += regret(sampled(drawn(generator, 1.0, 15)), same).established
        known = regret(sampled(drawn(generator, 1.1, 15)), same).fraction
        held += known.low <= 0.1 <= known.high
    assert false_alarms <= 6
    assert held >= 54


def test_more_comparisons_make_wider_intervals() -> None:
    generator = np.random.default_rng(4)
    chosen, other = sampled(drawn(generator, 1.05, 30)), sampled(drawn(generator, 1.0, 30))
    slow = {str(number): sampled([9.0] * 3) for number in range(8)}
    alone, among = regret(chosen, {"other": other}), regret(chosen, {"other": other, **slow})
    assert among.fraction.value == alone.fraction.value
    assert among.fraction.low <= alone.fraction.low
    assert among.fraction.high >= alone.fraction.high
