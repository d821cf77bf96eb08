"""Medians, intervals, and how they combine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.artifacts.estimate import Estimate, add, median_estimate

samples = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=40)


@given(samples)
def test_the_median_lies_in_its_interval_and_that_in_the_samples(values: list[float]) -> None:
    estimate = median_estimate(values)
    assert estimate.value == pytest.approx(float(np.median(values)))
    assert min(values) <= estimate.low <= estimate.value <= estimate.high <= max(values)


@given(samples)
def test_an_estimate_repeats(values: list[float]) -> None:
    assert median_estimate(values) == median_estimate(values)


def test_the_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(7)
    hits = 0
    for _ in range(200):
        estimate = median_estimate(generator.lognormal(0.0, 0.3, 25).tolist())
        hits += estimate.low <= 1.0 <= estimate.high
    assert 0.88 <= hits / 200 <= 1.0


def test_one_outlier_does_not_move_the_median() -> None:
    assert median_estimate([1.0] * 9 + [100.0]).value == 1.0


def test_no_samples_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        median_estimate([])


def test_independent_half_widths_add_in_quadrature() -> None:
    total = add([Estimate(value=10, low=7, high=13), Estimate(value=20, low=16, high=24)])
    assert (total.value, total.low, total.high) == (30, 25, 35)


def test_scaling_overlap_and_relative_width() -> None:
    one = Estimate(value=2.0, low=1.0, high=3.0)
    assert one.scaled(2) == Estimate(value=4.0, low=2.0, high=6.0)
    assert one.relative_half_width == 0.5
    assert Estimate.exactly(0.0).relative_half_width == 0.0
    assert one.overlaps(Estimate(value=4.0, low=3.0, high=5.0))
    assert not one.overlaps(Estimate(value=4.0, low=3.1, high=5.0))
