"""The breakdown, checked against arithmetic done by hand."""

from __future__ import annotations

import dataclasses

import pytest

from offload.artifacts.breakdown import Breakdown
from offload.artifacts.link import AffineCost, Link, ProtocolCost, ProtocolSample, fit_affine
from offload.errors import OffloadError
from offload.graph.cuts import make_cut
from offload.planners.base import Constraints, Problem, check_problem
from offload.planners.costs import compute_time, make_option, predict, tears_kernel
from offload.predictors.radios import load_radio
from tests import synthetic

FREE = AffineCost()


def test_600_kilobytes_over_450_megabits_take_10_67_milliseconds() -> None:
    link = Link(uplink_bps=450e6, downlink_bps=10e6, rtt_s=0.0)
    assert link.uplink_s(600_000, FREE).value == pytest.approx(0.010667, abs=1e-6)
    assert link.downlink_s(600_000, FREE).value == pytest.approx(0.48)


def test_half_the_round_trip_and_the_protocols_own_cost_are_added() -> None:
    link = Link(uplink_bps=8e6, downlink_bps=8e6, rtt_s=0.004)
    assert link.uplink_s(1000, AffineCost(fixed_s=0.001)).value == pytest.approx(0.002 + 0.001 + 0.001)
    assert link.uplink_s(1000, AffineCost(per_byte_s=5e-6)).value == pytest.approx(0.002 + 0.001 + 0.005)


def test_a_message_carries_more_than_its_tensors_over_a_declared_link() -> None:
    link = Link(uplink_bps=8e6, downlink_bps=1e6, rtt_s=0.004)
    curve = AffineCost(per_byte_s=1e-6)
    protocol = AffineCost(fixed_s=0.001, message_bytes=500)
    assert link.uplink_s(1000, protocol).value == pytest.approx(0.002 + 0.0015 + 0.001)
    assert link.downlink_s(1000, protocol).value == pytest.approx(0.002 + 0.012 + 0.001)
    measured = Link(uplink_bps=8e6, downlink_bps=8e6, rtt_s=0.0, uplink_curve=curve, downlink_curve=curve)
    assert measured.uplink_s(1000, protocol).value == pytest.approx(0.001), "its sizes are payloads': it is in there"


def test_a_breakdown_by_hand() -> None:
    graph = synthetic.chain(floats=(1000, 150_000, 300, 10))
    problem = synthetic.problem(
        device=synthetic.profile(graph, (0.010, 0.001, 0.004), power_w=2.0),
        server=synthetic.profile(graph, (0.001, 0.0001, 0.0004)),
        link=Link(uplink_bps=450e6, downlink_bps=90e6, rtt_s=0.002),
        radio=load_radio("wifi"),
        device_slowdown=3.0,
    )
    costs = predict(problem, make_cut(graph, [0]))
    assert costs.device_s.value == pytest.approx(0.030)
    assert costs.uplink_s.value == pytest.approx(0.001 + 600_000 * 8 / 450e6)
    assert costs.server_s.value == pytest.approx(0.0005)
    assert costs.downlink_s.value == pytest.approx(0.001 + 40 * 8 / 90e6)
    assert costs.queue_s.value == costs.encode_s.value == costs.decode_s.value == 0
    assert costs.latency_s.value == pytest.approx(sum(field.value for field in costs.times().values()))
    assert costs.device_j is not None
    assert costs.device_j.value == pytest.approx(0.060)
    assert costs.radio_j is not None
    assert costs.radio_j.value == pytest.approx(5.479 * 600_000 * 8 / 450e6, rel=1e-3)
    assert costs.energy_source == "modelled"


