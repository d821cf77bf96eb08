"""A server that is started with a torch model, as a child process: its tails, and profiles of its own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import numpy as np
import pytest

from offload.environment import has_cuda_device
from offload.errors import OffloadError
from offload.graph.cuts import is_legal, make_cut
from offload.models.load import load_torch_model
from offload.models.loaded import LoadedTorchModel
from offload.profilers.layers import random_feeds
from offload.progress import NullProgress
from offload.runtimes.torch import TorchRuntime
from offload.serving import profile_child
from offload.serving.client import ServerClient
from offload.serving.client_errors import ServerError
from offload.serving.embedded import EmbeddedServer
from offload.serving.own_loading import load_own_models
from offload.serving.own_models import OwnModel
from offload.serving.remote_profile import profile_on_server
from offload.serving.server import ServeSettings

SPEC = "tests.tiny_torch:branches"
INPUTS = {"x": (2, 8)}
OWN = (OwnModel(spec=SPEC, inputs=INPUTS), OwnModel(spec=SPEC, inputs=INPUTS, dtype="bf16"))


@pytest.fixture(scope="module")
def client() -> Iterator[ServerClient]:
    settings = ServeSettings(models=OWN)
    with EmbeddedServer(threads=1, settings=settings) as server, ServerClient(server.address) as client:
        yield client


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def model(request: pytest.FixtureRequest) -> LoadedTorchModel:
    return load_torch_model(SPEC, inputs=INPUTS, precision=request.param)


def test_the_server_has_the_very_models_that_the_device_has(client: ServerClient, model: LoadedTorchModel) -> None:
    told = {one.hash: (one.spec, one.dtype, one.device) for one in client.models()}
    assert len(told) == 2
    assert told[model.hash] == (SPEC, model.precision, "cpu")


def test_head_here_and_tail_there_are_the_whole(client: ServerClient, model: LoadedTorchModel) -> None:
    graph, runtime = model.graph, TorchRuntime()
    count = len(graph.layers)
    feeds = random_feeds(graph)
    whole = runtime.load(model.whole, threads=1).run(feeds)
    cuts = [[index for index in range(count) if mask >> index & 1] for mask in range(2**count - 1)]
    tried = 0
    for layers in (layers for layers in cuts if is_legal(graph, layers)):
        cut, segments = make_cut(graph, layers), model.divide(make_cut(graph, layers))
        if segments.tail is None:
            continue
        known = dict(feeds)
        if segments.head is not None:
            known |= runtime.load(segments.head, threads=1).run({name: feeds[name] for name in segments.head.inputs})
        name = f"tail-{model.precision}"
        client.load_tail(name, model_hash=model.hash, device_layers=layers)
        known |= client.infer(name, {name: known[name] for name in cut.crossing}).outputs
        for output in graph.outputs:
            assert known[output].dtype == whole[output].dtype
            np.testing.assert_array_equal(known[output], whole[output])
        client.unload(name)
        tried += 1
    assert tried >= 5


def test_the_server_profiles_its_own_model(client: ServerClient, model: LoadedTorchModel) -> None:
    profile = profile_on_server(client, model, precision=1.0, max_time_s=1.0, power_w=None)
    assert (profile.runtime.name, profile.runtime.device, profile.runtime.threads) == ("torch", "cpu", 1)
    assert (profile.model.hash, profile.model.precision) == (model.hash, model.precision)
    assert profile.graph == model.graph


def test_a_model_that_the_server_does_not_have_is_not_profiled(client: ServerClient) -> None:
    other = load_torch_model(SPEC, inputs={"x": (3, 8)})
    with pytest.raises(ServerError, match="is asked for, this server was started with branches") as caught:
        profile_on_server(client, other, precision=1.0, max_time_s=1.0, power_w=None)
    assert other.hash[:12] in caught.value.message
    assert "--model" in caught.value.hint


@pytest.mark.parametrize(
    ("models", "max_total_bytes", "says"),
    [
        (OWN[:1] * 2, 10**9, "is the same model as"),
        (OWN[:1], 100, "is too big: its weights take"),
        ([OwnModel(spec="no-such-network")], 10**9, "there is no model 'no-such-network'"),
        ([OwnModel(spec="tests.tiny_torch:branches")], 10**9, "shape of input 'x'"),
        ([OwnModel(spec="model.onnx")], 10**9, "ONNX file"),
        ([OwnModel(spec=SPEC, dtype="fp8")], 10**9, "--dtype fp8"),
        ([OwnModel(spec=SPEC, device="tpu")], 10**9, "--device tpu"),
        ([OwnModel(spec=SPEC, device="cuda:999")], 10**9, "--device cuda:999"),
        ([OwnModel(spec=SPEC, weights="/nowhere.safetensors", inputs=INPUTS)], 10**9, "/nowhere.safetensors"),
    ],
)
def test_models_that_cannot_be_served_are_one_line(models: list[OwnModel], max_total_bytes: int, says: str) -> None:
    with pytest.raises(OffloadError) as caught:
        load_own_models(models, threads=1, max_total_bytes=max_total_bytes, progress=NullProgress())
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_an_embedded_server_says_why_it_cannot_start() -> None:
    settings = ServeSettings(models=(OwnModel(spec="no-such-network"),))
    with pytest.raises(OffloadError, match="no-such-network"), EmbeddedServer(threads=1, settings=settings):
        pass


def test_a_model_that_changed_since_the_server_started_is_not_profiled() -> None:
    with pytest.raises(OffloadError, match="the server was started with 000000000000") as caught:
        profile_child._own(json.loads(json.dumps(dataclasses.asdict(OWN[0]))), "0" * 64)
    assert "start the server again" in caught.value.hint


@pytest.mark.skipif(not has_cuda_device(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_a_tail_and_a_profile_on_the_gpu(dtype: str) -> None:
    model = load_torch_model(SPEC, inputs=INPUTS, precision=dtype)
    settings = ServeSettings(models=(OwnModel(spec=SPEC, inputs=INPUTS, dtype=dtype, device="cuda"),))
    feeds = random_feeds(model.graph)
    expected = TorchRuntime().load(model.whole, threads=1).run(feeds)
    with EmbeddedServer(threads=1, settings=settings) as server, ServerClient(server.address) as client:
        assert client.models()[0].device == "cuda:0"
        client.load_tail("tail", model_hash=model.hash, device_layers=[])
        outputs = client.infer("tail", feeds).outputs
        profile = profile_on_server(client, model, precision=1.0, max_time_s=1.0, power_w=None)
    for name, right in expected.items():
        np.testing.assert_allclose(outputs[name].astype(float), right.astype(float), atol=0.05)
    assert profile.runtime.device == "cuda:0"
