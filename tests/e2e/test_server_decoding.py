"""Payloads that the server decodes before inference: announced, decoded, timed, and refused when they are damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from onnx import TensorProto, helper

from offload.artifacts.codec import SymbolCoding
from offload.codecs.base import HEADER_BYTES, Codec
from offload.codecs.catalogue import make_codec
from offload.codecs.symbols import TABLE_SUM
from offload.graph.model_graph import Tensor
from offload.models.joining import join
from offload.models.load import load_model
from offload.models.segments import OnnxSegment
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.trained_codec import TrainedCodecSession, decoder_segment
from offload.serving.client import ServerClient
from offload.serving.client_errors import ServerError
from offload.serving.decoding import PARAMETER, Coded, announced_codecs
from offload.serving.embedded import EmbeddedServer
from offload.serving.refusal import RefusalError
from offload.serving.server import ServeSettings
from offload.serving.tensors import TensorSpec
from offload.serving.upload import MODEL_FILE, UploadLimits
from tests import serving_models as models
from tests.made_codecs import quantiser

IMAGE = Tensor(name="x", shape=(1, 3, 16, 24), dtype="float32")
SYMBOLS = Tensor(name="x", shape=(1, 6, 5, 5), dtype="uint8")
TABLE = (TABLE_SUM - 3 * 1000, 1000, 1000, 1000)
CODED = {
    "jpeg": Coded(codec="jpeg:quality=60", tensor=IMAGE),
    "webp": Coded(codec="webp:quality=60", tensor=IMAGE),
    "zstd": Coded(codec="zstd", tensor=IMAGE),
    "fp16+zstd": Coded(codec="fp16+zstd", tensor=IMAGE),
    "int8": Coded(codec="int8", tensor=IMAGE),
    "int4+zstd": Coded(codec="int4+zstd", tensor=IMAGE),
    "lossy": Coded(codec="lossy:bits=4", tensor=IMAGE),
    "interpolate": Coded(codec="interpolate:factor=2", tensor=IMAGE),
    "cs-dct": Coded(codec="cs-dct:ratio=0.2,iterations=5", tensor=IMAGE),
    "packed": Coded(codec="packed:levels=4", tensor=SYMBOLS),
    "range": Coded(codec="range:levels=4", tensor=SYMBOLS, tables=(TABLE,) * 6),
}


def same(tensor: Tensor) -> bytes:
    """`y = x`, of the tensor's shape and type; its trial takes no time."""
    kind = TensorProto.FLOAT if tensor.dtype == "float32" else TensorProto.UINT8
    ends = [helper.make_tensor_value_info(name, kind, tensor.shape) for name in ("x", "y")]
    return models.model_bytes([helper.make_node("Identity", ["x"], ["y"])], ends[:1], ends[1:])


def example(tensor: Tensor) -> np.ndarray:
    generator = np.random.default_rng(3)
    if tensor.dtype == "uint8":
        return generator.integers(0, 4, tensor.shape, dtype=np.uint8)
    return generator.random(tensor.shape, dtype=np.float32)


def codec_of(coded: Coded) -> Codec:
    return make_codec(coded.codec, coded.tensor, tables=coded.tables)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(threads=1) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: EmbeddedServer) -> Iterator[ServerClient]:
    with ServerClient(server.address) as connected:
        for name, coded in CODED.items():
            connected.upload(name.replace("+", "-"), same(coded.tensor), coded={"x": coded})
        yield connected


def ask(client: ServerClient, name: str, payload: bytes) -> np.ndarray:
    return client.infer(name.replace("+", "-"), {"x": np.frombuffer(payload, np.uint8)}).outputs["y"]


@pytest.mark.parametrize("name", CODED)
def test_what_the_model_gets_is_what_the_codec_decodes_here(client: ServerClient, name: str) -> None:
    codec = codec_of(CODED[name])
    payload = codec.encode(example(codec.tensor))
    np.testing.assert_array_equal(ask(client, name, payload), codec.decode(payload))
    inputs, outputs = client.metadata(name.replace("+", "-"))
    assert [(one.datatype, one.shape) for one in inputs] == [("UINT8", (-1,))]
    assert [one.shape for one in outputs] == [codec.tensor.shape]


def test_decoding_is_told_apart_from_inference(client: ServerClient) -> None:
    codec = codec_of(CODED["cs-dct"])
    payload = np.frombuffer(codec.encode(example(IMAGE)), np.uint8)
    before = client.statistics("cs-dct")
    server = client.infer("cs-dct", {"x": payload}).server
    after = client.statistics("cs-dct")
    assert server is not None
    assert 0 < server.decode_ns <= server.compute_input_ns
    assert after.compute_input_s - before.compute_input_s >= server.decode_ns / 1e9
    plain = client.infer("offload-ping", {}).server
    assert plain is not None
    assert plain.decode_ns < 1_000_000


