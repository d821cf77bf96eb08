"""Decisions beside published ones: points, reasons and headlines, on problems small enough to work out by hand."""

from __future__ import annotations

import dataclasses
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.artifacts.link import Link
from offload.artifacts.reproduction import DecisionCell
from offload.graph.cuts import prefix_cuts
from offload.models.zoo.catalogue import CATALOGUE
from offload.planners.base import Problem
from offload.planners.costs import predict
from offload.predictors.presets import load_preset
from offload.predictors.radios import load_radio, radio_names
from offload.verification.decisions import (
    WholeLatencies,
    agreeing_factors,
    beside_published,
    best_prefix,
    decide,
    headlines,
    mix_throughput,
    point_name,
    prefix_terms,
)
from offload.verification.neurosurgeon_table import published_evaluation
from tests import synthetic

KNOWN = WholeLatencies(device_s=0.015, server_s=0.0015, residual=0.1)


def problem(**changes: object) -> Problem:
    """At 10 Mbit/s the input takes 3.2 ms, what the layers make 1.92, 0.96 and 0.03 ms."""
    fields: dict[str, object] = {
        "device": synthetic.profile(source="assumed", server_preset="toy", power_w=5.0),
        "server": synthetic.profile(times_s=(0.001, 0.0001, 0.0004)),
        "link": Link(uplink_bps=10e6, downlink_bps=1e15, rtt_s=0.0),
        "radio": load_radio("wifi"),
        "paper_energy": True,
    }
    return synthetic.problem(**(fields | changes))


def cell(of: Problem) -> DecisionCell:
    """A cell of no paper."""
    return decide(of, network="toy", label="TOY", device="CPU", radio="wifi")


def test_points_are_named_by_the_last_layer_that_computes() -> None:
    graph = synthetic.chain()
    shaped = dataclasses.replace(
        graph, layers=(graph.layers[0], dataclasses.replace(graph.layers[1], kind="shape"), graph.layers[2])
    )
    assert [point_name(shaped, length) for length in range(4)] == ["input", "layer0", "layer0", "layer2"]


@pytest.mark.parametrize("target", ["latency", "energy"])
def test_the_terms_sum_to_what_is_predicted(target: str) -> None:
    of = problem(target=target)
    predicted = [predict(of, cut) for cut in prefix_cuts(of.graph)]
    wanted = [each.latency_s if target == "latency" else each.energy_j for each in predicted]
    terms = prefix_terms(of)
    assert terms.total == pytest.approx([each.value for each in wanted if each is not None], rel=1e-9)
    slower = dataclasses.replace(of, device_slowdown=3.0)
    assert prefix_terms(slower).total == pytest.approx(3 * terms.device + terms.uplink + terms.fixed)
    half = dataclasses.replace(of, link=dataclasses.replace(of.link, uplink_bps=5e6))
    if target == "latency":
        assert prefix_terms(half).total == pytest.approx(terms.device + 2 * terms.uplink + terms.fixed)


@settings(max_examples=200, deadline=None)
@given(
    slope=st.lists(st.integers(0, 20), min_size=2, max_size=6),
    rest=st.lists(st.integers(0, 20), min_size=6, max_size=6),
    at=st.integers(0, 5),
)
def test_factors_that_agree_are_those_of_a_scan(slope: list[int], rest: list[int], at: int) -> None:
    slopes, rests = np.array(slope, dtype=float), np.array(rest[: len(slope)], dtype=float)
    at = min(at, len(slope) - 1)
    found = agreeing_factors(slopes, rests, at)
    for factor in np.geomspace(1e-3, 1e3, 200):
        costs = factor * slopes + rests
        gap = costs[at] - costs.min()
        if found is None:
            assert gap > 0
        elif found[0] * 1.001 < factor < found[1] * 0.999:
            assert gap <= 1e-9
        elif factor < found[0] * 0.999 or factor > found[1] * 1.001:
            assert gap > 0


