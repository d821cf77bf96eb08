"""Reports on small artifacts: the right number, in the right unit, in every format."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import pytest

from offload.artifacts.dividing import DividedRuns
from offload.artifacts.estimate import Estimate
from offload.artifacts.link import Link
from offload.artifacts.plan import ColdStart, Limits, Offer
from offload.artifacts.policy import Choice, Policy, PolicyRow, Terms
from offload.artifacts.verification import Drift, LeftOut, Verification
from offload.planners.base import Constraints
from offload.predictors.radios import load_radio
from offload.reports.document import Interval, Quantity, human
from offload.reports.models import Network, models_report
from offload.reports.names import abbreviated
from offload.reports.profile import group_costs
from offload.reports.render import render, render_report, report_on
from offload.reports.verification import relative_error
from tests import synthetic


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Quantity(value=0.0417, unit="s"), "41.7 ms"),
        (Quantity(value=0.0, unit="s"), "0 s"),
        (Quantity(value=None, unit="J"), "–"),
        (Quantity(value=0.0, unit="J"), "0 J"),
        (Quantity(value=0.048, unit="J"), "48 mJ"),
        (Quantity(value=802_816, unit="B"), "802.8 kB"),
        (Quantity(value=8.2e9, unit="FLOP"), "8.2 GFLOP"),
        (Quantity(value=200e9, unit="FLOP/s"), "200.0 GFLOP/s"),
        (Quantity(value=450e6, unit="bit/s"), "450 Mbit/s"),
        (Quantity(value=0.0512, unit="fraction"), "5.1 %"),
        (Quantity(value=0.05, unit="change"), "+5.0 %"),
        (Quantity(value=-0.05, unit="change"), "-5.0 %"),
        (Quantity(value=4.2, unit="times"), "4.20×"),
        (Quantity(value=5.4791, unit="W"), "5.479 W"),
        (Quantity(value=12345, unit="count"), "12 345"),
        (Interval(low=0.0412, high=0.0423, unit="s"), "41.2 – 42.3 ms"),
        (Interval(low=0.0009, high=0.0011, unit="s"), "900 µs – 1.10 ms"),
        ("plain", "plain"),
    ],
)
def test_cells_as_people_read_them(cell: str | Quantity | Interval, text: str) -> None:
    assert human(cell) == text


def test_a_profile_as_a_table() -> None:
    text = lines(render(synthetic.profile(power_w=3.2), "table"))
    assert text[0] == "toy, batch 1, fp32, on cpu (1 thread, onnxruntime)"
    assert "layer0 conv 1×600 2.4 kB 2.0 MFLOP 10.0 ms – 66.7 % 200.0 MFLOP/s 32 mJ" in text
    assert "whole model 15.0 ms –" in text
    assert "energy, modelled: 3.2 W declared × time 48 mJ –" in text
    assert "gap, spread over the kernels +0.0 %" in text
    assert "profiler's own slowing +10.0 %" in text
    assert "5 rounds, stopped by: precision, interval ±1.0 % of the median" in text


def test_a_profile_as_csv_is_in_base_units_and_complete() -> None:
    records = rows(render(synthetic.profile(), "csv"))
    assert [record["layers"] for record in records] == ["layer0", "layer1", "layer2"]
    first = records[0]
    assert float(first["median_s"]) == pytest.approx(0.010)
    assert int(first["output_bytes"]) == 2400
    assert int(first["flops"]) == 2_000_000
    assert float(first["achieved_flops_per_s"]) == pytest.approx(2e8)
    assert float(first["share_of_whole"]) == pytest.approx(2 / 3)


def test_only_the_slowest_ten_unless_all_are_asked_for() -> None:
    graph = synthetic.chain(floats=[10] * 13, flops=[100] * 12)
    profile = synthetic.profile(graph, [number / 1000 for number in range(1, 13)])
    few, every = report_on(profile).sections[0], report_on(profile, all_layers=True).sections[0]
    assert [row[0] for row in few.rows] == [f"layer{number}" for number in range(11, 1, -1)]
    assert "slowest 10 of 12" in few.title
    assert [row[0] for row in every.rows] == [f"layer{number}" for number in range(12)]
    assert len(rows(render(profile, "csv"))) == 12


def test_fused_layers_are_one_row_of_the_kind_that_computes_most() -> None:
    fused = synthetic.profile(times_s=(0.011, 0.004), groups=[(0, 1), (2,)])
    cost = group_costs(fused)[0]
    assert cost.kind == "conv"
    assert cost.flops == 2_000_300
    assert [tensor.name for tensor in cost.outputs] == ["t1"]
    assert cost.output_bytes == 1200
    assert "layer0 + layer1 conv 1×300 1.2 kB" in " ".join(lines(render(fused, "table")))


def test_long_names_are_abbreviated() -> None:
    assert abbreviated(["a"]) == "a"
    assert abbreviated(["conv1", "relu"]) == "conv1 + relu"
    names = [f"layer3.5.convolution{number}" for number in range(5)]
    assert abbreviated(names) == "layer3.5.convolution0 … layer3.5.convolution4 (+3)"


def test_intervals_come_from_the_rounds() -> None:
    noisy = synthetic.profile(whole_s=(0.014, 0.015, 0.016, 0.015, 0.015))
    total = next(line for line in lines(render(noisy, "table")) if line.startswith("whole model"))
    assert total == "whole model 15.0 ms 14.0 – 16.0 ms"


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"dirty_rounds": (1, 2)}, "2 of 5 rounds were disturbed"),
        ({"dirty_rounds": (0, 1, 2, 3, 4)}, "every round was disturbed"),
        ({"stopped": "time cap", "precision_reached": 0.041}, "still ±4.1 %: raise --max-time"),
        ({"stopped": "interrupted"}, "interrupted"),
        ({"whole_s": (0.030,) * 5}, "-50.0 % off the whole"),
        ({"model": synthetic.identity(untrained=True)}, "untrained weights"),
        ({"source": "assumed", "server_preset": "t4"}, "assumed from published peak rates"),
    ],
)
def test_what_should_be_known_before_relying_on_a_profile(changes: dict[str, object], warning: str) -> None:
    assert warning in render(synthetic.profile(**changes), "table")  # type: ignore[arg-type]


def test_why_the_layers_of_a_trace_do_not_add_up() -> None:
    """In each run another layer was disturbed, so no layer's median shows it; or the tool itself took the time."""
    fields = {"source": "imported", "imported_from": "a trace", "whole_s": (0.024,) * 3, "profiled_s": (0.024,) * 3}
    steady = synthetic.profile(rounds=3, **fields)  # type: ignore[arg-type]
    times = [tuple(0.020 if run == at else 0.002 for run in range(3)) for at in range(3)]
    groups = [dataclasses.replace(group, samples_s=one) for group, one in zip(steady.groups, times, strict=True)]
    disturbed = synthetic.profile(rounds=3, **fields).model_copy(update={"groups": tuple(groups)})  # type: ignore[arg-type]
    for made, warning in (
        (steady, "the sum of the layers is -37.5 % off the whole that the tool tells, which holds its profiler's own"),
        (disturbed, "the sum of the layers' medians is -75.0 % off the whole, as layers' times differ from run to run"),
    ):
        assert warning in " ".join(lines(render(made, "table")))


