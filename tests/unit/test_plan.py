from __future__ import annotations

import pytest

from offload.artifacts.link import Link
from offload.predictors.radios import load_radio
from tests import synthetic


def warnings(**changes: object) -> str:
    return "\n".join(synthetic.plan(**changes).warnings)


@pytest.mark.parametrize("stopped", ["interrupted", "time cap"])
def test_a_profile_that_ended_early_is_told(stopped: str) -> None:
    assert f"the device's profile ended ({stopped})" in warnings(device=synthetic.profile(stopped=stopped))
    assert "profile ended" not in warnings(device=synthetic.profile(stopped="precision"))


def test_a_radio_beyond_its_fit_is_told() -> None:
    fast = Link(uplink_bps=450e6, downlink_bps=450e6, rtt_s=0.0)
    within = Link(uplink_bps=18e6, downlink_bps=18e6, rtt_s=0.0)
    device = synthetic.profile(power_w=3.2)
    assert "held there" in warnings(device=device, link=fast, radio=load_radio("wifi"))
    assert "held there" not in warnings(device=device, link=within, radio=load_radio("wifi"))


def test_untrained_weights_are_told() -> None:
    untrained = synthetic.profile(model=synthetic.identity(untrained=True))
    assert "untrained weights" in warnings(device=untrained)
    assert "untrained weights" not in warnings()