def test_device_only_sends_nothing_and_server_only_computes_nothing_here() -> None:
    problem = synthetic.problem(radio=load_radio("lte"), device=synthetic.profile(power_w=1.0))
    everything = make_option(problem, make_cut(problem.graph, [0, 1, 2]))
    assert everything.place == "device"
    assert everything.uplink_bytes == everything.downlink_bytes == 0
    assert everything.breakdown.latency_s.value == pytest.approx(0.015)
    assert everything.breakdown.radio_j is not None
    assert everything.breakdown.radio_j.value == 0
    nothing = make_option(problem, make_cut(problem.graph, []))
    assert nothing.place == "server"
    assert nothing.uplink_bytes == 4000
    assert nothing.breakdown.device_s.value == 0


def test_no_power_is_no_reading_rather_than_no_energy() -> None:
    costs = predict(synthetic.problem(), make_cut(synthetic.chain(), [0]))
    assert costs.device_j is None
    assert costs.radio_j is None
    assert costs.energy_j is None
    assert costs.energy_source == "none"


def test_the_slowdown_is_the_devices_alone() -> None:
    once = predict(synthetic.problem(), make_cut(synthetic.chain(), [0, 1]))
    eightfold = predict(synthetic.problem(device_slowdown=8.0), make_cut(synthetic.chain(), [0, 1]))
    assert eightfold.device_s.value == pytest.approx(8 * once.device_s.value)
    assert eightfold.server_s == once.server_s
    assert eightfold.uplink_s == once.uplink_s


def test_the_protocol_is_fitted_by_direction() -> None:
    samples = [
        ProtocolSample(
            uplink_bytes=up, downlink_bytes=down,
            encode_s=1e-4 + up * 1e-9, uplink_s=2e-4 + up * 2e-9, decode_s=3e-4, downlink_s=4e-4 + down * 3e-9,
        )
        for up, down in ((1000, 2000), (100_000, 50_000), (1_000_000, 400_000))
    ]  # fmt: skip
    cost = ProtocolCost.fit(samples)
    assert cost.encode.at(500_000).value == pytest.approx(6e-4)
    assert cost.uplink.at(500_000).value == pytest.approx(1.2e-3)
    assert cost.decode.at(500_000).value == pytest.approx(3e-4)
    assert cost.downlink.at(100_000).value == pytest.approx(7e-4)
    assert ProtocolCost.fit([]).uplink.at(10**9).value == 0


def test_what_messages_carry_is_the_median_of_the_counts() -> None:
    times = dict.fromkeys(("encode_s", "uplink_s", "decode_s", "downlink_s"), 0.0)
    counts = ((120, 326), (137, 326), (120, 343))
    samples = [
        ProtocolSample(
            uplink_bytes=size, downlink_bytes=size, uplink_message_bytes=up, downlink_message_bytes=down, **times
        )
        for size, (up, down) in enumerate(counts)
    ]  # fmt: skip
    cost = ProtocolCost.fit(samples)
    assert (cost.uplink.message_bytes, cost.downlink.message_bytes) == (120, 326)
    assert ProtocolCost.fit([]).uplink.message_bytes == ProtocolCost.fit([]).downlink.message_bytes == 0


def test_a_line_is_robust_never_negative_and_needs_two_sizes() -> None:
    robust = fit_affine([1, 2, 3, 4, 5], [1, 2, 3, 4, 500])
    assert robust.per_byte_s == pytest.approx(1.0)
    falling = fit_affine([1, 2, 3], [3, 2, 1])
    assert falling.per_byte_s == 0
    with pytest.raises(ValueError, match="at least two sizes"):
        fit_affine([5, 5], [1, 2])


def test_a_cut_through_a_kernel_is_seen() -> None:
    fused = synthetic.profile(times_s=(0.011, 0.004), groups=[(0, 1), (2,)])
    assert tears_kernel(fused, make_cut(fused.graph, [0]))
    assert not tears_kernel(fused, make_cut(fused.graph, [0, 1]))
    assert compute_time(fused, [0, 1], "device").value == pytest.approx(0.011)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": synthetic.identity(name="other")}, "model toy, the server's other"),
        ({"model": synthetic.identity(batch=4)}, "batch 1, the server's 4"),
        ({"model": synthetic.identity(precision="fp16")}, "precision fp32, the server's fp16"),
        ({"model": synthetic.identity(hash="b" * 64)}, "model hash"),
    ],
)
def test_profiles_of_different_models_are_never_mixed(changes: dict[str, object], message: str) -> None:
    with pytest.raises(OffloadError) as raised:
        check_problem(synthetic.problem(server=synthetic.profile(**changes)))  # type: ignore[arg-type]
    assert message in raised.value.message


