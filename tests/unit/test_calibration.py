"""Presets scaled to known latencies: against brute force, and the figures that cannot be."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.artifacts.preset import CalibratedPreset
from offload.errors import OffloadError
from offload.graph.model_graph import ModelGraph
from offload.predictors.calibration import PENALTY, KnownRun, calibrated
from offload.predictors.presets import load_preset
from offload.predictors.roofline import layer_bytes, layer_times_s
from tests import synthetic

K1 = load_preset("tegra-k1-gpu")
COMPUTING = synthetic.chain(floats=(1000, 600, 300, 10), flops=(4_000_000_000, 300, 2_000_000_000))
MOVING = synthetic.chain(floats=(10_000_000, 6_000_000, 3_000_000, 10), flops=(3000, 300, 6_000))


def run(graph: ModelGraph, known_s: float, name: str = "one") -> KnownRun:
    """A network with that graph; its name is its content."""
    return KnownRun(model=name, model_hash=name, batch=1, graph=graph, known_s=known_s)


def whole_s(graph: ModelGraph, compute: float, memory: float) -> float:
    """The roofline again, written out from the preset's figures."""
    total = 0.0
    for layer in graph.layers:
        share = K1.efficiency[layer.kind]
        computing = layer.flops / K1.peak_flops_per_s / share * compute
        moving = layer_bytes(graph, layer) / K1.bandwidth_bytes_per_s / share * memory
        total += max(computing, layer.flops / K1.peak_flops_per_s, moving) + K1.launch_s
    return total


@pytest.mark.parametrize("graph", [COMPUTING, MOVING])
@pytest.mark.parametrize("times", [0.8, 1.0, 7.0])
def test_one_latency_is_met_exactly(graph: ModelGraph, times: float) -> None:
    known_s = whole_s(graph, 1, 1) * times
    found = calibrated(K1, [run(graph, known_s)])
    assert found.form == "single"
    assert found.preset.compute_factor == found.preset.memory_factor
    assert sum(layer_times_s(graph, found.preset)) == pytest.approx(known_s)
    (figure,) = found.figures
    assert figure.before_s == pytest.approx(whole_s(graph, 1, 1))
    assert figure.residual == pytest.approx(0, abs=1e-9)


def test_two_latencies_tell_computing_from_memory() -> None:
    runs = [run(COMPUTING, whole_s(COMPUTING, 3, 0.7), "a"), run(MOVING, whole_s(MOVING, 3, 0.7), "b")]
    found = calibrated(K1, runs)
    assert found.form == "pair"
    assert found.preset.compute_factor == pytest.approx(3, rel=0.01)
    assert found.preset.memory_factor == pytest.approx(0.7, rel=0.01)
    assert all(abs(figure.residual) < 0.01 for figure in found.figures)
    assert found.preset.name == "tegra-k1-gpu-calibrated"
    assert found.base == "tegra-k1-gpu"


def test_where_memory_cannot_be_told_it_is_scaled_as_computing_is() -> None:
    larger = replace(COMPUTING, layers=tuple(replace(layer, flops=9 * layer.flops) for layer in COMPUTING.layers))
    found = calibrated(K1, [run(COMPUTING, whole_s(COMPUTING, 4, 4), "a"), run(larger, whole_s(larger, 4, 4), "b")])
    assert found.preset.memory_factor == pytest.approx(4, rel=0.02)


@settings(max_examples=8, deadline=None)
@given(first=st.floats(0.8, 4), second=st.floats(0.8, 4), third=st.floats(0.8, 4))
def test_the_factors_are_the_best_of_a_fine_grid(first: float, second: float, third: float) -> None:
    mixed = synthetic.chain(floats=(1_000_000, 600_000, 300, 10), flops=(800_000_000, 300, 600_000_000))
    networks = {"a": COMPUTING, "b": MOVING, "c": mixed}
    runs = [
        run(graph, whole_s(graph, times, times), name)
        for (name, graph), times in zip(networks.items(), (first, second, third), strict=True)
    ]

    def loss(compute: float, memory: float) -> float:
        errors = [math.log(whole_s(one.graph, compute, memory) / one.known_s) for one in runs]
        return sum(error**2 for error in errors) + PENALTY * math.log(compute / memory) ** 2

    grid = [math.exp(step / 20) for step in range(-20, 41)]
    least = min(loss(compute, memory) for compute, memory in itertools.product(grid, grid))
    found = calibrated(K1, runs).preset
    assert loss(found.compute_factor, found.memory_factor) <= least + 1e-6


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (
            [run(COMPUTING, 0.001)],
            r"cannot be: at the published peak of tegra-k1-gpu its operations alone take 18\.4 ms",
        ),
        (
            [run(MOVING, 5e-5)],
            r"cannot be met: starting its layers, as assumed, and computing them at the peak take 102 µs",
        ),
        ([run(COMPUTING, 0.1), run(COMPUTING, 0.2)], "names one twice: 100 ms and 200 ms"),
        ([run(COMPUTING, 0.1, "a"), run(replace(COMPUTING, outputs=()), 9.0, "b")], "contradicts the others"),
    ],
)
def test_what_cannot_be_is_one_line(runs: list[KnownRun], said: str) -> None:
    with pytest.raises(OffloadError, match=said) as raised:
        calibrated(K1, runs)
    assert "\n" not in raised.value.message
    assert raised.value.hint


def test_no_layer_computes_faster_than_the_peak() -> None:
    """Its large layers reach the peak long before the whole is as fast as that."""
    least_s = COMPUTING.flops / K1.peak_flops_per_s
    found = calibrated(K1, [run(COMPUTING, least_s * 1.02)])
    times_s = layer_times_s(COMPUTING, found.preset)
    assert sum(times_s) == pytest.approx(least_s * 1.02)
    assert all(
        time_s >= layer.flops / K1.peak_flops_per_s for time_s, layer in zip(times_s, COMPUTING.layers, strict=True)
    )


def test_it_is_kept_and_read_again() -> None:
    found = calibrated(K1, [run(COMPUTING, 0.1)])
    assert CalibratedPreset.from_json(found.to_json(), source="it") == found
    damaged = found.to_json().replace('"conv"', '"cone"')
    with pytest.raises(OffloadError, match="damaged"):
        CalibratedPreset.from_json(damaged, source="it")