def test_a_quiet_precise_profile_warns_of_nothing() -> None:
    runs = DividedRuns(device_layers=(0,), whole_s=(0.015,), head_s=(0.010,), tail_s=(0.005,))
    calm = synthetic.profile(divided=(runs,))
    calm = calm.model_copy(update={"environment": dataclasses.replace(calm.environment, load_average=1.2)})
    assert "Before you rely" not in render(calm, "table")
    busy = calm.model_copy(update={"environment": dataclasses.replace(calm.environment, load_average=7.5)})
    assert "load average 7.5" in render(busy, "table")


def test_layers_of_no_known_kind_are_counted() -> None:
    graph = synthetic.chain()
    other = dataclasses.replace(graph.layers[2], kind="other")
    graph = dataclasses.replace(graph, layers=(*graph.layers[:2], other))
    assert "26.7 % of the time is in layers of no known kind" in render(synthetic.profile(graph), "table")


def test_a_plan_that_offloads() -> None:
    text = lines(render(synthetic.plan(), "table"))
    assert text[0] == "Plan for toy, batch 1: least latency (neurosurgeon)"
    assert "Send 1 tensor, 4 000 B (the input), run everything there." in text
    assert "4.20× faster than device-only" in text
    assert "uplink 1.07 ms – 0 s 1.07 ms" in text
    assert "whole request 3.57 ms – 15.0 ms 3.57 ms" in text
    assert "sent 4.0 kB 0 B 4.0 kB" in text
    assert "link: 450 Mbit/s up, 450 Mbit/s down, round trip 2.00 ms (declared)" in text
    assert "energy" not in " ".join(text)