def energy_problem(**changes: object) -> Problem:
    """1 MB sent at 8 Mbit/s (1 s), 40 B back; 2 W while computing, 0.5 W idle."""
    graph = synthetic.chain(floats=(1000, 250_000, 300, 10))
    fields: dict[str, object] = {
        "device": synthetic.profile(graph, (0.010, 0.001, 0.004), power_w=2.0, idle_power_w=0.5),
        "server": synthetic.profile(graph, (0.001, 0.0001, 0.0004)),
        "link": Link(uplink_bps=8e6, downlink_bps=320.0, rtt_s=0.2),
        "target": "energy",
        "radio": load_radio("wifi"),
    }
    return synthetic.problem(**(fields | changes))


def joules(costs: Breakdown) -> list[float | None]:
    parts = (costs.device_j, costs.radio_j, costs.idle_j, costs.download_j, costs.energy_j)
    return [None if part is None else part.value for part in parts]


def test_energy_by_hand() -> None:
    sending_w = 0.28317 * 8 + 0.13286
    receiving_w = 0.13701 * 320e-6 + 0.13286
    away_s = 0.1 + 1.0 + 0.0005 + 0.1 + 1.0
    expected = [0.020, sending_w * 1.0, 0.5 * away_s, receiving_w * 1.0]
    costs = predict(energy_problem(), make_cut(energy_problem().graph, [0]))
    assert joules(costs) == pytest.approx([*expected, sum(expected)])


@pytest.mark.parametrize("measured", [False, True])
def test_the_radio_sends_and_receives_the_messages_own_bytes_too(measured: bool) -> None:
    """1 MB more up takes 1 s more, 40 B more down another; a measured curve has its own times, whatever they hold."""
    free = dict.fromkeys(("encode_s", "uplink_s", "decode_s", "downlink_s"), 0.0)
    protocol = tuple(
        ProtocolSample(
            uplink_bytes=size, downlink_bytes=size, uplink_message_bytes=1_000_000, downlink_message_bytes=40, **free
        )
        for size in (1, 2)
    )  # fmt: skip
    plain = energy_problem()
    link = plain.link
    if measured:
        link = dataclasses.replace(
            link, uplink_curve=AffineCost(fixed_s=1.1, per_byte_s=1e-6), downlink_curve=AffineCost(fixed_s=2.1)
        )
    problem = energy_problem(device=plain.device.model_copy(update={"protocol": protocol}), link=link)
    costs = predict(problem, make_cut(problem.graph, [0]))
    assert costs.uplink_s.value == pytest.approx(2.1)
    assert costs.downlink_s.value == pytest.approx(2.1)
    sending_w, receiving_w = 0.28317 * 8 + 0.13286, 0.13701 * 320e-6 + 0.13286
    on_air_s = 1.0 if measured else 2.0
    expected = [0.020, sending_w * on_air_s, 0.5 * (2.1 + 0.0005 + 2.1), receiving_w * on_air_s]
    assert joules(costs) == pytest.approx([*expected, sum(expected)])
    here = predict(problem, make_cut(problem.graph, [0, 1, 2]))
    assert here.radio_j is not None
    assert here.radio_j.value == 0


def test_the_papers_energy_is_computing_and_sending_only() -> None:
    problem = energy_problem(paper_energy=True)
    costs = predict(problem, make_cut(problem.graph, [0]))
    sending = 0.28317 * 8 + 0.13286
    assert joules(costs) == [pytest.approx(0.020), pytest.approx(sending), None, None, pytest.approx(0.020 + sending)]


