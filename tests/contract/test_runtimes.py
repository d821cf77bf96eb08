"""What every runtime must do, on the processor."""

from __future__ import annotations

import pytest

from offload.errors import OffloadError
from offload.runtimes.base import Runtime
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.torch import TorchRuntime
from tests.runtimes import OnnxContract, RuntimeContract


class TestOnnxRuntime(OnnxContract):
    def runtime(self) -> Runtime:
        return OnnxRuntime()


class TestTorch(RuntimeContract):
    def runtime(self) -> Runtime:
        return TorchRuntime()


class TestTorchInBfloat16(RuntimeContract):
    precision = "bf16"

    def runtime(self) -> Runtime:
        return TorchRuntime()


class TestTorchChannelsLast(RuntimeContract):
    def runtime(self) -> Runtime:
        return TorchRuntime(channels_last=True)


def test_bytes_that_are_no_model_are_one_line() -> None:
    with pytest.raises(OffloadError) as caught:
        OnnxRuntime().load_onnx(b"not a model", threads=1)
    assert "\n" not in caught.value.message