def test_a_plan_worse_than_a_baseline_that_the_limits_rule_out() -> None:
    text = render(synthetic.plan(constraints=Constraints(private_depth=0)), "table")
    assert "× slower than server-only, which the limits rule out" in text


def test_a_plan_that_stays_here_says_so() -> None:
    text = render(synthetic.plan(link=Link(uplink_bps=1e4, downlink_bps=1e4, rtt_s=0.0)), "table")
    assert "Do not offload: run everything here." in text
    assert "faster than server-only" in text


def test_energy_is_shown_with_its_source() -> None:
    text = lines(render(synthetic.energy_plan(), "table"))
    assert "energy, computing (modelled) 0 J – 48 mJ 0 J" in text
    assert "energy, sending (modelled) 9.29 mJ – 0 J 9.29 mJ" in text
    assert "energy, idle meanwhile (modelled) 3.21 mJ – 0 J 3.21 mJ" in text
    assert "energy, all 12.5 mJ – 48 mJ 12.5 mJ" in text
    radio = next(line for line in text if line.startswith("radio: "))
    assert radio.startswith("radio: wifi, 5.479 W while sending, 2.72 W receiving, on top of the idle power (modelled")
    assert "3.83× less energy than device-only" in text


def test_energy_as_in_the_paper_has_two_terms_and_says_so() -> None:
    link = Link(uplink_bps=18.88e6, downlink_bps=18.88e6, rtt_s=0.0)
    device = synthetic.profile(power_w=3.2)
    paper = synthetic.plan(device=device, link=link, target="energy", radio=load_radio("wifi"), paper_energy=True)
    text = lines(render(paper, "table"))
    assert "energy, all 9.29 mJ – 48 mJ 9.29 mJ" in text
    assert "idle" not in " ".join(text).replace("on top of the idle power", "")
    assert any("computing and sending only" in line for line in text)


def test_figures_of_a_whole_phone_are_called_so() -> None:
    text = render(synthetic.energy_plan(radio=load_radio("5g-mmwave")), "table")
    assert "5.832 W while sending, 5.664 W receiving, of the whole device" in text
    assert "power while receiving is not published" in text


def test_requests_on_a_charge() -> None:
    text = lines(render(synthetic.energy_plan(battery_j=48.0), "table"))
    assert "requests on a charge of 48.00 J 3 826 – 1 000 3 826" in text
    record = rows(render(synthetic.energy_plan(battery_j=48.0), "csv"))[1]
    assert float(record["charge_requests"]) == pytest.approx(1000)


def test_a_plan_for_throughput() -> None:
    text = lines(render(synthetic.plan(target="throughput"), "table"))
    assert text[0] == "Plan for toy, batch 1: most requests per second (neurosurgeon)"
    assert "pipelined, an answer every 1.50 ms – 15.0 ms 1.50 ms" in text
    assert "10.00× more requests per second than device-only" in text


def test_the_cold_start_says_when_it_pays() -> None:
    cold = ColdStart(tail_bytes=1_500_000, upload_s=Estimate.exactly(0.25), pays_after=12)
    made = synthetic.plan().model_copy(update={"cold_start": cold})
    assert "the server's part goes up: 1.5 MB in 250 ms, won back after 12 requests" in render(made, "table")
    never = made.model_copy(update={"cold_start": dataclasses.replace(cold, pays_after=None)})
    assert "1.5 MB in 250 ms, which no request wins back" in render(never, "table")


