"""How fast a machine is: what is timed beside models."""

from __future__ import annotations

import numpy as np
import pytest

from offload.profilers.reference import EmptyCall, ReferenceKernel, speed_now
from offload.runtimes.base import Runtime
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.torch import TorchRuntime

RUNTIMES = (OnnxRuntime(device="cpu"), TorchRuntime(device="cpu"))


@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)
def test_the_work_is_the_same_everywhere(runtime: Runtime) -> None:
    kernel = ReferenceKernel(runtime, threads=1)
    (features,) = kernel._session.run(kernel._feeds).values()
    assert features.shape == (1, 64, 28, 28)
    call = EmptyCall(runtime, threads=1)
    (numbers,) = call._session.run(call._feeds).values()
    assert np.array_equal(numbers, np.maximum(call._feeds["x0"], 0))


def test_the_speed_of_the_moment_needs_no_model() -> None:
    speed = speed_now(RUNTIMES[0], threads=1)
    assert len(speed.reference_s) == len(speed.empty_call_s) >= 5
    assert min(speed.reference_s) > 0
    assert min(speed.empty_call_s) > 0
