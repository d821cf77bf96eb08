from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.artifacts.estimate import Estimate, add
from offload.artifacts.profile import KernelGroup, Profile
from offload.profilers.reference import dirty_rounds, waited_s
from tests.synthetic import chain
from tests.synthetic import profile as synthetic_profile


def closed(raw_s: list[float], kernels: list[int], whole_s: float, rounds: int = 5) -> Profile:
    graph = chain((1,) * (len(raw_s) + 1), (1,) * len(raw_s))
    base = synthetic_profile(graph, [0.001] * len(raw_s))
    groups = tuple(
        KernelGroup(layers=(i,), kernels=count, samples_s=(seconds,) * rounds)
        for i, (seconds, count) in enumerate(zip(raw_s, kernels, strict=True))
    )
    update = {
        "whole_s": (whole_s,) * rounds, "profiled_s": (whole_s,) * rounds, "reference_s": (0.001,) * rounds,
        "groups": groups, "dirty_rounds": (), "source": "measured",
    }  # fmt: skip
    return Profile.model_validate(base.model_dump() | update)


def test_the_gap_is_spread_over_kernels_not_over_time() -> None:
    profile = closed([0.010, 0.002], [1, 3], whole_s=0.012016)
    assert np.median(profile.group_samples_s, axis=0) == pytest.approx([0.010004, 0.002012])


def test_what_the_profiler_adds_is_taken_off_each_kernel() -> None:
    profile = closed([0.010, 0.002], [1, 1], whole_s=0.011992)
    assert np.median(profile.group_samples_s, axis=0) == pytest.approx([0.009996, 0.001996])
    assert profile.raw_gap == pytest.approx(0.012 / 0.011992 - 1)


def test_a_gap_that_no_dispatch_can_explain_is_scaled_away() -> None:
    profile = closed([0.010, 0.002], [1, 1], whole_s=0.024)
    large, small = np.median(profile.group_samples_s, axis=0)
    assert large / small == pytest.approx(10.005 / 2.005)


def test_no_group_loses_more_than_half_of_its_raw_time_before_scaling() -> None:
    profile = closed([0.010, 0.000001], [1, 1], whole_s=0.0095)
    tiny = np.median(profile.group_samples_s, axis=0)[1]
    assert 0.4e-6 < tiny < 0.6e-6


@given(
    raw=st.lists(st.floats(1e-6, 1e-2), min_size=1, max_size=8),
    factor=st.floats(0.5, 3.0),
    data=st.data(),
)
def test_closed_medians_sum_to_the_whole_and_stay_positive(
    raw: list[float], factor: float, data: st.DataObject
) -> None:
    kernels = data.draw(st.lists(st.integers(1, 5), min_size=len(raw), max_size=len(raw)))
    profile = closed(raw, kernels, whole_s=sum(raw) * factor)
    medians = np.median(profile.group_samples_s, axis=0)
    assert medians.sum() == pytest.approx(profile.whole.value)
    assert (medians > 0).all()


def test_dirty_rounds_are_left_out_of_summaries() -> None:
    profile = closed([0.010], [1], whole_s=0.010, rounds=7)
    whole = (0.010, 0.5, 0.010, 0.5, 0.5, 0.5, 0.010)
    dirty = Profile.model_validate(profile.model_dump() | {"whole_s": whole, "dirty_rounds": (1, 3, 4, 5)})
    assert dirty.whole.value == pytest.approx(0.010)


def test_repeatability_is_students_interval_for_one_more_take() -> None:
    profile = closed([0.010], [1], whole_s=0.010, rounds=6)
    update = {"whole_s": (0.0100, 0.0100, 0.0101, 0.0101, 0.0099, 0.0099), "takes": (0, 0, 1, 1, 2, 2)}
    three = Profile.model_validate(profile.model_dump() | update)
    assert three.repeatability == pytest.approx(4.302653 * 0.01 * (4 / 3) ** 0.5, rel=1e-4)
    two = Profile.model_validate(profile.model_dump() | update | {"takes": (0, 0, 0, 1, 1, 1)})
    assert two.repeatability == two.whole.relative_half_width


@pytest.mark.parametrize("update", [{"takes": (0, 1)}, {"dirty_rounds": (5,)}])
def test_rounds_that_do_not_exist_are_refused(update: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="round"):
        Profile.model_validate(closed([0.010], [1], whole_s=0.010).model_dump() | update)


def test_a_round_is_dirty_when_its_reference_is_slow_or_its_threads_waited() -> None:
    assert dirty_rounds([1.0, 1.0, 1.3, 1.0], [1.0] * 4, [0.0, 0.05, 0.0, 0.01]) == (1, 2)
    assert dirty_rounds([], [], []) == ()


def test_waiting_for_a_core_never_goes_backwards() -> None:
    before = waited_s()
    assert 0 <= before <= waited_s()


def test_independent_estimates_add_in_quadrature() -> None:
    total = add([Estimate(value=10, low=7, high=13), Estimate(value=20, low=16, high=24)])
    assert (total.value, total.low, total.high) == pytest.approx((30, 25, 35))
