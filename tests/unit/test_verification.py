from __future__ import annotations

import numpy as np
import pytest

from offload.artifacts.verification import Drift, Verification
from offload.verification.execute import is_stable, output_error
from offload.verification.verify import plan_link, verdict_of
from tests import synthetic

STILL = Drift(profiled_s=0.002, now_s=(0.002, 0.002, 0.0021))
SLOWER = Drift(profiled_s=0.002, now_s=(0.00266, 0.00266, 0.0027))


def test_within_tolerance_by_the_raw_error() -> None:
    assert verdict_of(synthetic.verification(factor=1.09)) == "within tolerance"
    assert verdict_of(synthetic.verification(factor=0.91)) == "within tolerance"


@pytest.mark.parametrize("factor", [1.2, 0.8])
def test_out_of_tolerance_on_machines_that_stayed_as_they_were(factor: float) -> None:
    assert verdict_of(synthetic.verification(factor=factor, device_drift=STILL)) == "out of tolerance"
    assert verdict_of(synthetic.verification(factor=factor, device_drift=None)) == "out of tolerance"


def test_a_machine_that_changed_is_no_ground_for_a_verdict() -> None:
    changed = synthetic.verification(factor=1.33, device_drift=SLOWER, server_drift=SLOWER)
    assert verdict_of(changed) == "cannot tell"
    assert changed.drift == pytest.approx(0.33)


def with_chosen(place: str, **changes: object) -> Verification:
    """A verification in which everything took a third longer and one side was chosen."""
    made = synthetic.plan()
    option = made.device_only if place == "device" else made.server_only
    return synthetic.verification(factor=1.33, chosen=synthetic.measurement(option, factor=1.33), **changes)


@pytest.mark.parametrize(("place", "unused"), [("device", "server_drift"), ("server", "device_drift")])
def test_only_machines_that_the_plan_computes_on_count(place: str, unused: str) -> None:
    quiet = {"device_drift": None, "server_drift": None} | {unused: SLOWER}
    assert with_chosen(place, **quiet).drift == 0


def test_the_corrected_error_takes_out_what_the_whole_model_shows() -> None:
    assert with_chosen("device").chosen.error == pytest.approx(0.33)
    assert with_chosen("device").corrected_error == pytest.approx(0.0, abs=1e-9)
    server = with_chosen("server")
    predicted = server.chosen.option.breakdown
    slower = predicted.latency_s.value + 0.33 * predicted.server_s.value
    assert server.corrected_error == pytest.approx(1.33 * predicted.latency_s.value / slower - 1)


def test_three_windows_within_ten_percent_are_stable() -> None:
    assert not is_stable([1.0] * 29)
    assert is_stable([1.0] * 30)
    assert is_stable([9.0] * 10 + [1.0] * 10 + [1.1] * 10 + [1.05] * 10)
    assert not is_stable([1.0] * 20 + [1.3] * 10)
    assert is_stable([1.0] * 9, window=3)
    assert not is_stable([1.0], window=0)


def test_output_errors_are_relative_to_the_largest_value() -> None:
    right = {"y": np.array([100.0, 0.001])}
    assert output_error({"y": np.array([100.0, 0.101])}, right) == pytest.approx(1e-3)
    assert output_error(right, right) == 0
    assert output_error({"y": np.zeros(3)}, right) == float("inf")
    assert output_error({"y": np.array([np.nan, 0.001])}, right) == float("inf")
    assert output_error({"y": np.zeros(2)}, {"y": np.zeros(2)}) == 0


def test_the_plans_link_is_emulated_with_half_the_round_trip_each_way() -> None:
    up, down = plan_link(synthetic.plan())
    link = synthetic.plan().link
    assert (up.rate_bps, up.delay_s) == (link.uplink_bps, link.rtt_s / 2)
    assert (down.rate_bps, down.delay_s) == (link.downlink_bps, link.rtt_s / 2)