def test_idle_power_is_not_added_to_figures_of_the_whole_device() -> None:
    problem = energy_problem(radio=load_radio("5g-mmwave"))
    costs = predict(problem, make_cut(problem.graph, [0]))
    expected = [0.020, 0.00888 * 8 + 5.664, 0.5 * (0.1 + 0.0005 + 0.1), 5.664]
    assert joules(costs) == pytest.approx([*expected, sum(expected)])


def test_energy_without_idle_power_is_not_known_rather_than_less() -> None:
    device = synthetic.profile(energy_problem().graph, (0.010, 0.001, 0.004), power_w=2.0)
    problem = energy_problem(device=device)
    costs = predict(problem, make_cut(problem.graph, [0]))
    assert costs.idle_j is None
    assert costs.energy_j is None


def test_a_slowdown_scales_energy_and_a_load_only_time() -> None:
    slow = energy_problem(device_slowdown=3.0, device_load=2.0, server_load=5.0)
    costs = predict(slow, make_cut(slow.graph, [0]))
    assert costs.device_s.value == pytest.approx(0.060)
    assert costs.server_s.value == pytest.approx(0.0025)
    assert costs.device_j is not None
    assert costs.device_j.value == pytest.approx(0.060)
    assert costs.idle_j is not None
    assert costs.idle_j.value == pytest.approx(0.5 * (0.2 + 2.0 + 0.0025))


def test_the_interval_of_energy_is_that_of_its_parts() -> None:
    uncertain = Link(
        uplink_bps=8e6, downlink_bps=8e6, rtt_s=0.0, source="measured",
        uplink_curve=AffineCost(per_byte_s=1e-6, below_s=0.1, above_s=0.3),
        downlink_curve=AffineCost(per_byte_s=1e-6),
    )  # fmt: skip
    problem = energy_problem(link=uncertain)
    costs = predict(problem, make_cut(problem.graph, [0]))
    assert costs.radio_j is not None
    assert costs.idle_j is not None
    assert costs.energy_j is not None
    sending_w = 0.28317 * 8 + 0.13286
    assert costs.radio_j.low == pytest.approx(0.9 * sending_w)
    assert costs.radio_j.high == pytest.approx(1.3 * sending_w)
    assert costs.idle_j.high - costs.idle_j.value == pytest.approx(0.5 * 0.3)
    assert costs.energy_j.high - costs.energy_j.value == pytest.approx(0.3 * sending_w + 0.15)


def test_the_period_is_the_slowest_stage_without_the_time_of_flight() -> None:
    problem = energy_problem(target="throughput")
    cut = make_cut(problem.graph, [0])
    period = predict(problem, cut).period_s
    assert period is not None
    assert period.value == pytest.approx(1.0), "1 MB at 8 Mbit/s, and 40 B at 320 bit/s; half round trips overlap"
    slow = energy_problem(target="throughput", device_slowdown=1000.0)
    period = predict(slow, cut).period_s
    assert period is not None
    assert period.value == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("changes", "constraint"), [({"target": "energy"}, None), ({"target": "latency"}, 0.2)], ids=["target", "limit"]
)
def test_what_needs_the_energy_says_what_is_missing(changes: dict[str, object], constraint: float | None) -> None:
    changes["constraints"] = Constraints(max_energy_j=constraint)
    with pytest.raises(OffloadError, match="device's energy") as raised:
        check_problem(synthetic.problem(**changes))
    assert "--power" in raised.value.hint
    assert "meter" in raised.value.hint
    powered = synthetic.profile(power_w=1.0)
    with pytest.raises(OffloadError, match="radio"):
        check_problem(synthetic.problem(**changes, device=powered))
    with pytest.raises(OffloadError, match="idle power") as raised:
        check_problem(synthetic.problem(**changes, device=powered, radio=load_radio("wifi")))
    assert "--idle-power" in raised.value.hint
    assert "--paper-energy" in raised.value.hint
    check_problem(synthetic.problem(**changes, device=powered, radio=load_radio("wifi"), paper_energy=True))