def test_what_a_plan_had_to_keep_to() -> None:
    limits = Limits(max_latency_s=0.05, device_memory_bytes=5e8, pins={"conv1": "device"}, private_depth="conv2")
    made = synthetic.plan()
    forced = made.model_copy(update={"limits": limits, "do_not_offload": True, "ruled_out": ("device",)})
    text = render(forced, "table")
    assert (
        "limits: a request takes at most 50.0 ms; memory here at most 500.0 MB; conv1 runs here; nothing above the "
        "output of conv2 leaves" in text
    )
    assert "Do not offload unless you must: it does not beat device-only, which the limits rule out" in text
    assert "unless you must" not in render(made, "table")


def test_how_sure_the_search_is() -> None:
    made = synthetic.plan()
    exact = made.model_copy(update={"exact": True, "legal_cuts": 1234})
    assert "Exact: no legal cut of 1 234 is better." in render(exact, "table")
    bounded = render(
        made.model_copy(update={"exact": False, "notes": ("no cut can be more than 3 % better",)}), "table"
    )
    assert "Exact" not in bounded
    assert "no cut can be more than 3 % better" in bounded


def test_neurosurgeons_own_choice_is_shown_when_it_is_another() -> None:
    made = synthetic.plan()
    text = render(made.model_copy(update={"paper_choice": made.device_only}), "table")
    assert "Neurosurgeon, which cuts between consecutive layers only, would run everything here: +320.0 % time" in text


def test_other_servers_stand_below_the_one_taken() -> None:
    made = synthetic.plan()
    offer = Offer(server=synthetic.party(source="assumed", preset="t4", load=3.0), best=made.device_only)
    taken = made.model_copy(update={"other_servers": (offer,), "server": synthetic.party(name="there.json")})
    section = report_on(taken).sections[3]
    assert section.title == "Servers, the one taken first"
    assert human(section.rows[0][0]) == "cpu, 1 thread, measured (there.json)"
    assert [human(cell) for cell in section.rows[1]] == [
        "t4, assumed from published peak rates, 3× slower by other work", "run everything here", "15.0 ms",
    ]  # fmt: skip


def test_the_front_of_latency_against_energy() -> None:
    made = synthetic.energy_plan()
    made = made.model_copy(update={"pareto": (made.chosen, made.device_only)})
    assert "run everything here 15.0 ms 48 mJ" in lines(render(made, "table"))
    assert [row["option"] for row in rows(render(made, "csv"))][-2:] == ["pareto 1", "pareto 2"]


def policy_row(slow: float, fast: float, choice: int, least: float = 1.0, most: float = 1.0) -> PolicyRow:
    return PolicyRow(
        slowest_uplink_bps=slow, fastest_uplink_bps=fast, least_server_load=least, most_server_load=most, choice=choice
    )  # fmt: skip


def policy_of(*words: str, **rows: tuple[PolicyRow, ...]) -> Policy:
    cost = (Terms(fixed=1.0),)
    return Policy(choices=tuple(Choice(device_runs=(), words=each, stages=cost) for each in words), **rows)  # type: ignore[arg-type]


def test_the_policy_in_human_units() -> None:
    policy = policy_of(
        "stay", "cut", "go",
        by_uplink=(policy_row(1e4, 2e6, 0), policy_row(2e6, 12.3e6, 1), policy_row(12.3e6, 1e11, 2)),
        by_load=(policy_row(5e6, 5e6, 1, 1.0, 7.5), policy_row(5e6, 5e6, 0, 7.5, 100.0)),
    )  # fmt: skip
    text = lines(render(synthetic.plan().model_copy(update={"policy": policy}), "table"))
    for line in ("up to 2 Mbit/s stay", "2 Mbit/s to 12.3 Mbit/s cut", "from 12.3 Mbit/s up go"):
        assert line in text
    assert "up to 7.50× cut" in text
    assert "from 7.50× up stay" in text
    limited = policy_of(
        "cut", by_uplink=(policy_row(2e6, 1e11, 0),), by_load=(policy_row(5e6, 5e6, 0, 1.0, 7.5),)
    )  # fmt: skip
    text = lines(render(synthetic.plan().model_copy(update={"policy": limited}), "table"))
    for line in ("up to 2 Mbit/s no cut keeps to the limits", "from 2 Mbit/s up cut"):
        assert line in text
    for line in ("up to 7.50× cut", "from 7.50× up no cut keeps to the limits"):
        assert line in text