def test_a_cell_that_agrees_needs_no_reason() -> None:
    of = problem()
    assert best_prefix(of)[0] == "input"
    found = beside_published(cell(of), of, "input", KNOWN)
    assert found.agrees
    assert found.reason == ""
    assert found.published_cost == pytest.approx(0.0032 + 0.0015)
    assert found.chosen == found.mincut == found.server_only


def test_the_reason_tells_the_gap_and_what_would_mend_it() -> None:
    """All on the device takes 15 ms, on the server 4.7; the device wins once its 15 ms are 4.7 (3.19 times faster)."""
    of = problem()
    found = beside_published(cell(of), of, "layer2", KNOWN)
    assert found.agrees is False
    assert "layer2 costs 3.2× here" in found.reason
    assert "a device 3.19× faster" in found.reason
    assert (
        "by the published latencies themselves all on the device takes 15.0 ms, all on the server 4.70 ms"
        in found.reason
    )
    assert "off this network" not in found.reason
    faster = dataclasses.replace(of, device_slowdown=1 / 3.2)
    assert best_prefix(faster)[0] == "layer2"


def test_a_gap_below_the_calibration_s_own_error_is_said() -> None:
    of = problem(device=synthetic.profile(times_s=(0.0038, 0.0008, 0.0005), power_w=5.0))
    found = beside_published(cell(of), of, "layer2", KNOWN)
    assert (
        "layer2 costs +9% here, less than the calibrated device is off this network as a whole (+10%)" in found.reason
    )


def test_headlines_and_throughput_by_hand() -> None:
    kept = cell(problem(device=synthetic.profile(times_s=(0.0001, 0.0001, 0.0001), power_w=5.0)))
    sent = dataclasses.replace(cell(problem()), label="OTHER")
    assert kept.chosen.point == "layer2"
    assert sent.chosen.point == "input"
    throughput = {(each.device, each.radio): each.times for each in mix_throughput([kept, sent])}
    assert throughput == {("CPU", "wifi"): pytest.approx(2.0), ("any", "any"): pytest.approx(2.0)}
    assert mix_throughput([kept])[0].times is None
    found = headlines([kept, sent], "latency", mix_throughput([kept, sent]))
    assert found.speedup_mean == pytest.approx(statistics.mean([0.0047 / 0.0003, 1.0]))
    assert found.speedup_most == pytest.approx(0.0047 / 0.0003)
    assert found.saving_mean is None
    assert found.throughput_mean == pytest.approx(2.0)
    saved = headlines([kept, sent], "energy", ())
    assert saved.saving_most == pytest.approx(1 - 0.0003 / 0.0047)
    idle = headlines([kept], "latency", mix_throughput([kept]))
    assert (idle.throughput_mean, idle.throughput_most) == (None, None), "nothing is left to the server, not no query"


def test_the_published_evaluation_is_whole() -> None:
    """Forty-eight points, each of a layer that its network has or the input; times and powers in their units."""
    published = published_evaluation()
    labels = {network.label for network in published.networks}
    assert len(labels) == 8
    assert {network.name for network in published.networks} <= CATALOGUE.keys()
    assert set(published.radios) <= set(radio_names())
    points = [
        point
        for device in published.devices
        for radio in published.radios
        for label, point in device.chosen[radio].items()
        if label in labels
    ]
    assert len(points) == 48
    assert set(points) == {"input", "pool5", "argmax", "fc3"}
    assert points.count("pool5") == 1
    for side in (*published.devices, published.server):
        peak = load_preset(side.preset).peak_flops_per_s
        for network in published.networks:
            flops = CATALOGUE[network.name].flops * network.batch
            assert flops / side.latency_s[network.label] < peak, (side.name, network.label)
            assert flops / side.latency_s[network.label] > peak / 300, (side.name, network.label)
        assert not side.power_w or all(5 < side.power_w[label] < 13 for label in labels)
    assert published.devices[0].power_w["DIG"] == pytest.approx(49.3 / 7)
