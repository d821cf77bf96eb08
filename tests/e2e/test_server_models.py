"""Tails of models that the server itself was started with: asked for over a real socket, and every limit on it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from offload.errors import OffloadError
from offload.progress import NullProgress
from offload.serving.client import ServerClient
from offload.serving.client_errors import ServerError
from offload.serving.own_models import OwnModel, ServerModel, TailSource
from offload.serving.server import ServeSettings, serve
from offload.serving.tail_request import tail_config
from offload.serving.tensors import TensorSpec
from offload.serving.upload import UploadLimits
from tests import serving_models as models
from tests.serving_tails import BROKEN, HASH, Diamond, diamond

X = {"x": models.row(1, 2, 3, 4)}
Start = Callable[..., ServerClient]


@pytest.fixture
def start() -> Iterator[Start]:
    """Serves given sources from a thread of this process; a client of that server."""
    running: list[tuple[threading.Event, threading.Thread, ServerClient]] = []

    def starter(*sources: TailSource, **settings: object) -> ServerClient:
        stop, ready, ports = threading.Event(), threading.Event(), []

        def note(port: int) -> None:
            ports.append(port)
            ready.set()

        arguments = (ServeSettings(port=0, **settings), NullProgress(), note)
        thread = threading.Thread(target=serve, args=arguments, kwargs={"stop": stop, "sources": sources})
        thread.start()
        assert ready.wait(20)
        client = ServerClient(f"127.0.0.1:{ports[0]}", timeout_s=20)
        running.append((stop, thread, client))
        return client

    yield starter
    for stop, thread, client in running:
        client.close()
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def refused(client: ServerClient, config: str, name: str = "tail") -> tuple[str, str]:
    """Status and message of a load request with this `config`, as any client may send it."""
    with triton.InferenceServerClient(client.address) as stock:
        with pytest.raises(InferenceServerException) as caught:
            stock.load_model(name, config=config)
        assert not stock.is_model_ready(name)
    return caught.value.status().removeprefix("StatusCode."), caught.value.message()


def test_the_models_a_server_was_started_with_are_told(start: Start) -> None:
    source = Diamond(own=OwnModel(spec="pkg:diamond", device="cuda:0", dtype="fp16", weights="/secret/path"))
    told = ServerModel(name="diamond", hash=HASH, spec="pkg:diamond", device="cuda:0", dtype="fp16")
    assert start(source).models() == (told,)
    assert start().models() == ()


def test_a_tail_computes_what_the_device_does_not(start: Start) -> None:
    client = start(Diamond())
    for layers, sent, returned in (
        ([], {"x"}, {"minus", "product"}),
        ([0], {"double"}, {"minus", "product"}),
        ([2, 0], {"double", "minus"}, {"product"}),
        ([0, 1], {"double", "plus"}, {"minus", "product"}),
        ([0, 1, 2], {"plus", "minus"}, {"product"}),
    ):
        name = f"tail-{len(layers)}-{sum(layers)}"
        client.load_tail(name, model_hash=HASH, device_layers=layers)
        inputs, outputs = client.metadata(name)
        assert {spec.name for spec in inputs} == sent
        assert {spec.name for spec in outputs} == returned
        assert inputs[0] == TensorSpec(name=inputs[0].name, datatype="FP32", shape=(1, 4))
        whole = {"x": X["x"], "double": 2 * X["x"], "plus": 2 * X["x"] + 1, "minus": 2 * X["x"] - 1}
        whole["product"] = whole["plus"] * whole["minus"]
        result = client.infer(name, {key: whole[key] for key in sent})
        assert result.outputs.keys() == returned
        for key in returned:
            np.testing.assert_array_equal(result.outputs[key], whole[key])


def test_a_tail_is_served_as_any_other_model(start: Start) -> None:
    client = start(Diamond())
    client.load_tail("tail", model_hash=HASH, device_layers={0})
    server = client.infer("tail", {"double": X["x"]}).server
    assert server is not None
    parts_ns = server.queue_ns + server.compute_input_ns + server.compute_infer_ns + server.compute_output_ns
    assert 0 < parts_ns <= server.sent_ns - server.received_ns
    counts = client.statistics("tail")
    assert (counts.inferences, counts.fail_count) == (1, 0)
    assert counts.compute_infer_s == pytest.approx(server.compute_infer_ns / 1e9)
    with triton.InferenceServerClient(client.address) as stock:
        assert "tail" in [model.name for model in stock.get_model_repository_index().models]
        assert stock.get_model_metadata("tail").platform == "offload_torch"
        group = stock.get_model_config("tail").config.instance_group[0]
        assert group.Kind.Name(group.kind) == "KIND_MODEL"
    with pytest.raises(ServerError, match="unexpected shape") as caught:
        client.infer("tail", {"double": models.row(1)})
    assert caught.value.code == "INVALID_ARGUMENT"
    client.unload("tail")
    assert not client.ready("tail")


def test_a_tail_has_run_before_it_answers(start: Start) -> None:
    source = Diamond()
    start(source).load_tail("tail", model_hash=HASH, device_layers=[0])
    assert source.runs == [frozenset({"double"})]


def test_the_same_name_again_is_another_tail(start: Start) -> None:
    client = start(Diamond())
    client.load_tail("tail", model_hash=HASH, device_layers=[0])
    client.infer("tail", {"double": X["x"]})
    client.load_tail("tail", model_hash=HASH, device_layers=[])
    assert client.infer("tail", X).outputs["minus"].tolist() == [[1, 3, 5, 7]]
    assert client.statistics("tail").inferences == 1
    assert refused(client, tail_config(HASH, [1]), name="other")[0] == "INVALID_ARGUMENT"
    with pytest.raises(ServerError, match="predecessor"):  # a refused one leaves the old one
        client.load_tail("tail", model_hash=HASH, device_layers=[1])
    assert client.infer("tail", X).outputs["minus"].tolist() == [[1, 3, 5, 7]]


def test_uploads_stay_possible_and_may_replace_a_tail(start: Start) -> None:
    client = start(Diamond())
    client.load_tail("either", model_hash=HASH, device_layers=[])
    client.upload("either", models.scale(3))
    assert client.infer("either", X).outputs["y"].tolist() == [[3, 6, 9, 12]]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int64", "bool"])
def test_tensors_of_every_type_survive_the_journey(start: Start, dtype: str) -> None:
    graph = diamond(dtype)
    client = start(Diamond(graph=graph))
    if dtype == "bool":  # NumPy does not subtract them, and the run on zeros says so
        with pytest.raises(ServerError):
            client.load_tail("tail", model_hash=HASH, device_layers=[])
        return
    client.load_tail("tail", model_hash=HASH, device_layers=[])
    values = np.array([[1, 2, 3, 4]]).astype(np.dtype(dtype))
    outputs = client.infer("tail", {"x": values}).outputs
    assert {array.dtype.name for array in outputs.values()} == {dtype}
    assert outputs["product"].astype(float).tolist() == [[3, 15, 35, 63]]


def test_bfloat16_keeps_its_bits(start: Start) -> None:
    client = start(Diamond(graph=diamond("bfloat16")))
    client.load_tail("tail", model_hash=HASH, device_layers=[0, 1])
    assert client.metadata("tail")[0][0].datatype == "BF16"
    values = np.array([[1.0078125, -0.0, 3e18, 1e-40]], ml_dtypes.bfloat16)
    outputs = client.infer("tail", {"double": values, "plus": values}).outputs
    expected = values - np.ones_like(values)
    assert outputs["minus"].tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ("[0", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("9" * 5000, "not JSON"),
        ("{}", "list of whole numbers"),
        ("0", "list of whole numbers"),
        ('["0"]', "list of whole numbers"),
        ("[true]", "list of whole numbers"),
        ("[0.0]", "list of whole numbers"),
        ("[null]", "list of whole numbers"),
        ("[-1]", "names layer -1"),
        ("[4]", "names layer 4, the model's are 0 to 3"),
        ("[1" + "0" * 300 + "]", "the model's are 0 to 3"),
        ("[0, 0]", "twice"),
        ("[0, 0, 0, 0, 0]", "holds 5 numbers, the model has 4 layers"),
        ("[1]", "every predecessor"),
        ("[0, 1, 2, 3]", "nothing for the server to compute"),
    ],
)
def test_layers_that_are_no_cut_are_refused(start: Start, layers: str, says: str) -> None:
    parameters = {"offload.model": {"string_value": HASH}, "offload.device_layers": {"string_value": layers}}
    status, message = refused(start(Diamond()), json.dumps({"backend": "offload", "parameters": parameters}))
    assert status == "INVALID_ARGUMENT"
    assert says in message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"max_batch_size": 8}, "max_batch_size is not understood"),
        ({"name": "other"}, "name must be 'tail'"),
        ({"parameters": {}}, "offload.model is missing"),
        ({"parameters": {"offload.model": {"string_value": HASH}}}, "offload.device_layers is missing"),
        ({"parameters": {"code": {"string_value": "import os"}}}, "code is not understood"),
        ({"backend": "python"}, "backend must be 'onnxruntime'"),
        ({"name": "x" * 2**20}, "characters is over 1048576"),
    ],
)
def test_requests_in_other_words_are_refused(start: Start, change: dict[str, object], says: str) -> None:
    config = {**json.loads(tail_config(HASH, [0])), **change}
    if "backend" in change:
        del config["parameters"]
    status, message = refused(start(Diamond()), json.dumps(config))
    assert status == "INVALID_ARGUMENT"
    assert says in message


@pytest.mark.parametrize("name", ["../tail", "offload-ping", "offload-models"])
def test_names_that_are_unsafe_or_taken_are_refused(start: Start, name: str) -> None:
    client = start(Diamond())
    with pytest.raises(ServerError, match=r"not accepted|built into this server"):
        client.load_tail(name, model_hash=HASH, device_layers=[0])


def test_another_models_tail_is_refused_with_both_hashes_and_what_to_do(start: Start) -> None:
    with pytest.raises(ServerError, match=f"'{'ab' * 6}' is asked for") as caught:
        start(Diamond()).load_tail("tail", model_hash="ab" * 32, device_layers=[0])
    assert f"diamond with content '{HASH[:12]}'" in caught.value.message
    assert "--model" in caught.value.hint


def test_a_server_without_models_of_its_own_says_what_to_do(start: Start) -> None:
    with pytest.raises(ServerError, match="was started without models") as caught:
        start().load_tail("tail", model_hash=HASH, device_layers=[0])
    assert "offload serve --model" in caught.value.hint


def test_the_number_of_tails_is_limited_and_unloading_makes_room(start: Start) -> None:
    client = start(Diamond(), limits=UploadLimits(max_models=1))
    client.load_tail("a", model_hash=HASH, device_layers=[0])
    with pytest.raises(ServerError, match="at most 1 models") as caught:
        client.load_tail("b", model_hash=HASH, device_layers=[0])
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    client.load_tail("a", model_hash=HASH, device_layers=[])
    client.unload("a")
    client.load_tail("b", model_hash=HASH, device_layers=[0])


def test_the_weights_of_tails_are_limited_together(start: Start) -> None:
    client = start(Diamond(), limits=UploadLimits(max_total_bytes=5000))
    client.load_tail("most", model_hash=HASH, device_layers=[0])  # 3000 bytes
    client.load_tail("some", model_hash=HASH, device_layers=[0, 1])  # 2000 bytes
    with pytest.raises(ServerError, match="over this server's limit of 5000") as caught:
        client.load_tail("last", model_hash=HASH, device_layers=[0, 1, 2])
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    client.unload("some")
    client.load_tail("last", model_hash=HASH, device_layers=[0, 1, 2])


@pytest.mark.parametrize(("error", "status", "says"), BROKEN, ids=["refused", "memory of the GPU", "memory"])
def test_a_tail_that_cannot_be_loaded_is_one_line(start: Start, error: Exception, status: str, says: str) -> None:
    with pytest.raises(ServerError, match=says) as caught:
        start(Diamond(failing=error)).load_tail("tail", model_hash=HASH, device_layers=[0])
    assert caught.value.code == status
    assert "\n" not in caught.value.message


def test_what_nobody_uses_is_unloaded(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offload.serving.server._SWEEP_S", 0.01)
    client = start(Diamond(), idle_unload_s=0.01)
    client.load_tail("tail", model_hash=HASH, device_layers=[0])
    deadline = time.monotonic() + 20
    with triton.InferenceServerClient(client.address) as stock:
        while "tail" in [model.name for model in stock.get_model_repository_index().models]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert not client.ready("tail")


def test_a_profile_by_hash_is_made_of_the_servers_own_model(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(Diamond())
    for feeds, says in (
        ({}, "either"),
        ({"model": b"x", "hash": HASH.encode()}, "either"),
        ({"hash": b"\xff" * 32}, "is asked for, this server was started with diamond"),
    ):
        arrays = {name: np.array([value], np.object_) for name, value in feeds.items()}
        with pytest.raises(OffloadError, match=says):
            client.infer("offload-profile", arrays)
