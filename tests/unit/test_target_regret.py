"""Energy and time between answers, joined from measured times: sums done by hand, and the planner's own as oracle."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from offload.artifacts.breakdown import TIME_FIELDS
from offload.artifacts.link import Link
from offload.artifacts.plan import Option, Plan
from offload.artifacts.request_costs import Flight
from offload.artifacts.verification import Measurement, RequestSample, Verification
from offload.planners.base import Problem
from offload.planners.mincut import MinCut
from offload.planners.plan import make_plan
from offload.predictors.radios import load_radio
from offload.reports.render import render
from offload.verification.charges import flight_of, waiting_of
from tests import synthetic

UPLOAD_J = (0.28317 * 18.88 + 0.13286) * 4000 * 8 / 18.88e6
"""4 kB over Wi-Fi at 18.88 Mbit/s, Huang et al.'s line: 5.479 W for 1.695 ms."""
DOWNLOAD_J = (0.13701 * 18.88 + 0.13286) * 40 * 8 / 18.88e6


def sample(round_number: int = 0, **times: float) -> RequestSample:
    fields = dict.fromkeys(TIME_FIELDS, 0.0) | times
    return RequestSample(**{"latency_s": sum(fields.values()), **fields}, round_number=round_number)


def measured(option: Option, *samples: RequestSample) -> Measurement:
    return Measurement(option=option, samples=samples, stable=True)


def verification(plan: Plan, chosen: Measurement, *, server_only: Measurement, **changes: object) -> Verification:
    fields: dict[str, object] = {
        "model": plan.model, "target": plan.target, "chosen": chosen, "device_only": chosen, "server_only": server_only,
        "waiting": waiting_of(plan), "flight": flight_of(plan),
    }  # fmt: skip
    return synthetic.verification(**(fields | changes))


def energy_verification(plan: Plan, *, device_s: float, away_s: float, **changes: object) -> Verification:
    """Everything on the device is the chosen option; the server's takes `away_s` and computes nothing here."""
    return verification(
        plan,
        measured(plan.device_only, *(sample(number, device_s=device_s) for number in range(9))),
        server_only=measured(plan.server_only, *(sample(number, server_s=away_s) for number in range(9))),
        **changes,
    )


def joules(found: Verification) -> dict[str, Sequence[float] | None]:
    return {role: found.costs(measurement, "energy") for role, measurement in found.by_role().items()}


def test_the_powers_of_the_plan_by_the_times_of_the_requests() -> None:
    """The device draws 3.2 W computing and 1 W idle; both are read off the plan."""
    found = energy_verification(synthetic.energy_plan(), device_s=0.020, away_s=0.050)
    by_role = joules(found)
    assert by_role["chosen"] == pytest.approx([0.064] * 9, rel=1e-12)
    assert by_role["server-only"] == pytest.approx([0.050 + UPLOAD_J + DOWNLOAD_J] * 9, rel=1e-9)
    assert found.target_regret is not None
    assert found.target_regret.best == "server-only"
    assert found.target_regret.fraction.value == pytest.approx(0.0787, abs=1e-4)
    assert found.regret.best == "chosen", "it is the fastest all the same"


def test_a_divided_request_is_charged_for_both() -> None:
    made = synthetic.energy_plan()
    option = next(one for one in (made.chosen, *made.alternatives) if one.place == "both")
    radio_j = (0.28317 * 18.88 + 0.13286) * option.uplink_bytes * 8 / 18.88e6
    request = sample(device_s=0.012, encode_s=0.001, uplink_s=0.004, server_s=0.030, downlink_s=0.005)
    found = energy_verification(made, device_s=1.0, away_s=1.0, alternatives=(measured(option, request),))
    (energy_j,) = joules(found)["alternative 1"] or ()
    assert energy_j == pytest.approx(3.2 * 0.012 + 1.0 * 0.040 + radio_j + DOWNLOAD_J, rel=1e-9)


@pytest.mark.parametrize(("slowdown", "load"), [(8.0, 1.0), (1.0, 4.0), (8.0, 4.0)])
def test_a_slower_device_draws_its_power_for_longer_and_a_load_is_not_charged(slowdown: float, load: float) -> None:
    made = synthetic.energy_plan(device_slowdown=slowdown, device_load=load)
    found = energy_verification(made, device_s=0.015 * slowdown * load, away_s=0.050)
    assert joules(found)["chosen"] == pytest.approx([3.2 * 0.015 * slowdown] * 9, rel=1e-12)


def test_idle_power_is_not_charged_while_the_radios_figure_is_the_whole_devices() -> None:
    made = synthetic.energy_plan(radio=load_radio("5g-mmwave"))
    found = energy_verification(made, device_s=0.020, away_s=0.050)
    on_air_s = {"up": 4000 * 8 / 18.88e6, "down": 40 * 8 / 18.88e6}
    radio_j = (0.00888 * 18.88 + 5.664) * on_air_s["up"] + 5.664 * on_air_s["down"]
    expected = 1.0 * (0.050 - sum(on_air_s.values())) + radio_j
    assert joules(found)["server-only"] == pytest.approx([expected] * 9, rel=1e-9)


def test_the_papers_energy_is_of_computing_and_sending() -> None:
    made = synthetic.energy_plan(paper_energy=True)
    assert waiting_of(made) is None
    found = energy_verification(made, device_s=0.020, away_s=0.050)
    assert joules(found)["server-only"] == pytest.approx([UPLOAD_J] * 9, rel=1e-9)
    assert joules(found)["chosen"] == pytest.approx([0.064] * 9)


