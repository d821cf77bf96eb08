"""Which runtime a user gets for what was asked."""

from __future__ import annotations

from typing import Any

import onnxruntime
import pytest
import torch

from offload.artifacts.profile import RuntimeIdentity
from offload.errors import OffloadError, UsageError
from offload.runtimes import catalogue
from offload.runtimes.base import Runtime
from offload.runtimes.catalogue import choose_runtime, runtime_of
from offload.runtimes.onnxruntime import OnnxRuntime, create_session, session_options
from offload.runtimes.torch import TorchRuntime
from tests.serving_models import scale


def choose(name: Any = None, **wishes: Any) -> Runtime:
    usual = {"device": "cpu", "precision": "fp32", "channels_last": False, "compiled": False, "onnx_file": False}
    return choose_runtime(name, **(usual | wishes))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that says it has a GPU; nothing is run on it."""
    monkeypatch.setattr(catalogue, "has_cuda_device", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def with_provider(monkeypatch: pytest.MonkeyPatch, *, there: bool) -> None:
    names = ["CUDAExecutionProvider"] * there + ["CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)


def test_a_processor_runs_onnx_runtime_unless_only_torch_can() -> None:
    assert choose() == OnnxRuntime()
    assert choose("torch") == TorchRuntime()
    assert choose(precision="bf16") == TorchRuntime()
    assert choose(channels_last=True) == TorchRuntime(channels_last=True)
    assert choose(compiled=True) == TorchRuntime(compiled=True)
    assert choose(onnx_file=True) == OnnxRuntime()


def test_a_gpu_runs_torch_unless_onnx_runtime_is_asked_for(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with_provider(monkeypatch, there=True)
    assert choose("onnxruntime", device="cuda") == OnnxRuntime(device="cuda:0")
    assert choose(device="cuda:1", onnx_file=True) == OnnxRuntime(device="cuda:1")
    assert choose(device="cuda") == TorchRuntime(device="cuda")
    assert choose(device="cuda", precision="fp16") == TorchRuntime(device="cuda")


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"name": "onnxruntime", "channels_last": True}, "--channels-last needs the torch runtime"),
        ({"name": "onnxruntime", "precision": "fp16"}, "--dtype fp16 needs the torch runtime"),
        ({"name": "onnxruntime", "compiled": True}, "--compile needs the torch runtime"),
        ({"name": "torch", "onnx_file": True}, "needs a torch module"),
        ({"precision": "bf16", "onnx_file": True}, "needs a torch module"),
        ({"device": "tpu"}, "no such device"),
        ({"device": "cuda:x"}, "no such device"),
    ],
)
def test_contradictions_are_usage_errors(wishes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose(**wishes)
    assert message in caught.value.message
    assert caught.value.hint


def test_what_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with_provider(monkeypatch, there=False)
    monkeypatch.setattr(catalogue, "has_cuda_device", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    for name in ("torch", "onnxruntime", None):
        with pytest.raises(OffloadError, match="no NVIDIA GPU") as caught:
            choose(name, device="cuda")
        assert "--device cpu" in caught.value.hint
    monkeypatch.setattr(catalogue, "has_cuda_device", lambda: True)
    with pytest.raises(OffloadError, match="built without CUDA"):
        choose(device="cuda")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    with pytest.raises(OffloadError, match="no NVIDIA GPU"):
        choose("torch", device="cuda")


def test_a_gpu_of_which_the_driver_tells_nothing_is_one_all_the_same(
    gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_provider(monkeypatch, there=False)
    monkeypatch.setattr(catalogue, "has_cuda_device", lambda: False)
    assert choose(device="cuda") == TorchRuntime(device="cuda")


def test_a_gpu_that_is_not_there_names_the_last(gpu: None) -> None:
    with pytest.raises(OffloadError, match="last GPU is cuda:1"):
        choose("torch", device="cuda:7")


def test_onnx_runtime_without_its_cuda_provider_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with_provider(monkeypatch, there=False)
    with pytest.raises(OffloadError, match="no CUDA provider") as caught:
        create_session(scale(), session_options(threads=1), device="cuda:0")
    assert "onnxruntime-gpu" in caught.value.hint


def test_a_provider_that_does_not_start_is_not_the_processor_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    started = onnxruntime.InferenceSession
    with_provider(monkeypatch, there=True)
    monkeypatch.setattr(  # as ONNX Runtime does when CUDA's libraries are missing: it goes on with the processor
        onnxruntime,
        "InferenceSession",
        lambda model, options, providers: started(model, options, providers=["CPUExecutionProvider"]),
    )
    with pytest.raises(OffloadError, match="does not start") as caught:
        create_session(scale(), session_options(threads=1), device="cuda:0")
    assert "--runtime torch" in caught.value.hint


def test_a_profile_of_an_unknown_runtime_is_one_line() -> None:
    with pytest.raises(OffloadError, match="no runtime 'tpu'"):
        runtime_of(RuntimeIdentity(name="tpu", version="1", device="tpu", threads=1))


def test_a_profile_of_a_device_by_another_name_is_one_line() -> None:
    with pytest.raises(OffloadError, match="no runtime 'onnxruntime' on 'raspberry-pi'"):
        runtime_of(RuntimeIdentity(name="onnxruntime", version="1", device="raspberry-pi", threads=1))
