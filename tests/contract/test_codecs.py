"""What every codec must do, for every tensor that it takes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from offload.artifacts.codec import LearnedKind
from offload.codecs.base import HEADER_BYTES, Codec, PayloadError
from offload.codecs.catalogue import BUILDERS, default_texts, make_codec
from offload.codecs.symbols import fit_tables
from offload.codecs.trained import TrainedFiles
from offload.datasets.base import PixelScale
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.trained_codec import TrainedCodecSession
from offload.training.learned import NETWORKS
from tests import tiny_training

SCALE = PixelScale(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
IMAGE_SCALE = "mean=0.485/0.456/0.406,std=0.229/0.224/0.225"


def _image(shape: tuple[int, ...]) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    mean, std = (np.asarray(values, np.float32).reshape(1, -1, 1, 1) for values in (SCALE.mean, SCALE.std))
    return (pixels / np.float32(255) - mean) / std


def _features(shape: tuple[int, ...]) -> np.ndarray:
    return np.maximum(np.random.default_rng(1).normal(size=shape), 0).astype(np.float32)


def _tokens(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(2).integers(-(2**40), 2**40, shape)


def _symbols(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(3).choice(5, size=shape, p=[0.7, 0.1, 0.1, 0.05, 0.05]).astype(np.uint8)


ARRAYS: dict[str, np.ndarray] = {
    "image": _image((1, 3, 18, 26)),
    "feature map": _features((1, 6, 7, 5)),
    "small map": _features((1, 12, 2, 2)),
    "sequence": _features((1, 21, 6)),
    "vector": _features((1, 40)),
    "tokens": _tokens((1, 14)),
    "symbols": _symbols((1, 6, 4, 5)),
    "vector of symbols": _symbols((1, 33)),
}
FLOATS = ("image", "feature map", "small map", "sequence", "vector")
SPATIAL = ("image", "feature map", "small map", "sequence")
TAKEN: dict[str, tuple[str, ...]] = {
    "raw": tuple(ARRAYS),
    "zstd": tuple(ARRAYS),
    **dict.fromkeys(("fp16", "fp16+zstd", "int8", "int8+zstd", "int4", "int4+zstd"), FLOATS),
    **dict.fromkeys(("lossy:bits=3", "lossy:bits=1", "lossy:bits=8,clip=0"), FLOATS),
    **dict.fromkeys(("interpolate:factor=2", "interpolate:factor=2,bits=5"), SPATIAL),
    **dict.fromkeys(("cs-dct:ratio=0.25,iterations=5", "cs-wavelet:ratio=0.5,iterations=5,bits=4"), SPATIAL),
    **dict.fromkeys([f"{name}:{IMAGE_SCALE}" for name in ("uint8",)], ("image",)),
    **dict.fromkeys([f"{name}:quality=30,{IMAGE_SCALE}" for name in ("jpeg", "webp", "avif")], ("image",)),
    "jpeg:quality=100": ("image",),
    f"uint8:{IMAGE_SCALE}+zstd": ("image",),
    **dict.fromkeys(("packed:levels=5", "packed:levels=256", "range:levels=5"), ("symbols", "vector of symbols")),
}
LOSSLESS = {"raw", "zstd", "packed:levels=5", "packed:levels=256", "range:levels=5"}
CASES = [(text, kind) for text, kinds in TAKEN.items() for kind in kinds]
LEARNED: tuple[LearnedKind, ...] = get_args(LearnedKind)


def _codec(text: str, kind: str) -> Codec:
    array = ARRAYS[kind]
    tensor = Tensor(name=kind, shape=array.shape, dtype=array.dtype.name)
    tables = fit_tables(np.concatenate([array] * 3), 5) if text.startswith("range") else ()
    return make_codec(text, tensor, tables=tables)


def _name(case: tuple[str, str]) -> str:
    return f"{case[0].partition(',mean')[0]} of {case[1]}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainedFiles]:
    root = tmp_path_factory.mktemp("home")
    return {kind: tiny_training.trained(root, "conv1", codec=kind) for kind in LEARNED}


@pytest.fixture(scope="module")
def learned(trained: dict[str, TrainedFiles]) -> dict[str, tuple[Codec, np.ndarray]]:
    """Each with an array that it may meet."""
    array = tiny_training.examples("conv1", "validation").at[0].float().numpy()
    return {kind: (TrainedCodecSession(files, OnnxRuntime(), threads=1), array) for kind, files in trained.items()}


@pytest.fixture(params=[*CASES, *LEARNED], ids=[*map(_name, CASES), *LEARNED])
def case(request: pytest.FixtureRequest, learned: dict[str, tuple[Codec, np.ndarray]]) -> tuple[Codec, np.ndarray]:
    if request.param in learned:
        return learned[request.param]
    text, kind = request.param
    return _codec(text, kind), ARRAYS[kind]


def _refused(error: OffloadError) -> bool:
    assert error.message
    assert "\n" not in error.message + error.hint
    return False


def _decoded_or_refused(codec: Codec, payload: bytes) -> bool:
    try:
        decoded = codec.decode(payload)
    except PayloadError as error:
        return _refused(error)
    assert (decoded.shape, decoded.dtype.name) == (codec.tensor.shape, codec.tensor.dtype)
    return True


def test_every_codec_is_here() -> None:
    names = {text.partition(":")[0].partition("+")[0] for text in TAKEN}
    assert names == set(BUILDERS) - {"crop"}  # of no fixed shape: tests/e2e/test_server_crops.py
    assert set(LEARNED) == set(NETWORKS)


def test_what_crosses_becomes_a_tensor_of_the_same_shape_and_type(case: tuple[Codec, np.ndarray]) -> None:
    codec, array = case
    payload = codec.encode(array)
    assert isinstance(payload, bytes)
    assert len(payload) <= codec.max_bytes
    decoded = codec.decode(payload)
    assert (decoded.shape, decoded.dtype) == (array.shape, array.dtype)
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable
    assert np.isfinite(decoded).all()
    assert codec.lossless == (codec.text in LOSSLESS)
    if codec.lossless:
        np.testing.assert_array_equal(decoded, array)


def test_encoding_does_not_change_its_input_and_takes_any_memory_layout(case: tuple[Codec, np.ndarray]) -> None:
    codec, array = case
    payload = codec.encode(array)
    fixed = np.asfortranarray(array)
    fixed.setflags(write=False)
    assert codec.encode(fixed) == payload


def test_another_array_is_refused(case: tuple[Codec, np.ndarray]) -> None:
    codec, array = case
    for other in (array[..., :-1], array.astype(np.float64), array[0]):
        with pytest.raises(OffloadError, match="is for"):
            codec.encode(other)


def test_every_truncation_is_refused_or_decodes(case: tuple[Codec, np.ndarray]) -> None:
    codec, array = case
    payload = codec.encode(array)
    decoded = sum(_decoded_or_refused(codec, payload[:length]) for length in range(len(payload)))
    if not codec.text.startswith(("range", "lossy", "entropic")):
        # The range coder reads zeros past the end; image decoders may miss the last bytes.
        assert decoded <= len(payload) // 50 + 2


def test_damaged_bytes_are_refused_or_decode(case: tuple[Codec, np.ndarray]) -> None:
    codec, array = case
    payload = codec.encode(array)
    random = np.random.default_rng(4)
    for _ in range(60):
        damaged = bytearray(payload)
        for position in random.integers(0, len(payload), random.integers(1, 4)):
            damaged[position] ^= random.integers(1, 256)
        _decoded_or_refused(codec, bytes(damaged))
    for length in (0, 1, 5, len(payload), len(payload) + 7):
        _decoded_or_refused(codec, payload[:HEADER_BYTES] + random.bytes(length))
        _decoded_or_refused(codec, payload[:HEADER_BYTES] + bytes(length))
        _decoded_or_refused(codec, payload[:HEADER_BYTES] + b"\xff" * length)


def test_a_payload_longer_than_any_is_refused(case: tuple[Codec, np.ndarray]) -> None:
    codec, array = case
    payload = codec.encode(array)
    with pytest.raises(PayloadError):
        codec.decode(payload + bytes(codec.max_bytes + 1 - len(payload)))


def test_a_changed_header_is_refused(case: tuple[Codec, np.ndarray]) -> None:
    codec, array = case
    if codec.text == "raw":
        return  # has none
    payload = codec.encode(array)
    for position in range(HEADER_BYTES):
        for flipped in (1, 128, 255):
            changed = bytearray(payload)
            changed[position] ^= flipped
            with pytest.raises(PayloadError, match="begins with"):
                codec.decode(bytes(changed))


@pytest.mark.parametrize("kind", list(ARRAYS))
def test_no_codec_takes_the_payload_of_another(kind: str) -> None:
    codecs = [_codec(text, kind) for text, kinds in TAKEN.items() if kind in kinds and text != "raw"]
    payloads = [codec.encode(ARRAYS[kind]) for codec in codecs]
    for codec in codecs:
        for other, payload in zip(codecs, payloads, strict=True):
            if other is not codec:
                with pytest.raises(PayloadError):
                    codec.decode(payload)


def test_the_payload_of_another_shape_or_other_tables_is_refused() -> None:
    one = make_codec("int8", Tensor(name="t", shape=(1, 6, 7, 5), dtype="float32"))
    other = make_codec("int8", Tensor(name="t", shape=(1, 6, 5, 7), dtype="float32"))
    with pytest.raises(PayloadError, match="begins with"):
        other.decode(one.encode(ARRAYS["feature map"]))
    symbols = Tensor(name="t", shape=(1, 6, 4, 5), dtype="uint8")
    fitted = make_codec("range:levels=5", symbols, tables=fit_tables(ARRAYS["symbols"], 5))
    flat = make_codec("range:levels=5", symbols, tables=[(13107, 13107, 13107, 13107, 13108)])
    with pytest.raises(PayloadError, match="begins with"):
        flat.decode(fitted.encode(ARRAYS["symbols"]))


CHILD = """
import hashlib, json, sys
import numpy as np
from pathlib import Path
from offload.codecs.catalogue import make_codec
from offload.codecs.trained import load_trained
from offload.graph.model_graph import Tensor
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.trained_codec import TrainedCodecSession
for line in sys.stdin:
    case = json.loads(line)
    if "folder" in case:
        codec = TrainedCodecSession(load_trained(Path(case["folder"])), OnnxRuntime(), threads=1)
    else:
        tensor = Tensor(name="other name", shape=tuple(case["shape"]), dtype=case["dtype"])
        codec = make_codec(case["text"], tensor, tables=case["tables"])
    print(hashlib.sha256(codec.decode(bytes.fromhex(case["payload"])).tobytes()).hexdigest())