def damaged(payload: bytes, rounds: int) -> Iterator[bytes]:
    """What a bad network, a bad client or a worse one may send."""
    generator = np.random.default_rng(len(payload))
    for _ in range(rounds):
        flipped = bytearray(payload)
        for place in generator.integers(0, len(payload), generator.integers(1, 4)):
            flipped[place] ^= 1 << int(generator.integers(0, 8))
        yield bytes(flipped)
        yield payload[: int(generator.integers(0, len(payload)))]
        yield payload[:HEADER_BYTES] + generator.bytes(int(generator.integers(0, len(payload))))
        yield payload + generator.bytes(int(generator.integers(1, 40)))
        cut = int(generator.integers(HEADER_BYTES, len(payload)))
        yield payload[:cut] + payload[cut + 1 :]


@pytest.mark.parametrize("name", CODED)
def test_damaged_payloads_are_refused_in_one_line_and_the_server_goes_on(client: ServerClient, name: str) -> None:
    codec = codec_of(CODED[name])
    payload = codec.encode(example(codec.tensor))
    answers: list[np.ndarray] = []
    refusals: list[ServerError] = []
    for bad in damaged(payload, rounds=30):
        try:
            answers.append(ask(client, name, bad))
        except ServerError as error:
            refusals.append(error)
    assert refusals
    for refused in refusals:
        assert refused.code == "INVALID_ARGUMENT", refused.message
        assert "input 'x'" in refused.message
        assert "\n" not in refused.message
        assert "Traceback" not in refused.message
    assert {answer.shape for answer in answers} <= {codec.tensor.shape}
    np.testing.assert_array_equal(ask(client, name, payload), codec.decode(payload))


@pytest.mark.parametrize("name", CODED)
def test_what_is_no_payload_of_this_codec_is_always_refused(client: ServerClient, name: str) -> None:
    codec = codec_of(CODED[name])
    payload = codec.encode(example(codec.tensor))
    other = next(each for key, each in CODED.items() if key != name and each.tensor.dtype != codec.tensor.dtype)
    foreign = codec_of(other).encode(example(other.tensor))
    beheaded = [payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :] for place in range(HEADER_BYTES)]
    too_long = payload + bytes(codec.max_bytes + 1 - len(payload))
    for bad in (b"", payload[:3], foreign, too_long, *beheaded):
        with pytest.raises(ServerError) as caught:
            ask(client, name, bad)
        assert caught.value.code == "INVALID_ARGUMENT"
    assert str(codec.max_bytes) in refusal(client, name, too_long)


@pytest.mark.parametrize("coding", ["packed", "range"])
def test_damaged_payloads_of_a_decoder_within_the_model_do_not_hurt_the_server(
    client: ServerClient, tmp_path: Path, coding: SymbolCoding
) -> None:
    whole = tmp_path / "same.onnx"
    whole.write_bytes(same(IMAGE))
    files = quantiser(tmp_path / "codecs", load_model(str(whole)), IMAGE, coding=coding, step=1 / 15)
    codec = TrainedCodecSession(files, OnnxRuntime(), threads=1)
    joined = join(decoder_segment(files), OnnxSegment(onnx=same(IMAGE), inputs=("x",), outputs=("y",)))
    (name,) = joined.inputs
    symbols = Tensor(name=name, shape=IMAGE.shape, dtype="uint8")
    coded = {name: Coded(codec=codec.symbols.text, tensor=symbols, tables=files.manifest.tables)}
    client.upload("joined", joined.onnx, coded=coded if coding == "range" else None)
    payload = codec.encode(example(IMAGE))
    np.testing.assert_allclose(example(IMAGE), codec.decode(payload), atol=0.5 / 15 + 1e-6)

    def answer(sent: bytes) -> np.ndarray:
        return client.infer("joined", {name: np.frombuffer(sent, np.uint8)}).outputs["y"]

    codes = set()
    for bad in damaged(payload, rounds=20):
        try:
            assert answer(bad).shape == IMAGE.shape
        except ServerError as error:
            codes.add(error.code)
    assert codes == {"INVALID_ARGUMENT"}
    np.testing.assert_array_equal(answer(payload), codec.decode(payload))


def refusal(client: ServerClient, name: str, payload: bytes) -> str:
    with pytest.raises(ServerError) as caught:
        ask(client, name, payload)
    return caught.value.message


def announced(**changes: object) -> str:
    """An announcement, JSON, with some fields replaced."""
    fields = {"codec": "int8", "shape": list(IMAGE.shape), "dtype": "float32", "tables": []} | changes
    return json.dumps({"x": fields})


