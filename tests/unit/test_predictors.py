"""Presets, the roofline over them, and radios: units and near names."""

from __future__ import annotations

import pytest

from offload.errors import OffloadError
from offload.predictors.presets import DEFAULT_PRESET, load_preset, presets
from offload.predictors.radios import load_radio, radio_names
from offload.predictors.roofline import assumed_profile, roofline_s
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
        assert 1e11 < preset.peak_flops_per_s < 1e14
        assert 1e10 < preset.bandwidth_bytes_per_s < 1e13
        assert 0 < preset.efficiency <= 1
        assert preset.source
    assert load_preset("tesla-k40").peak_flops_per_s == 4.29e12
    assert load_preset("t4").bandwidth_bytes_per_s == 320e9


def test_an_unknown_preset_names_near_ones() -> None:
    with pytest.raises(OffloadError) as raised:
        load_preset("a100")
    assert "a100-40gb" in raised.value.hint
    with pytest.raises(OffloadError) as raised:
        load_preset("???")
    assert "t4" in raised.value.hint


def test_a_layer_takes_the_slower_of_computing_and_moving() -> None:
    preset = load_preset("t4")
    graph = synthetic.chain(floats=(1000, 600, 300, 10), flops=(8_100_000_000, 300, 6_000))
    computing, moving = graph.layers[0], graph.layers[1]
    assert roofline_s(graph, computing, preset) == pytest.approx(1e-3 / preset.efficiency)
    assert roofline_s(graph, moving, preset) == pytest.approx((400 + 2400 + 1200) / 320e9 / preset.efficiency)


def test_an_assumed_profile_says_so_and_fits_a_plan() -> None:
    device = synthetic.profile()
    server = assumed_profile(device.graph, device.model, load_preset("tesla-k40"))
    assert server.source == "assumed"
    assert server.server_preset == "tesla-k40"
    assert server.whole.value == pytest.approx(sum(group.samples_s[0] for group in server.groups))
    plan = synthetic.plan(server=server)
    assert any("assumed" in warning for warning in plan.warnings)
    assert plan.server.preset == "tesla-k40"