def test_of_many_ranges_those_around_the_plan_are_shown() -> None:
    """The plan is for 450 Mbit/s and an idle server."""
    rates = tuple(policy_row(n * 10e6, (n + 1) * 10e6, n) for n in range(1, 60))
    loads = tuple(policy_row(450e6, 450e6, n, n, n + 1) for n in range(1, 60))
    policy = policy_of(*(f"cut{n}" for n in range(60)), by_uplink=rates, by_load=loads)
    text = lines(render(synthetic.plan().model_copy(update={"policy": policy}), "table"))
    assert "440 Mbit/s to 450 Mbit/s cut44" in text
    assert "370 Mbit/s to 380 Mbit/s cut37" in text
    assert "510 Mbit/s to 520 Mbit/s cut51" in text
    assert not any(line.endswith("cut53") for line in text)
    assert "these are 16 of 61 ranges; the plan's file has them all" in text
    assert "up to 2.00× cut1" in text
    assert "these are 16 of 60 ranges; the plan's file has them all" in text


def test_an_assumed_server_and_a_slower_device_are_named() -> None:
    made = synthetic.plan(device_slowdown=8.0)
    made = made.model_copy(update={"server": synthetic.party(source="assumed", preset="t4")})
    text = lines(render(made, "table"))
    assert "server: t4, assumed from published peak rates" in text
    assert "device: cpu, 1 thread, measured, emulated 8× slower" in text


def test_many_ties_are_abbreviated() -> None:
    made = synthetic.plan().model_copy(update={"cannot_tell_apart": tuple(f"cut {number}" for number in range(6))})
    assert "plan: cut 0; cut 1; cut 2; and 3 more" in render(made, "table")


def test_a_plan_as_csv() -> None:
    records = rows(render(synthetic.energy_plan(), "csv"))
    assert [record["option"] for record in records][:3] == ["chosen", "device-only", "server-only"]
    assert float(records[0]["uplink_s"]) == pytest.approx(4000 * 8 / 18.88e6)
    assert float(records[1]["device_j"]) == pytest.approx(0.048)
    assert records[0]["energy_source"] == "modelled"
    without = rows(render(synthetic.plan(), "csv"))
    assert without[0]["device_j"] == ""


def test_a_verification_puts_measured_beside_predicted() -> None:
    text = lines(render(synthetic.verification(upload_s=0.25), "table"))
    assert text[0] == "Verification of toy, batch 1: within tolerance"
    assert "latency error +5.0 %, accepted ±10.0 %" in text
    assert "uplink 1.07 ms – 1.12 ms – +5.0 %" in text
    assert "device-only 15.0 ms 15.8 ms +5.0 % 15.8 ms 15.8 ms 15.8 ms 15.8 ms 20 yes" in text
    assert "largest output error 1e-06 of the largest output, accepted 0.0001" in text
    assert "upload of the server's part: 1.5 MB in 250 ms" in text


def test_drift_is_shown_raw_and_corrected() -> None:
    drifted = synthetic.verification(
        factor=1.33, verdict="cannot tell", device_drift=Drift(profiled_s=0.002, now_s=(0.00266,))
    )
    text = render(drifted, "table")
    assert "Verdict: cannot tell" in text
    assert "latency error +33.0 %" in text
    assert "device since it was profiled: reference kernel +33.0 %" in text


def test_a_field_predicted_at_nothing_has_no_error() -> None:
    assert relative_error(Estimate.exactly(0.0), Estimate.exactly(1.0)) is None
    assert relative_error(Estimate.exactly(2.0), Estimate.exactly(1.0)) == -0.5