def test_energies_are_paired_by_round() -> None:
    """What slows a round slows both options: what they differ by is known better than either."""
    made = synthetic.energy_plan()
    weather = [1.0 + 0.5 * (number * 7 % 20) / 20 for number in range(20)]
    chosen = measured(made.device_only, *(sample(n, device_s=0.020 * w) for n, w in enumerate(weather)))

    def against(offset: int) -> Verification:
        others = (sample(n + offset, server_s=0.050 * w) for n, w in enumerate(weather))
        return verification(made, chosen, server_only=measured(made.server_only, *others))

    paired, apart = against(0).target_regret, against(100).target_regret
    assert paired is not None
    assert apart is not None
    assert paired.established
    assert not apart.established
    assert paired.fraction.value == apart.fraction.value


def test_the_slowest_stage_without_what_is_under_way() -> None:
    """Half of the round trip, 1 ms, occupies no link."""
    made = synthetic.plan(target="throughput", link=Link(uplink_bps=450e6, downlink_bps=450e6, rtt_s=0.002))
    assert flight_of(made) == Flight(uplink_s=0.001, downlink_s=0.001)
    stages = {"device_s": 0.010, "encode_s": 0.001, "decode_s": 0.002, "server_s": 0.005, "downlink_s": 0.003}
    away = [
        sample(0, **stages, uplink_s=0.021),  # the uplink: 20 ms
        sample(1, **stages, uplink_s=0.008, queue_s=0.3),  # device and encode: 11 ms, whatever it waited
        sample(2, **(stages | {"server_s": 0.030}), uplink_s=0.021),  # decode and server: 32 ms
        sample(3, **(stages | {"downlink_s": 0.041}), uplink_s=0.021),  # the downlink: 40 ms
    ]
    chosen = measured(made.server_only, *away)
    device_only = measured(made.device_only, *(sample(number, device_s=0.013) for number in range(4)))
    found = verification(made, chosen, server_only=chosen, device_only=device_only)
    assert found.costs(found.chosen, "throughput") == pytest.approx([0.020, 0.011, 0.032, 0.040])
    assert found.target_regret is not None
    assert found.target_regret.fraction.value == pytest.approx(0.026 / 0.013 - 1)
    assert "Regret of the time between answers: 100.0 %, modelled" in lines(found)
    unclear = verification(
        made, chosen, server_only=chosen, device_only=device_only, network_split="predicted downlink"
    )
    assert unclear.target_regret is None
    assert "does not tell when it had each request" in lines(unclear)


@settings(max_examples=40, deadline=None)
@given(problem=synthetic.problems())
def test_requests_as_long_as_predicted_come_to_what_was_predicted(problem: Problem) -> None:
    made = make_plan(problem, planner=MinCut(), device_hash="d" * 64, server_hash="e" * 64)
    found = verification(made, synthetic.measurement(made.chosen), server_only=synthetic.measurement(made.server_only))
    for option in (made.chosen, made.device_only, made.server_only, *made.alternatives):
        predicted, requests = option.breakdown, synthetic.measurement(option, requests=1)
        assert predicted.energy_j is not None
        assert predicted.period_s is not None
        assert found.costs(requests, "energy") == pytest.approx([predicted.energy_j.value], rel=1e-6)
        assert found.costs(requests, "throughput") == pytest.approx([predicted.period_s.value], rel=1e-6, abs=1e-12)


def lines(found: Verification) -> str:
    return render(found, "table")


def test_the_report_says_what_is_modelled() -> None:
    found = energy_verification(synthetic.energy_plan(), device_s=0.020, away_s=0.050)
    text = lines(found)
    assert "Regret of the energy: 7.9 %, modelled" in text
    assert "no meter read these requests" in text
    assert "of the latency, which is measured, the regret is 0.0 %" in text
    assert "Energy of a request (modelled)" in text
    assert "from measured times" in text
    (chosen, *_, server_only) = csv.DictReader(io.StringIO(render(found, "csv")))
    assert float(chosen["energy_from_measured_times_J"]) == pytest.approx(0.064)
    assert float(chosen["energy_predicted_J"]) == pytest.approx(3.2 * 0.015)
    assert float(chosen["regret_fraction"]) == pytest.approx(0.0787, abs=1e-4)
    assert server_only["regret_fraction"] == ""


def test_a_plan_for_latency_has_its_regret_and_no_other() -> None:
    text = lines(synthetic.verification())
    assert "Regret: 0.0 %" in text
    assert "modelled" not in text
    assert "Energy of a request" not in text


def test_a_file_that_does_not_hold_the_powers_tells_the_latencys_regret() -> None:
    found = energy_verification(synthetic.energy_plan(), device_s=0.020, away_s=0.050)
    document = json.loads(found.to_json())
    del document["waiting"], document["flight"]
    old = Verification.from_json(json.dumps(document), source="old.json")
    assert old.target_regret is None
    assert "Regret of the latency: 0.0 %" in lines(old)
    assert "the plan's target is energy: its regret cannot be told" in lines(old)


def test_energies_that_are_none_are_not_divided_by() -> None:
    made = synthetic.energy_plan(paper_energy=True)
    nothing = dataclasses.replace(made.server_only.breakdown, radio_j=synthetic.exact_breakdown().device_s)
    free = dataclasses.replace(made.server_only, breakdown=nothing)
    found = energy_verification(made.model_copy(update={"server_only": free}), device_s=0.02, away_s=0.05)
    assert found.target_regret is None
    assert "Regret of the latency" in lines(found)