DEEP = ("[" * 100_000, "is not JSON")
UNKNOWN = (announced(codec="nonsense"), "no codec is called 'nonsense'")
TOO_LONG = (announced(tables=[[1] * 1000] * 600), "characters is over")
BAD = [
    ("{", "is not JSON"),
    DEEP,
    ("[]", "must be an object of inputs"),
    (json.dumps({"z": {}}), "no input of the model"),
    (json.dumps({"x": {"codec": "int8"}}), "must be an object of codec, dtype, shape, tables"),
    (json.dumps({"x": 3}), "must be an object of codec, dtype, shape, tables"),
    (announced(codec=3), "must name a codec"),
    (announced(codec="int8" * 1000), "must name a codec"),
    UNKNOWN,
    (announced(codec="jpeg:quality=1000"), "quality must be an integer"),
    (announced(codec="packed:levels=4"), "takes symbols"),
    (announced(shape=[1, 3, 16]), "the model takes [1, 3, 16, 24]"),
    (announced(shape=[1, 3, 16, 24.0]), "the model takes [1, 3, 16, 24]"),
    (announced(shape="1x3x16x24"), "the model takes [1, 3, 16, 24]"),
    (announced(dtype="uint8"), "the model takes FP32"),
    (announced(dtype=None), "the model takes FP32"),
    (announced(tables=3), "tables that are not lists"),
    (announced(tables=[3]), "tables that are not lists"),
    (announced(tables=[[0.5]]), "whole numbers"),
    (announced(tables=[[True]]), "whole numbers"),
    (announced(tables=[[1, 2]]), "has no tables"),
]


TAKEN = (TensorSpec(name="x", datatype="FP32", shape=IMAGE.shape),)
"""What the model of a bad announcement takes."""


@pytest.mark.parametrize(("text", "says"), BAD, ids=range(len(BAD)))
def test_announcements_that_are_not_understood(text: str, says: str) -> None:
    with pytest.raises(RefusalError) as caught:
        announced_codecs(text, TAKEN)
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize(("text", "says"), [DEEP, UNKNOWN, TOO_LONG], ids=["deep", "unknown", "long"])
def test_announcements_that_the_server_refuses(client: ServerClient, text: str, says: str) -> None:
    config = json.dumps({"backend": "onnxruntime", "parameters": {PARAMETER: {"string_value": text}}})
    with pytest.raises(ServerError) as caught:
        client._call(client._client.load_model, "bad", config=config, files={MODEL_FILE: same(IMAGE)}, timeout_s=60)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 1000
    assert not client.ready("bad")


def test_decoding_that_takes_for_ever_takes_only_its_trial_with_it() -> None:
    tensor = Tensor(name="x", shape=(1, 64, 256, 256), dtype="float32")
    settings = ServeSettings(limits=UploadLimits(trial_time_s=4.0))
    with EmbeddedServer(threads=1, settings=settings) as server, ServerClient(server.address) as client:
        slow = Coded(codec="cs-dct:ratio=0.5,iterations=500", tensor=tensor)
        with pytest.raises(ServerError) as caught:
            client.upload("slow", same(tensor), coded={"x": slow})
        assert caught.value.code == "RESOURCE_EXHAUSTED"
        client.upload("quick", same(IMAGE), coded={"x": CODED["int8"]})


def test_a_model_without_a_fixed_input_takes_no_payloads(client: ServerClient) -> None:
    ends = [models.floats(name, "batch", 4) for name in ("x", "y")]
    onnx = models.model_bytes([helper.make_node("Identity", ["x"], ["y"])], ends[:1], ends[1:])
    tensor = Tensor(name="x", shape=(-1, 4), dtype="float32")
    with pytest.raises(ServerError, match="fixed shape"):
        client.upload("open", onnx, coded={"x": Coded(codec="int8", tensor=tensor)})


def test_other_parameters_are_refused(client: ServerClient) -> None:
    config = json.dumps({"parameters": {"execute": {"string_value": "x"}}})
    with pytest.raises(ServerError, match="'execute' is not understood"):
        client._call(client._client.load_model, "bad", config=config, files={MODEL_FILE: same(IMAGE)}, timeout_s=60)


def test_a_server_that_passes_over_the_announcement_is_told_of(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Triton does: it takes the upload and serves the model's own input."""
    with ServerClient(server.address) as client:
        load_model = client._client.load_model

        def forgetful(name: str, *, config: str, **options: object) -> object:
            return load_model(name, config='{"backend": "onnxruntime"}', **options)

        monkeypatch.setattr(client._client, "load_model", forgetful)
        with pytest.raises(ServerError, match="does not decode payloads of the codec int8") as caught:
            client.upload("plain", same(IMAGE), coded={"x": Coded(codec="int8", tensor=IMAGE)})
        assert "packed" in caught.value.hint
        assert not client.ready("plain")
