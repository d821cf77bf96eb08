"""The real energy counter of a real GPU."""

from __future__ import annotations

import pytest

from offload.environment import has_cuda_device
from offload.profilers.energy.choose import open_meter
from offload.profilers.energy.measure import measure_energy, sensor_period_s, window_s

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not has_cuda_device(), reason="needs an NVIDIA GPU")]


def test_work_takes_more_than_idling_and_both_sensors_agree() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a torch with CUDA")
    matrix = torch.rand(4096, 4096, device="cuda")

    def multiply(times: int) -> None:
        for _ in range(times):
            matrix @ matrix
        torch.cuda.synchronize()

    opened = open_meter("auto", "cuda:0")
    assert opened is not None
    multiply(3)
    with opened as meter:
        period_s = sensor_period_s(meter)
        energy = measure_energy(meter, multiply, {0: multiply}, period_s=period_s, budget_s=30.0)
    assert 0 < period_s < 1
    assert min(window.seconds for window in energy.whole) >= window_s(period_s)
    assert energy.whole_power_w.value > energy.idle_power_w.value
    if energy.cross_check is not None:
        assert abs(energy.cross_check) < 0.2
