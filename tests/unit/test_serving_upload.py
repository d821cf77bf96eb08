"""What an upload may be, and every limit on it."""

from __future__ import annotations

import threading

import grpc
import pytest
from onnx import TensorProto
from tritonclient.grpc import service_pb2

from offload.serving import repository as repository_module
from offload.serving.refusal import RefusalError
from offload.serving.repository import Repository
from offload.serving.upload import MODEL_FILE, Upload, UploadLimits, parse_upload, try_in_child
from tests import serving_models as models

LIMITS = UploadLimits()


def load_request(
    name: str, onnx: bytes | None = None, config: str | None = None
) -> service_pb2.RepositoryModelLoadRequest:
    request = service_pb2.RepositoryModelLoadRequest(model_name=name)
    if onnx is not None:
        request.parameters[MODEL_FILE].bytes_param = onnx
    if config is not None:
        request.parameters["config"].string_param = config
    return request


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads are not tried in a child, which takes a second each."""
    monkeypatch.setattr(repository_module, "try_in_child", lambda *_, **__: None)


def make_repository(limits: UploadLimits = LIMITS) -> Repository:
    return Repository({}, limits, threads=1, machine=threading.Lock())


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a\\b", ".hidden", "-flag", "a b", "é", "a\n", "x" * 201])
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(RefusalError, match="not accepted") as caught:
        parse_upload(load_request(name, b"x"), LIMITS)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_names_with_hashes_are_accepted() -> None:
    upload = parse_upload(load_request("resnet50.tail-3f2a_9", b"x"), LIMITS)
    assert upload == Upload(name="resnet50.tail-3f2a_9", onnx=b"x", config=None)


def test_uploads_over_the_limit_are_refused() -> None:
    with pytest.raises(RefusalError, match="limit of 10") as caught:
        parse_upload(load_request("m", b"x" * 11), UploadLimits(max_upload_bytes=10))
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("file", ["file:2/model.onnx", "file:1/model.pt", "file:../../etc/passwd", "other"])
def test_other_files_and_parameters_are_refused(file: str) -> None:
    request = load_request("m", b"x")
    request.parameters[file].bytes_param = b"y"
    with pytest.raises(RefusalError, match="not understood"):
        parse_upload(request, LIMITS)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("{", "not a model configuration"),
        ("[" * 100_000, "not a model configuration"),
        ('{"nonsense": 1}', "not a model configuration"),
        ('{"max_batch_size": 8}', "max_batch_size is not supported"),
        ('{"backend": "python"}', "backend must be 'onnxruntime'"),
        ('{"platform": "tensorrt_plan"}', "platform must be"),
        ('{"name": "other"}', "name must be 'm'"),
    ],
)
def test_configs_that_cannot_be_honoured_are_refused(config: str, says: str) -> None:
    with pytest.raises(RefusalError, match=says):
        parse_upload(load_request("m", b"x", config), LIMITS)


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('{"input": [{"name": "z", "data_type": "TYPE_FP32", "dims": [1, 4]}]}', "no input 'z'"),
        ('{"output": [{"name": "y", "data_type": "TYPE_FP16", "dims": [1, 4]}]}', "the config says FP16"),
        ('{"input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}]}', r"the config says FP32 \[4\]"),
    ],
)
def test_configs_that_contradict_the_model_are_refused(config: str, says: str) -> None:
    repository = make_repository()
    with pytest.raises(RefusalError, match=says):
        repository.load(load_request("m", models.scale(), config))
    assert not list(repository)


@pytest.mark.usefixtures("trusting")
def test_a_config_that_agrees_is_accepted() -> None:
    repository = make_repository()
    config = (
        '{"name": "m", "backend": "onnxruntime", "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [1, 4]}]}'
    )
    repository.load(load_request("m", models.scale(), config))
    assert [entry.name for entry in repository] == ["m"]


@pytest.mark.usefixtures("trusting")
def test_the_number_of_models_is_limited_but_replacing_one_is_not() -> None:
    repository = make_repository(UploadLimits(max_models=1))
    repository.load(load_request("a", models.scale()))
    with pytest.raises(RefusalError, match="at most 1 models") as caught:
        repository.load(load_request("b", models.scale()))
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    repository.load(load_request("a", models.scale(3)))
    repository.unload("a")
    repository.load(load_request("b", models.scale()))


@pytest.mark.usefixtures("trusting")
def test_the_models_together_are_limited() -> None:
    one = models.scale()
    repository = make_repository(UploadLimits(max_total_bytes=len(one) + 10))
    repository.load(load_request("a", one))
    repository.load(load_request("a", one))
    with pytest.raises(RefusalError, match="unload one") as caught:
        repository.load(load_request("b", one))
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.usefixtures("trusting")
def test_inputs_of_other_types_are_refused() -> None:
    with pytest.raises(RefusalError, match="bfloat16"):
        make_repository().load(load_request("m", models.cast_to(TensorProto.BFLOAT16)))


def trial(onnx: bytes, limits: UploadLimits = LIMITS) -> None:
    try_in_child(Upload(name="m", onnx=onnx, config=None), limits, threads=1)


@pytest.mark.parametrize(
    ("onnx", "says"),
    [
        (b"", "not an ONNX model"),
        (b"\x80\x04pickle", "not an ONNX model"),
        (models.scale()[:-20], "failed to load 'm'"),
        (models.external_data(), "another file"),
        (models.foreign_domain(), "com.microsoft"),
        (models.foreign_domain_in_branch(), "com.microsoft"),
        (models.endless(), "Loop"),
    ],
    ids=["empty", "pickle", "truncated", "external data", "foreign domain", "in a branch", "loop"],
)
def test_what_is_not_a_plain_onnx_model_is_invalid(onnx: bytes, says: str) -> None:
    with pytest.raises(RefusalError, match=says) as caught:
        trial(onnx)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_good_model_passes_its_trial() -> None:
    trial(models.add_and_subtract())


def test_a_model_over_the_memory_limit_takes_only_the_child_with_it() -> None:
    with pytest.raises(RefusalError) as caught:
        trial(models.hungry(500_000_000), UploadLimits(trial_memory_bytes=1024**3))
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_model_over_the_time_limit_is_stopped() -> None:
    with pytest.raises(RefusalError, match="trial run") as caught:
        trial(models.slow(products=2000), UploadLimits(trial_time_s=1.0))
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.usefixtures("trusting")
def test_models_that_no_call_names_are_forgotten_after_a_while() -> None:
    now_s = 1000.0
    ping = object()
    repository = Repository(
        {"ping": ping}, LIMITS, threads=1, machine=threading.Lock(), idle_unload_s=60.0, clock=lambda: now_s
    )
    repository.load(load_request("silent", models.scale()))
    repository.load(load_request("used", models.scale()))
    now_s += 59.0
    assert repository.unload_idle() == ()
    repository.get("used", "")
    now_s += 1.0
    assert repository.unload_idle() == ("silent",)
    assert [entry.name for entry in repository] == ["ping", "used"]
    repository.unload("used")
    now_s += 1e6
    assert repository.unload_idle() == ()
    repository.load(load_request("silent", models.scale()))  # its clock starts anew
    assert repository.unload_idle() == ()
    assert [entry.name for entry in repository] == ["ping", "silent"]


@pytest.mark.usefixtures("trusting")
def test_without_an_idle_time_nothing_is_forgotten() -> None:
    now_s = 0.0
    repository = Repository({}, LIMITS, threads=1, machine=threading.Lock(), clock=lambda: now_s)
    repository.load(load_request("silent", models.scale()))
    now_s += 1e9
    assert repository.unload_idle() == ()
