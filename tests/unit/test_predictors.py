"""Presets, the roofline over them, and radios: units and near names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offload.errors import OffloadError
from offload.graph.model_graph import LAYER_KINDS
from offload.predictors.presets import DEFAULT_PRESET, load_preset, presets
from offload.predictors.radios import load_radio, radio_names
from offload.predictors.roofline import assumed_profile, layer_times_s
from tests import synthetic


@pytest.mark.parametrize(
    ("name", "up_bps", "watts"), [("wifi", 18.88e6, 5.4791), ("lte", 5.85e6, 3.8526), ("3g", 1.1e6, 1.7738)]
)
def test_radios_reach_the_published_power_at_the_published_rate(name: str, up_bps: float, watts: float) -> None:
    radio = load_radio(name)
    assert radio.uplink_w(up_bps) == pytest.approx(watts, abs=1e-4)
    assert radio.fitted_to_bps == up_bps
    assert radio.uplink_w(0) == radio.beta_w
    assert radio.uplink_w(100 * up_bps) == radio.uplink_w(up_bps)
    assert "JointDNN" in radio.source


@pytest.mark.parametrize(
    ("name", "down_bps", "watts"), [("wifi", 54.97e6, 7.6643), ("lte", 13.76e6, 2.0031), ("3g", 2.03e6, 1.0658)]
)
def test_radios_receive_at_the_published_power(name: str, down_bps: float, watts: float) -> None:
    radio = load_radio(name)
    assert radio.downlink_w(down_bps) == pytest.approx(watts, abs=1e-4)
    assert radio.downlink_w(100 * down_bps) == radio.downlink_w(down_bps)
    assert not radio.whole_device


def test_whole_phone_figures_are_kept_apart() -> None:
    for name, up_bps, watts in (("5g-low-band", 40e6, 4.487), ("5g-mmwave", 190e6, 7.3512)):
        radio = load_radio(name)
        assert radio.whole_device
        assert radio.uplink_w(up_bps) == pytest.approx(watts)
        assert radio.downlink_w(1e9) == radio.beta_w, "receiving was not in the source: the base power is held"
        assert "whole phone" in radio.source


def test_radios_are_found_in_any_case_and_an_unknown_one_names_the_known() -> None:
    assert load_radio("Wifi").name == "wifi"
    assert set(radio_names()) == {"wifi", "lte", "3g", "5g-low-band", "5g-mmwave"}
    with pytest.raises(OffloadError) as raised:
        load_radio("wify")
    assert "wifi" in raised.value.hint


def test_presets_are_plausible_and_sourced() -> None:
    assert DEFAULT_PRESET in presets()
    for preset in presets().values():
        assert 0 < preset.efficiency["conv"] <= 1
        assert set(preset.efficiency) == set(LAYER_KINDS)
        assert preset.source
        assert preset.launch_source
        assert preset.compute_factor == preset.memory_factor == 1


def test_a_wrong_unit_in_any_preset_would_show() -> None:
    """Bits for bytes, a multiply-accumulate for an operation, thousands: each leaves these ranges."""
    for preset in presets().values():
        cpu = preset.processor == "cpu"
        balance = preset.peak_flops_per_s / preset.bandwidth_bytes_per_s
        assert (3 < balance < 8) if cpu else (5 < balance < 120), preset.name
        if preset.power_w is not None:
            per_watt = preset.peak_flops_per_s / preset.power_w
            assert 8e9 < per_watt < 4.5e11, preset.name
        assert (1e-7 < preset.launch_s < 1e-5) if cpu else (3e-6 < preset.launch_s < 1e-4), preset.name


@pytest.mark.parametrize(
    ("faster", "slower", "computing", "memory"),
    [
        ("h200-sxm", "h100-sxm", 1.0, 4.8 / 3.35),
        ("a100-80gb", "a100-40gb", 1.0, 2039 / 1555),
        ("p100-sxm2", "p100-pcie", 10.6 / 9.3, 1.0),
        ("tesla-k40", "tegra-k1-gpu", 2880 * 745 / (192 * 852), 288 / 14.9),
        ("titan-x-pascal", "titan-x-maxwell", 3584 * 1417 / (3072 * 1000), 480 / 336.5),
        ("titan-v", "titan-x-pascal", 5120 * 1200 / (3584 * 1417), 652.8 / 480),
        ("jetson-tx2", "jetson-nano", 256 * 1300 / (128 * 921.6), 59.7 / 25.6),
        ("pixel-4-cpu", "raspberry-pi-4", 16 * (2.84 + 3 * 2.42) / (4 * 1.5 * 8), 34.1 / 12.8),
        ("tegra-k1-gpu", "tegra-k1-cpu", 326 / (4 * 2.3 * 8), 1.0),
    ],
)
def test_presets_are_to_one_another_as_cores_and_clocks_are(
    faster: str, slower: str, computing: float, memory: float
) -> None:
    one, other = load_preset(faster), load_preset(slower)
    assert one.peak_flops_per_s / other.peak_flops_per_s == pytest.approx(computing, rel=0.02)
    assert one.bandwidth_bytes_per_s / other.bandwidth_bytes_per_s == pytest.approx(memory, rel=0.02)


def test_an_unknown_preset_names_near_ones() -> None:
    with pytest.raises(OffloadError) as raised:
        load_preset("a100")
    assert "a100-40gb" in raised.value.hint
    with pytest.raises(OffloadError) as raised:
        load_preset("???")
    assert "t4" in raised.value.hint


def test_a_layer_takes_the_slower_of_computing_and_moving_and_a_launch() -> None:
    preset = replace(load_preset("t4"), efficiency={**load_preset("t4").efficiency, "conv": 0.25, "activation": 0.8})
    graph = synthetic.chain(floats=(1000, 600, 300, 10), flops=(8_100_000_000, 300, 6_000))
    computing_s, moving_s, _ = layer_times_s(graph, preset)
    assert computing_s == pytest.approx(1e-3 / 0.25 + preset.launch_s)
    assert moving_s == pytest.approx((400 + 2400 + 1200) / 320e9 / 0.8 + preset.launch_s)
    slower = replace(preset, compute_factor=3.0, memory_factor=5.0)
    assert layer_times_s(graph, slower)[:2] == pytest.approx(
        [3 * (computing_s - preset.launch_s) + preset.launch_s, 5 * (moving_s - preset.launch_s) + preset.launch_s]
    )


def test_renaming_a_shape_takes_nothing() -> None:
    graph = synthetic.chain()
    flat = replace(graph, layers=(replace(graph.layers[0], kind="shape", flops=0), *graph.layers[1:]))
    assert layer_times_s(flat, load_preset("t4"))[0] == 0


def test_an_assumed_profile_says_so_and_fits_a_plan() -> None:
    device = synthetic.profile()
    server = assumed_profile(device.graph, device.model, load_preset("tesla-k40"))
    assert server.source == "assumed"
    assert server.server_preset == "tesla-k40"
    assert server.whole.value == pytest.approx(sum(group.samples_s[0] for group in server.groups))
    assert server.power_w == 235
    given = assumed_profile(device.graph, device.model, load_preset("tesla-k40"), power_w=100, idle_power_w=20)
    assert (given.power_w, given.idle_power_w) == (100, 20)
    plan = synthetic.plan(server=server)
    assert any("assumed" in warning for warning in plan.warnings)
    assert plan.server.preset == "tesla-k40"


def test_a_preset_by_which_a_run_would_never_end_is_refused() -> None:
    device = synthetic.profile()
    slow = replace(load_preset("tesla-k40"), launch_s=1e15)
    with pytest.raises(OffloadError, match="which cannot be"):
        assumed_profile(device.graph, device.model, slow)