"""


def test_another_process_decodes_the_same(
    trained: dict[str, TrainedFiles], learned: dict[str, tuple[Codec, np.ndarray]]
) -> None:
    told, expected = [], []
    for kind, (codec, array) in learned.items():
        payload = codec.encode(array)
        told.append(json.dumps({"folder": str(trained[kind].folder), "payload": payload.hex()}))
        expected.append(hashlib.sha256(codec.decode(payload).tobytes()).hexdigest())
    for text, kind in CASES:
        codec, array = _codec(text, kind), ARRAYS[kind]
        tables = fit_tables(np.concatenate([array] * 3), 5) if text.startswith("range") else ()
        payload = codec.encode(array)
        case = {"text": text, "shape": array.shape, "dtype": array.dtype.name, "tables": tables}
        told.append(json.dumps({**case, "payload": payload.hex()}))
        expected.append(hashlib.sha256(codec.decode(payload).tobytes()).hexdigest())
    child = subprocess.run(
        [sys.executable, "-c", CHILD],
        input="\n".join(told),
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout.split() == expected


EXTREMES: list[Callable[[tuple[int, ...]], np.ndarray]] = [
    lambda shape: np.zeros(shape, np.float32),
    lambda shape: np.full(shape, -1e25, np.float32),
    lambda shape: np.random.default_rng(0).uniform(-1e25, 1e25, shape).astype(np.float32),
    lambda shape: (np.random.default_rng(0).random(shape) * 1e-40).astype(np.float32),
    lambda shape: np.random.default_rng(0).integers(0, 2, shape).astype(np.float32),
    lambda shape: np.where(np.arange(np.prod(shape)).reshape(shape) == 0, 1e25, 0).astype(np.float32),
]


@pytest.mark.parametrize("text", [text for text, kinds in TAKEN.items() if set(kinds) & set(FLOATS)])
@pytest.mark.parametrize("extreme", EXTREMES)
def test_extreme_values_cross(text: str, extreme: Callable[[tuple[int, ...]], np.ndarray]) -> None:
    for kind in TAKEN[text]:
        if kind in FLOATS:
            codec = _codec(text, kind)
            payload = codec.encode(extreme(codec.tensor.shape))
            assert len(payload) <= codec.max_bytes
            assert np.isfinite(codec.decode(payload)).all()


@given(
    array=arrays.arrays(np.float32, (1, 3, 4, 5), elements=st.floats(-(2**90), 2**90, width=32)),
    text=st.sampled_from([text for text, kinds in TAKEN.items() if "image" in kinds]),
)
@settings(max_examples=150, deadline=None)
def test_no_payload_is_longer_than_promised(array: np.ndarray, text: str) -> None:
    codec = make_codec(text, Tensor(name="t", shape=array.shape, dtype="float32"))
    payload = codec.encode(array)
    assert len(payload) <= codec.max_bytes
    decoded = codec.decode(payload)
    assert (decoded.shape, decoded.dtype) == (array.shape, array.dtype)
    assert np.isfinite(decoded).all()


@given(
    shape=st.lists(st.integers(1, 9), max_size=5).map(tuple),
    text=st.sampled_from([text for text in TAKEN if not text.startswith("range")]),
    dtype=st.sampled_from(["float32", "float32", "float32", "uint8", "int64", "bool", "float16", "bfloat16"]),
)
@settings(max_examples=300, deadline=None)
def test_any_tensor_crosses_or_is_a_one_line_error(shape: tuple[int, ...], text: str, dtype: str) -> None:
    try:
        codec = make_codec(text, Tensor(name="t", shape=shape, dtype=dtype))
    except OffloadError as error:
        _refused(error)
        return
    payload = codec.encode(np.asarray(np.random.default_rng(0).integers(0, 2, shape)).astype(dtype))
    assert len(payload) <= codec.max_bytes
    assert _decoded_or_refused(codec, payload)


@pytest.mark.parametrize("text", ["int8", "int4+zstd", "lossy:bits=3", "interpolate:factor=2", "cs-dct:ratio=0.5"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_values_without_a_scale_are_refused(text: str, value: float) -> None:
    array = ARRAYS["feature map"].copy()
    array[0, 0, 0, 0] = value
    with pytest.raises(OffloadError, match="finite values"):
        _codec(text, "feature map").encode(array)


@given(
    st.text(max_size=40) | st.from_regex(r"[a-z0-9-]{1,12}(:[a-z]{1,8}=[0-9a-z./-]{1,9}(,[a-z]+=[0-9]+)?)?(\+zstd)?")
)
@settings(max_examples=300, deadline=None)
def test_any_text_names_a_codec_or_is_a_one_line_error(text: str) -> None:
    _made_or_refused(text)


@given(
    text=st.sampled_from(sorted(TAKEN)),
    parameter=st.sampled_from(
        ["quality", "mean", "std", "factor", "bits", "ratio", "levels", "clip", "iterations", "x"]
    ),
    value=st.text(max_size=6) | st.floats().map(repr) | st.integers().map(str) | st.just("1/2/3"),
)
@settings(max_examples=300, deadline=None)
def test_any_parameter_is_taken_or_is_a_one_line_error(text: str, parameter: str, value: str) -> None:
    _made_or_refused(f"{text.partition(':')[0]}:{parameter}={value}")


def _made_or_refused(text: str) -> None:
    for kind in ("image", "tokens", "symbols"):
        tensor = Tensor(name="t", shape=ARRAYS[kind].shape, dtype=ARRAYS[kind].dtype.name)
        try:
            codec = make_codec(text, tensor)
        except OffloadError as error:
            _refused(error)
            continue
        assert codec.text == text
        assert _decoded_or_refused(codec, codec.encode(np.zeros(tensor.shape, tensor.dtype)))


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("gzip", "image", "no codec is called 'gzip'"),
        ("deepcod@0123456789ab", "image", "is no codec"),
        ("int8 ", "image", "is no codec"),
        ("x" * 1000, "image", "is no codec"),
        ("int8:bits=3", "image", "int8 has no parameter bits"),
        ("jpeg", "image", "needs quality="),
        ("jpeg:quality=0", "image", "quality must be an integer from 1 to 100"),
        ("jpeg:quality=3.5", "image", "quality must be an integer from 1 to 100"),
        ("jpeg:quality=30,quality=40", "image", "is there twice"),
        ("jpeg:quality=30,std=0", "image", "std must be numbers from 0.001 to 1000"),
        ("jpeg:quality=30,mean=nan", "image", "mean must be numbers"),
        ("jpeg:quality=30,mean=0.5/0.5", "image", "mean and std must be 1 number, or 3"),
        ("jpeg:quality=30", "feature map", "takes an image"),
        ("webp:quality=30", "sequence", "takes an image"),
        ("avif:quality=30", "tokens", "takes an image"),
        ("uint8", "feature map", "takes an image"),
        ("jpeg:quality=30+zstd", "image", "zstd cannot follow jpeg"),
        ("raw+zstd", "image", "zstd cannot follow raw"),
        ("lossy:bits=9", "image", "bits must be an integer from 1 to 8"),
        ("lossy:bits=3,clip=0.1/0.2", "image", "clip must be one number"),
        *((text, "tokens", "takes float32, not int64") for text in ("fp16", "int8", "int4+zstd", "lossy:bits=3")),
        ("cs-dct:ratio=0.5", "tokens", "takes float32, not int64"),
        ("interpolate:factor=2", "vector", "takes feature maps"),
        ("interpolate:factor=8", "small map", "a block is larger"),
        ("cs-wavelet:ratio=0.1", "vector", "takes feature maps"),
        ("cs-dct:ratio=1.5", "image", "ratio must be numbers from 0.001 to 1"),
        ("packed:levels=8", "image", "takes symbols"),
        ("packed:levels=1", "symbols", "levels must be an integer from 2 to 256"),
        ("range:levels=5", "symbols", "needs as many tables or one, got 0"),
    ],
)
def test_what_cannot_be_is_a_clear_error(text: str, kind: str, message: str) -> None:
    with pytest.raises(OffloadError) as caught:
        make_codec(text, Tensor(name="t", shape=ARRAYS[kind].shape, dtype=ARRAYS[kind].dtype.name))
    assert message in caught.value.message


@pytest.mark.parametrize(
    "tables",
    [
        [(65536, 0)],
        [(65535, 2)],
        [(65536,)],
        [(32768, 32768)] * 2,
        [(32768.0, 32768.0)],
        [("a", "b")],
        [(98304, -32768)],
    ],
)
def test_tables_that_are_none_are_refused(tables: list[tuple[int, ...]]) -> None:
    with pytest.raises(OffloadError, match="needs"):
        make_codec("range:levels=2", Tensor(name="t", shape=(1, 6, 4, 5), dtype="uint8"), tables=tables)


def test_tables_are_for_the_range_coder_only() -> None:
    with pytest.raises(OffloadError, match="has no tables"):
        make_codec("raw", Tensor(name="t", shape=(1, 6), dtype="uint8"), tables=[(32768, 32768)])


@pytest.mark.parametrize("text", ["int8", "zstd", "packed:levels=4", "raw"])
def test_a_shape_that_is_not_fixed_is_refused(text: str) -> None:
    dtype = "uint8" if text.startswith("packed") else "float32"
    with pytest.raises(OffloadError, match="fixed shape"):
        make_codec(text, Tensor(name="t", shape=(1, -1, 4), dtype=dtype))


@pytest.mark.parametrize("kind", list(ARRAYS))
def test_a_bench_tries_only_what_can_be_made(kind: str) -> None:
    tensor = Tensor(name="t", shape=ARRAYS[kind].shape, dtype=ARRAYS[kind].dtype.name)
    texts = default_texts(tensor, pixels=SCALE if kind == "image" else None)
    assert texts[0] == "raw"
    assert len(set(texts)) == len(texts)
    for text in texts:
        codec = make_codec(text, tensor)
        assert codec.text == text
        codec.decode(codec.encode(ARRAYS[kind]))
    tried = {text.partition(":")[0].partition("+")[0] for text in texts}
    if kind == "image":
        assert tried == set(BUILDERS) - {"packed", "range", "crop"}
    if kind == "tokens":
        assert tried == {"raw", "zstd"}
