"""The server answers stock tritonclient, as a real child process, in every call, with Triton's statuses."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto
from tritonclient.utils import InferenceServerException

from offload.serving.embedded import EmbeddedServer
from tests import serving_models as models

FILE = "file:1/model.onnx"
CONFIG = '{"backend": "onnxruntime"}'


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with EmbeddedServer(threads=1) as server:
        yield server.address


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address) as client:
        client.load_model("double", config=CONFIG, files={FILE: models.scale(2)})
        client.load_model("arithmetic", config=CONFIG, files={FILE: models.add_and_subtract()})
        yield client


def tensor(name: str, array: np.ndarray, datatype: str = "FP32") -> triton.InferInput:
    return triton.InferInput(name, list(array.shape), datatype).set_data_from_numpy(array)


X = tensor("x", models.row(1, 2, 3, 4))


def test_the_server_is_live_and_ready_and_says_what_it_is(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata.name == "offload"
    assert "model_repository" in metadata.extensions


def test_models_are_ready_by_name_and_version(client: triton.InferenceServerClient) -> None:
    assert client.is_model_ready("double")
    assert client.is_model_ready("double", "1")
    assert not client.is_model_ready("double", "2")
    assert not client.is_model_ready("unknown")


def test_metadata_and_config_describe_inputs_and_outputs(client: triton.InferenceServerClient) -> None:
    metadata = client.get_model_metadata("arithmetic", as_json=True)
    assert metadata["platform"] == "onnxruntime_onnx"
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"][0] == {"name": "a", "datatype": "FP32", "shape": ["2", "3"]}
    assert [output["name"] for output in metadata["outputs"]] == ["sum", "difference"]
    config = client.get_model_config("arithmetic").config
    assert (config.backend, config.max_batch_size) == ("onnxruntime", 0)
    assert [(one.name, list(one.dims)) for one in config.input] == [("a", [2, 3]), ("b", [2, 3])]


def test_the_index_lists_uploaded_models(client: triton.InferenceServerClient) -> None:
    states = {model.name: (model.version, model.state) for model in client.get_model_repository_index().models}
    assert states["double"] == ("1", "READY")
    assert states["offload-ping"] == ("1", "READY")


def test_inference_answers_all_outputs_or_those_asked_for(client: triton.InferenceServerClient) -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 3), np.float32)
    inputs = [tensor("b", b), tensor("a", a)]
    result = client.infer("arithmetic", inputs, request_id="7")
    np.testing.assert_array_equal(result.as_numpy("sum"), a + b)
    np.testing.assert_array_equal(result.as_numpy("difference"), a - b)
    assert (result.get_response().id, result.get_response().model_version) == ("7", "1")
    outputs = [triton.InferRequestedOutput("difference")]
    result = client.infer("arithmetic", inputs, model_version="1", outputs=outputs)
    assert result.as_numpy("sum") is None
    np.testing.assert_array_equal(result.as_numpy("difference"), a - b)


@pytest.mark.parametrize(
    ("onnx_type", "datatype", "values"),
    [
        (TensorProto.BOOL, "BOOL", np.array([True, False])),
        (TensorProto.FLOAT16, "FP16", np.array([0.5, -2], np.float16)),
        (TensorProto.DOUBLE, "FP64", np.array([0.1, 1e300])),
        (TensorProto.INT8, "INT8", np.array([-128, 127], np.int8)),
        (TensorProto.UINT8, "UINT8", np.array([0, 255], np.uint8)),
        (TensorProto.INT32, "INT32", np.array([-1, 2**30], np.int32)),
        (TensorProto.INT64, "INT64", np.array([-1, 2**62], np.int64)),
    ],
)
def test_element_types_survive_the_journey(
    client: triton.InferenceServerClient, onnx_type: int, datatype: str, values: np.ndarray
) -> None:
    name = f"identity-{datatype}"
    client.load_model(name, config=CONFIG, files={FILE: models.cast_to(onnx_type)})
    returned = client.infer(name, [tensor("x", values, datatype)]).as_numpy("y")
    assert returned.dtype == values.dtype
    np.testing.assert_array_equal(returned, values)
    client.unload_model(name)


def test_asynchronous_inference(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue[tuple[object, object]] = queue.Queue()
    for _ in range(20):
        client.async_infer("double", [X], callback=lambda result, error: answers.put((result, error)))
    for _ in range(20):
        result, error = answers.get(timeout=20)
        assert error is None
        assert result.as_numpy("y").tolist() == [[2, 4, 6, 8]]


def test_statistics_count_successes_and_failures(client: triton.InferenceServerClient) -> None:
    client.load_model("counted", config=CONFIG, files={FILE: models.scale(2)})
    for _ in range(3):
        client.infer("counted", [X])
    with pytest.raises(InferenceServerException):
        client.infer("counted", [])
    (stats,) = client.get_inference_statistics("counted").model_stats
    assert (stats.name, stats.version, stats.inference_count, stats.execution_count) == ("counted", "1", 3, 3)
    durations = stats.inference_stats
    assert (durations.success.count, durations.fail.count) == (3, 1)
    assert stats.last_inference > 0
    parts = [durations.queue, durations.compute_input, durations.compute_infer, durations.compute_output]
    assert [part.count for part in parts] == [3] * 4
    assert all(part.ns > 0 for part in parts)
    assert sum(part.ns for part in parts) <= durations.success.ns
    names = {one.name for one in client.get_inference_statistics().model_stats}
    assert {"counted", "double"} <= names
    client.unload_model("counted")


def test_a_second_upload_of_a_name_replaces_the_first(client: triton.InferenceServerClient) -> None:
    for factor in (2, 3):
        client.load_model("replaced", config=CONFIG, files={FILE: models.scale(factor)})
        assert client.infer("replaced", [X]).as_numpy("y")[0, 0] == factor
    client.load_model("replaced")  # a reload without files keeps what is there
    assert client.infer("replaced", [X]).as_numpy("y")[0, 0] == 3
    client.unload_model("replaced")
    assert not client.is_model_ready("replaced")


def test_a_refused_upload_leaves_the_old_model(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.load_model("double", config=CONFIG, files={FILE: b"not onnx"})
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert client.infer("double", [X]).as_numpy("y")[0, 0] == 2


def test_unloading_what_is_not_there_is_no_error(client: triton.InferenceServerClient) -> None:
    client.unload_model("never-loaded")


def classified() -> triton.InferRequestedOutput:
    return triton.InferRequestedOutput("y", class_count=1)


Client = triton.InferenceServerClient
ERRORS: dict[str, tuple[str, Callable[[Client], object]]] = {
    "infer, unknown model": ("NOT_FOUND", lambda c: c.infer("unknown", [X])),
    "infer, unknown version": ("NOT_FOUND", lambda c: c.infer("double", [X], model_version="2")),
    "metadata, unknown model": ("NOT_FOUND", lambda c: c.get_model_metadata("unknown")),
    "config, unknown model": ("NOT_FOUND", lambda c: c.get_model_config("unknown")),
    "statistics, unknown model": ("NOT_FOUND", lambda c: c.get_inference_statistics("unknown")),
    "missing input": ("INVALID_ARGUMENT", lambda c: c.infer("double", [])),
    "extra input": ("INVALID_ARGUMENT", lambda c: c.infer("double", [X, tensor("z", models.row(1))])),
    "input twice": ("INVALID_ARGUMENT", lambda c: c.infer("double", [X, X])),
    "wrong name": ("INVALID_ARGUMENT", lambda c: c.infer("double", [tensor("z", models.row(1, 2, 3, 4))])),
    "wrong shape": ("INVALID_ARGUMENT", lambda c: c.infer("double", [tensor("x", models.row(1, 2, 3))])),
    "wrong rank": ("INVALID_ARGUMENT", lambda c: c.infer("double", [tensor("x", np.zeros(4, np.float32))])),
    "wrong dtype": ("INVALID_ARGUMENT", lambda c: c.infer("double", [tensor("x", np.zeros((1, 4)), "FP64")])),
    "unknown output": (
        "INVALID_ARGUMENT",
        lambda c: c.infer("double", [X], outputs=[triton.InferRequestedOutput("z")]),
    ),
    "classification": ("INVALID_ARGUMENT", lambda c: c.infer("double", [X], outputs=[classified()])),
    "load without files": ("INTERNAL", lambda c: c.load_model("nothing-there")),
    "load, unsafe name": ("INVALID_ARGUMENT", lambda c: c.load_model("../m", config=CONFIG, files={FILE: b""})),
    "load over a built-in": (
        "INVALID_ARGUMENT",
        lambda c: c.load_model("offload-ping", config=CONFIG, files={FILE: models.scale()}),
    ),
    "unload a built-in": ("INVALID_ARGUMENT", lambda c: c.unload_model("offload-ping")),
    "trace": ("UNIMPLEMENTED", lambda c: c.get_trace_settings()),
    "log": ("UNIMPLEMENTED", lambda c: c.get_log_settings()),
    "shared memory": ("UNIMPLEMENTED", lambda c: c.get_system_shared_memory_status()),
    "register shared memory": ("UNIMPLEMENTED", lambda c: c.register_system_shared_memory("r", "/r", 8)),
    "cuda shared memory": ("UNIMPLEMENTED", lambda c: c.get_cuda_shared_memory_status()),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_carry_the_right_status(client: Client, case: str) -> None:
    status, call = ERRORS[case]
    with pytest.raises(InferenceServerException) as caught:
        call(client)
    assert caught.value.status() == f"StatusCode.{status}"
    assert caught.value.message()


def test_streams_are_not_offered(address: str) -> None:
    answers: queue.Queue[object] = queue.Queue()
    with triton.InferenceServerClient(address) as client:
        client.start_stream(callback=lambda result, error: answers.put(error))
        with contextlib.suppress(InferenceServerException):  # the refusal may come before the request
            client.async_stream_infer("double", [X])
        error = answers.get(timeout=20)
    assert error.status() == "StatusCode.UNIMPLEMENTED"