def test_a_verification_as_csv_has_a_row_for_each_option() -> None:
    records = rows(render(synthetic.verification(), "csv"))
    assert [row["role"] for row in records] == ["chosen", "device-only", "server-only"]
    for row in records:
        assert float(row["latency_measured_s"]) == pytest.approx(1.05 * float(row["latency_predicted_s"]))
        assert float(row["latency_error_fraction"]) == pytest.approx(0.05)
    assert float(records[0]["uplink_error_fraction"]) == pytest.approx(0.05)
    assert records[1]["uplink_error_fraction"] == ""
    assert float(records[0]["uplink_measured_low_s"]) <= float(records[0]["uplink_measured_s"])


PERF_ANALYZER_CSV = """\
Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,\
Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency
1,69.2,225,2148,64,206,11781,19,0,13891,18795,19753,21018
"""


def test_the_csv_begins_with_perf_analyzers_columns_in_its_order_and_unit() -> None:
    verification = synthetic.verification()
    theirs, ours = rows(PERF_ANALYZER_CSV)[0], rows(render(verification, "csv"))
    assert list(ours[0])[: len(theirs)] == list(theirs)
    for row, measured in zip(ours, verification.by_role().values(), strict=True):
        parts = [name for name in theirs if name.startswith(("Client", "Network", "Server"))]
        assert all(row[name].isdigit() for name in parts)
        device_us = measured.samples[0].device_s * 1e6
        assert sum(int(row[name]) for name in parts) + device_us == pytest.approx(float(row["p50 latency"]), abs=5)
        assert float(row["Inferences/Second"]) == pytest.approx(1 / measured.samples[0].latency_s, rel=1e-3)
    assert [row["Network+Server Send/Recv"] for row in ours if row["role"] == "device-only"] == ["0"]


def test_a_batch_is_as_many_inferences() -> None:
    one, four = (
        rows(render(synthetic.verification(model=synthetic.identity(batch=batch)), "csv"))[0] for batch in (1, 4)
    )
    assert float(four["Inferences/Second"]) == pytest.approx(4 * float(one["Inferences/Second"]), rel=1e-3)


def test_a_file_that_does_not_tell_parts_leaves_their_columns_empty() -> None:
    chosen = synthetic.verification().chosen
    untold = dataclasses.replace(chosen.samples[0], receive_s=None, started_s=None, round_number=None)
    old = synthetic.verification(chosen=dataclasses.replace(chosen, samples=(untold,) * 20))
    row = rows(render(old, "csv"))[0]
    assert row["Client Recv"] == row["Network+Server Send/Recv"] == ""
    assert row["Client Send"] != ""
    assert "first third" in render(old, "table")


def regretting(*, factor: float = 0.9, **changes: object) -> Verification:
    """The plan's next best option measured, too: it took `factor` times what the chosen one did."""
    made = synthetic.plan()
    known = {option.device_layers for option in (made.chosen, made.device_only, made.server_only)}
    option = next(option for option in made.alternatives if option.device_layers not in known)
    chosen_s, own_s = made.chosen.breakdown.latency_s.value, option.breakdown.latency_s.value
    alternative = synthetic.measurement(option, factor=1.05 * factor * chosen_s / own_s)
    return synthetic.verification(alternatives=(alternative,), **changes)


def test_regret_names_the_better_option() -> None:
    text = lines(render(regretting(), "table"))
    assert "Regret: 11.1 %" in text
    assert any(line.startswith("the smallest median latency is that of alternative 1: run ") for line in text)
    assert "the difference is established" in text
    assert "95 % interval 11.1 % – 11.1 %, over: device-only, alternative 1" in text


def test_no_regret() -> None:
    text = lines(render(regretting(factor=1.2), "table"))
    assert "Regret: 0.0 %" in text
    assert "no measured option has a smaller median latency than this plan" in text


def test_regret_of_a_plan_for_energy_is_still_of_the_latency() -> None:
    assert "the plan's target is energy" in render(regretting(target="energy"), "table")


