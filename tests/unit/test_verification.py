from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from offload.artifacts.link import Link
from offload.artifacts.verification import Drift, LeftOut, Verification
from offload.errors import OffloadError
from offload.reports.render import render
from offload.verification.endpoint import plan_link
from offload.verification.execute import output_error
from offload.verification.verify import options_by_role, ruled_out, verdict_of
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


def test_cores_taken_by_other_work_are_no_ground_for_a_verdict() -> None:
    made = synthetic.verification(factor=1.33, device_drift=STILL)
    assert verdict_of(made) == "out of tolerance"
    waiting = tuple(dataclasses.replace(one, waited_s=0.2 * one.latency_s) for one in made.chosen.samples)
    disturbed = synthetic.verification(
        factor=1.33, device_drift=STILL, chosen=dataclasses.replace(made.chosen, samples=waiting)
    )
    assert disturbed.waited == pytest.approx(0.2)
    assert verdict_of(disturbed) == "cannot tell"
    text = render(disturbed.model_copy(update={"verdict": "cannot tell"}), "table")
    assert "Verdict: cannot tell, other work took the device's cores for 20.0 % of a request" in text


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


def test_the_options_to_measure_are_distinct_and_the_best() -> None:
    made = synthetic.plan(link=Link(uplink_bps=20e6, downlink_bps=20e6, rtt_s=0.002))
    baselines = [made.chosen, made.device_only, made.server_only]
    others = [option for option in made.alternatives if option not in baselines]
    assert list(options_by_role(made, alternatives=0)) == ["chosen", "device-only", "server-only"]
    found = options_by_role(made, alternatives=1)
    assert found["alternative 1"] == others[0]
    assert [one for role, one in options_by_role(made, alternatives=9).items() if role.startswith("a")] == others


def test_no_regret_over_a_baseline_that_the_limits_rule_out() -> None:
    made = synthetic.plan()
    assert ruled_out(made) == ()
    assert ruled_out(made.model_copy(update={"ruled_out": ("device",)})) == ("device-only",)
    assert ruled_out(made.model_copy(update={"ruled_out": ("device", "server")})) == ("device-only", "server-only")
    assert synthetic.verification().regret.over == ("device-only",)
    assert synthetic.verification(maybe_forbidden=("device-only",)).regret.over == ()


def left_out(role: str, made: Verification) -> LeftOut:
    return LeftOut(role=role, option=made.chosen.option, request_s=20.0, available_s=6.0)


def test_alternatives_keep_their_numbers_when_one_is_left_out() -> None:
    made = synthetic.verification()
    found = synthetic.verification(alternatives=(made.chosen, made.chosen), left_out=(left_out("alternative 2", made),))
    assert list(found.by_role()) == ["chosen", "device-only", "server-only", "alternative 1", "alternative 3"]


def test_nothing_is_corrected_by_a_whole_that_was_not_measured() -> None:
    made = synthetic.verification()
    without_device = {"device_only": None, "left_out": (left_out("device-only", made),)}
    assert with_chosen("device", **without_device).corrected_error is None
    assert with_chosen("server", **without_device).corrected_error == with_chosen("server").corrected_error


def test_nothing_is_corrected_by_a_whole_that_was_predicted_to_take_no_time() -> None:
    made = synthetic.verification()
    assert made.device_only is not None
    nowhere = synthetic.exact_breakdown(uplink_s=0.1)
    untimed = dataclasses.replace(
        made.device_only, option=dataclasses.replace(made.device_only.option, breakdown=nowhere)
    )
    assert with_chosen("device", device_only=untimed).corrected_error is None


def test_a_baseline_is_measured_or_explained() -> None:
    with pytest.raises(ValueError, match="neither measured nor left out"):
        synthetic.verification(server_only=None)


def test_a_file_without_the_newer_fields_loads() -> None:
    document = json.loads(synthetic.verification().to_json())
    for field in ("alternatives", "left_out", "target", "stopped", "measuring_s"):
        del document[field]
    for option in ("chosen", "device_only", "server_only"):
        for sample in document[option]["samples"]:
            for field in ("compute_input_s", "compute_output_s", "receive_s", "started_s", "round_number"):
                del sample[field]
    old = Verification.from_json(json.dumps(document), source="old.json")
    assert old.regret.over == ("device-only",)
    assert old.chosen.trend is not None
    assert old.chosen.windows[0].started_s is None


@pytest.mark.parametrize(
    ("where", "value", "field"),
    [
        (("chosen", "samples", 3, "device_s"), -1.0, "chosen.samples.3.device_s"),
        (("chosen", "samples", 3, "latency_s"), 0.0, "chosen.samples.3.latency_s"),
        (("chosen", "samples", 3, "latency_s"), 1e300, "chosen.samples.3.latency_s"),
        (("chosen", "samples", 3, "started_s"), -0.5, "chosen.samples.3.started_s"),
        (("chosen", "samples", 3, "round_number"), -1, "chosen.samples.3.round_number"),
        (("chosen", "samples", 3, "receive_s"), "soon", "chosen.samples.3.receive_s"),
        (("chosen", "samples"), [], "chosen.samples"),
        (("output_error",), -1.0, "output_error"),
        (("tail_bytes",), -1, "tail_bytes"),
        (("stopped",), "bored", "stopped"),
        (("chosen", "option", "breakdown", "latency_s", "value"), 0.0, "the document"),
    ],
)
def test_what_cannot_have_been_measured_is_refused(where: tuple[Any, ...], value: Any, field: str) -> None:
    document = json.loads(synthetic.verification().to_json())
    place = document
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    with pytest.raises(OffloadError) as caught:
        Verification.from_json(json.dumps(document), source="verification.json")
    assert caught.value.message.startswith(f"verification.json is damaged at {field}")
    assert caught.value.hint


def test_a_sample_that_is_no_number_is_refused() -> None:
    text = synthetic.verification().to_json().replace('"device_s": 0.0', '"device_s": NaN', 1)
    with pytest.raises(OffloadError, match="NaN is not JSON"):
        Verification.from_json(text, source="verification.json")


def test_the_thirds_of_a_run_hold_every_request_once() -> None:
    chosen = synthetic.verification().chosen
    for count in (9, 10, 11, 20):
        samples = tuple(dataclasses.replace(chosen.samples[0], latency_s=1.0 + number) for number in range(count))
        windows = dataclasses.replace(chosen, samples=samples).windows
        sizes = [len(part) for part in np.array_split(np.arange(count), 3)]
        ends = np.cumsum([0, *sizes])
        medians = [float(np.median(1.0 + np.arange(ends[i], ends[i + 1]))) for i in range(3)]
        assert [window.measured["latency_s"].value for window in windows] == medians
    assert dataclasses.replace(chosen, samples=chosen.samples[:8]).windows == ()
