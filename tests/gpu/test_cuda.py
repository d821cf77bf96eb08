"""Torch and ONNX Runtime on a GPU: the contract of runtimes, half precision, profiles by events, served tails."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from offload import api
from offload.artifacts.profile import Profile
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError
from offload.models.load import load_torch_model
from offload.predictors import fitting
from offload.profilers.layers import random_feeds
from offload.profilers.torch_layers import EventStopwatch, InstrumentedTorchSession, stopwatch_for
from offload.runtimes.base import Runtime
from offload.runtimes.onnxruntime import OnnxRuntime, has_cuda_provider
from offload.runtimes.torch import TorchRuntime, torch_device
from tests.drawn import drawn_each, measure_only
from tests.runtimes import TOLERANCE, OnnxContract, RuntimeContract, difference


class TestTorchOnCuda(RuntimeContract):
    def runtime(self) -> Runtime:
        return TorchRuntime(device="cuda")


class TestTorchOnCudaInFloat16(RuntimeContract):
    precision = "fp16"

    def runtime(self) -> Runtime:
        return TorchRuntime(device="cuda:0")


class TestTorchOnCudaInBfloat16ChannelsLast(RuntimeContract):
    precision = "bf16"

    def runtime(self) -> Runtime:
        return TorchRuntime(device="cuda", channels_last=True)


@pytest.mark.skipif(not has_cuda_provider(), reason="ONNX Runtime has no CUDA provider here")
class TestOnnxRuntimeOnCuda(OnnxContract):
    def runtime(self) -> Runtime:
        return OnnxRuntime(device="cuda:0")


@pytest.mark.parametrize("name", ["resnet18", "vit_s_16", "gru_tagger", "deepface"])
def test_a_gpu_computes_what_a_processor_computes(name: str) -> None:
    model = load_torch_model(name)
    feeds = random_feeds(model.graph)
    here = TorchRuntime().load(model.whole, threads=4).run(feeds)
    there = TorchRuntime(device="cuda").load(model.whole, threads=4).run(feeds)
    for output, expected in here.items():
        if expected.dtype.kind == "f":
            assert difference(there[output], expected) < 1e-3


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_half_precision_is_near_full_precision(precision: str, channels_last: bool) -> None:
    runtime = TorchRuntime(device="cuda", channels_last=channels_last)
    full, half = load_torch_model("resnet18"), load_torch_model("resnet18", precision=precision)
    feeds = random_feeds(full.graph)
    expected = runtime.load(full.whole, threads=1).run(feeds)["output"]
    cast = {name: value.astype(half.graph.tensor_by_name[name].dtype) for name, value in feeds.items()}
    answered = runtime.load(half.whole, threads=1).run(cast)["output"]
    assert answered.dtype.name == {"fp16": "float16", "bf16": "bfloat16"}[precision]
    assert difference(answered, expected) < TOLERANCE[precision]


@pytest.mark.timeout(400)
def test_a_compiled_network_computes_the_same() -> None:
    model = load_torch_model("mnist")
    feeds = random_feeds(model.graph)
    expected = TorchRuntime(device="cuda").load(model.whole, threads=1).run(feeds)
    try:
        session = TorchRuntime(device="cuda", compiled=True).load(model.whole, threads=1)
    except OffloadError as error:
        pytest.skip(error.message)
    for output, value in session.run(feeds).items():
        assert difference(value, expected[output]) < 1e-3


def test_layers_are_timed_by_events() -> None:
    model = load_torch_model("resnet18")
    assert isinstance(stopwatch_for(torch.device("cuda:0")), EventStopwatch)
    session = InstrumentedTorchSession(model, TorchRuntime(device="cuda"), threads=1)
    feeds = random_feeds(model.graph)
    runs = [session.run(feeds) for _ in range(3)]
    assert runs == [0, 1, 2]
    for group in session.finish():
        assert len(group.samples_s) == 3
        assert all(math.isfinite(sample) and sample >= 0 for sample in group.samples_s)


def test_a_profile_of_a_gpu_is_whole(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    request = api.ProfileRequest(model="resnet50", device="cuda", runtime="torch", max_time_s=10.0, meter="none")
    profile = api.profile(request, workspace=workspace)
    assert profile.runtime.device == "cuda:0"
    assert profile.environment.gpus
    assert profile.environment.gpu_driver
    assert np.median(profile.group_samples_s, axis=0).sum() == pytest.approx(profile.whole.value)
    assert Profile.load(workspace.save(profile, name="resnet50")) == profile


@pytest.mark.skipif(not has_cuda_provider(), reason="ONNX Runtime has no CUDA provider here")
def test_onnx_runtime_profiles_a_gpu(tmp_path: Path) -> None:
    request = api.ProfileRequest(model="resnet18", device="cuda", runtime="onnxruntime", max_time_s=10.0, meter="none")
    profile = api.profile(request, workspace=Workspace(tmp_path))
    assert (profile.runtime.name, profile.runtime.device) == ("onnxruntime", "cuda:0")


def test_costs_fitted_on_a_gpu_predict_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = drawn_each({"image": 20})
    measure_only(monkeypatch, small)
    monkeypatch.setattr(fitting, "FEWEST_FOR_TREES", 10**9)
    workspace = Workspace(tmp_path)
    request = api.FitRequest(runtime="torch", device="cuda", dtype="fp16", threads=1, meter="none")
    costs = api.fit(request, workspace=workspace)
    assert (costs.runtime.device, costs.precision, costs.networks) == ("cuda:0", "fp16", len(small))
    path = workspace.save(costs, name="costs")
    asked = api.ProfileRequest(
        model="resnet18", runtime="torch", device="cuda", dtype="fp16", threads=1, predict=str(path)
    )
    predicted = api.profile(asked, workspace=workspace)
    assert predicted.source == "predicted"
    measured = api.profile(replace(asked, predict=None, max_time_s=5.0, meter="none"), workspace=workspace)
    assert [group.layers for group in predicted.groups] == [group.layers for group in measured.groups]


def test_a_tail_is_served_on_the_gpu_to_a_device_on_its_processor(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)

    def profiled(device: str) -> Path:
        request = api.ProfileRequest(
            model="mobilenet_v2", device=device, runtime="torch", threads=2, max_time_s=5.0, meter="none"
        )
        return workspace.save(api.profile(request, workspace=workspace), name=device.replace(":", "-"))

    here, there = profiled("cpu"), profiled("cuda")
    plan = api.plan(
        api.PlanRequest(profile=here, server=str(there), uplink_bps=100e6, planner="neurosurgeon"), workspace=workspace
    )
    option = next(each for each in (plan.chosen, *plan.alternatives) if each.place == "both")
    path = workspace.save(plan.model_copy(update={"chosen": option}), name="divided")
    verification = api.verify(api.VerifyRequest(plan=path, requests=6, alternatives=0), workspace=workspace)
    assert verification.output_error < verification.output_tolerance


def test_memory_that_runs_out_is_one_line() -> None:
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(max(0, free - 64 * 2**20), dtype=torch.uint8, device="cuda")
    try:
        model = load_torch_model("vgg19")
        with pytest.raises(OffloadError, match="out of memory") as caught:
            TorchRuntime(device="cuda").load(model.whole, threads=1)
        assert "--batch" in caught.value.hint
    finally:
        del taken
        torch.cuda.empty_cache()


def test_a_gpu_that_is_not_there_is_one_line() -> None:
    with pytest.raises(OffloadError, match="last GPU is"):
        torch_device("cuda:99")