def test_an_option_that_was_left_out_is_named_with_its_reason() -> None:
    found = synthetic.verification()
    assert found.device_only is not None
    slow = LeftOut(role="device-only", option=found.device_only.option, request_s=20.1, available_s=6.0)
    left = synthetic.verification(device_only=None, left_out=(slow,))
    text = lines(render(left, "table"))
    assert any(
        line.startswith("device-only: not measured, one request takes 20.10 s, and the run had 6") for line in text
    )
    assert "not compared with: device-only" in text
    last = rows(render(left, "csv"))[-1]
    assert (last["role"], last["requests"], last["p50 latency"]) == ("device-only", "0", "")
    assert "20.10 s" in last["left_out_because"]


def test_errors_over_time_show_a_drift() -> None:
    calm = render(synthetic.verification(), "table")
    assert "Errors over time" in calm
    assert "the latency did not change beyond chance: last third against first +0.0 %" in calm
    chosen = synthetic.verification().chosen
    scale = [1 + 0.2 * number / 20 for number in range(20)]
    drifting = tuple(
        dataclasses.replace(sample, latency_s=sample.latency_s * factor, server_s=sample.server_s * factor)
        for sample, factor in zip(chosen.samples, scale, strict=True)
    )
    text = render(synthetic.verification(chosen=dataclasses.replace(chosen, samples=drifting)), "table")
    assert "the latency changed during the run: last third against first +1" in text
    assert "from 0 s" in text
    assert "from 3.50 s" in text


def test_few_requests_have_no_thirds() -> None:
    found = synthetic.verification()
    few = dataclasses.replace(found.chosen, samples=found.chosen.samples[:8])
    assert "Errors over time" not in render(synthetic.verification(chosen=few), "table")


@pytest.mark.parametrize("artifact", [synthetic.profile(), synthetic.plan(), synthetic.verification()])
def test_json_is_the_artifact_itself(artifact: synthetic.Profile) -> None:
    assert json.loads(render(artifact, "json"))["kind"] == artifact.kind


@pytest.mark.parametrize("artifact", [synthetic.profile(), synthetic.plan(), synthetic.verification()])
def test_markdown_tables_have_equally_many_cells(artifact: synthetic.Profile) -> None:
    text = render(artifact, "md")
    assert text.startswith("# ")
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1


def test_a_pipe_in_a_name_does_not_break_markdown() -> None:
    network = Network(
        name="a|b",
        input_shape=(3, 4),
        input_dtype="int64",
        layers=2,
        parameters=5,
        flops=6000,
        description="x",
        trained=False,
    )
    report = models_report([network])
    assert "| a\\|b | 3×4 ids | 2 | 5 | 6.0 kFLOP | x |" in render_report(report, "md")
    assert json.loads(render_report(report, "json")) == [dataclasses.asdict(network) | {"input_shape": "3x4"}]


def test_colours_only_when_asked_for_and_markup_in_names_is_left_alone() -> None:
    report = models_report(
        [
            Network(
                name="[red]name[/red]", input_shape=(1,), input_dtype="float32", layers=1, parameters=1, flops=1,
                trained=False, description=":smile:",
            )
        ]
    )  # fmt: skip
    assert "[red]name[/red]" in render_report(report, "table")
    assert ":smile:" in render_report(report, "table")
    assert "\x1b[" not in render_report(report, "table")
    assert "\x1b[" in render_report(report, "table", color=True)


def test_a_narrow_terminal_goes_without_the_lesser_columns_and_says_so() -> None:
    narrow = render(synthetic.profile(), "table", width=80)
    assert "(not shown in 80 columns: output, achieved" in narrow
    assert all(len(line) <= 80 for line in narrow.partition("Before you rely")[0].splitlines())
    assert "layer0" in narrow
    assert "10.0 ms" in narrow
    assert "not shown" not in render(synthetic.profile(), "table", width=130)


def test_there_is_no_report_on_anything_else() -> None:
    with pytest.raises(TypeError, match="no report"):
        report_on(_Foreign())  # type: ignore[arg-type]


class _Foreign:
    kind = "costs"
