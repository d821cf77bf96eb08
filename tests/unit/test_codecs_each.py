"""What single codecs promise: sizes in bytes, errors against independent calculations, and no more memory than due."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
import pywt
import scipy.fft
import zstandard
from PIL import Image

from offload.codecs import compressed_sensing
from offload.codecs.base import HEADER_BYTES, Codec, PayloadError
from offload.codecs.catalogue import make_codec
from offload.codecs.quantised import to_channels
from offload.graph.model_graph import Tensor


def _codec(text: str, *shape: int) -> Codec:
    return make_codec(text, Tensor(name="t", shape=shape, dtype="float32"))


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "body_bytes"),
    [
        ("fp16", 32 * 28 * 28 * 2),
        ("int8", 32 * 28 * 28 + 32 * 8),
        ("int4", 32 * 28 * 28 // 2 + 32 * 8),
        ("interpolate:factor=2", 32 * 14 * 14 + 32 * 8),
        ("interpolate:factor=4,bits=4", 32 * 7 * 7 // 2 + 32 * 8),
        ("cs-dct:ratio=0.25", 32 * 14 * 14 + 32 * 8),
        ("cs-wavelet:ratio=0.125,bits=4", 32 * 98 // 2 + 32 * 8),
    ],
)
def test_payloads_are_as_long_as_the_format_says(text: str, body_bytes: int) -> None:
    codec = _codec(text, 1, 32, 28, 28)
    assert len(codec.encode(_normal(1, 32, 28, 28))) == codec.max_bytes == HEADER_BYTES + body_bytes


def test_a_raw_payload_is_the_tensor_and_no_header() -> None:
    array = np.array([[1, 258]], np.int64)
    codec = make_codec("raw", Tensor(name="t", shape=(1, 2), dtype="int64"))
    assert codec.encode(array) == bytes([1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0])


def test_pixels_cross_exactly() -> None:
    pixels = np.arange(256 * 3, dtype=np.uint32).reshape(16, 16, 3).astype(np.uint8)
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    image = np.moveaxis((pixels.astype(np.float32) / np.float32(255) - mean) / std, -1, 0)[None]
    codec = _codec("uint8:mean=0.485/0.456/0.406,std=0.229/0.224/0.225", 1, 3, 16, 16)
    payload = codec.encode(image)
    assert payload[HEADER_BYTES:] == pixels.tobytes()
    np.testing.assert_array_equal(codec.decode(payload), image)


def test_what_is_beyond_black_and_white_becomes_these() -> None:
    codec = _codec("uint8", 1, 1, 1, 4)
    crossed = codec.decode(codec.encode(np.array([[[[-5, 7, 0.5, np.nan]]]], np.float32)))
    np.testing.assert_allclose(crossed.ravel(), [0, 1, 128 / 255, 0])


def test_halves_are_numpy_halves_and_end_at_the_largest() -> None:
    codec = _codec("fp16", 1, 5)
    array = np.array([[0.1, -3.14159, 1e6, -np.inf, 1e-9]], np.float32)
    expected = [*np.float16([0.1, -3.14159]), 65504, -65504, 0]
    np.testing.assert_array_equal(codec.decode(codec.encode(array))[0], np.float32(expected))
    again = codec.decode(codec.encode(array))
    np.testing.assert_array_equal(codec.decode(codec.encode(again)), again)


@pytest.mark.parametrize(("text", "levels"), [("int8", 256), ("int4+zstd", 16)])
@pytest.mark.parametrize("shape", [(1, 6, 8, 9), (1, 20, 6), (2, 5, 4, 4, 2), (1, 40), (1, 8, 2, 2)])
def test_quantised_values_are_off_by_half_a_step_of_their_channel(
    text: str, levels: int, shape: tuple[int, ...]
) -> None:
    array = _normal(*shape) * 10 + 3
    if len(shape) > 3:
        array[:, 0] *= 1000
    codec = _codec(text, *shape)
    crossed = codec.decode(codec.encode(array))
    rows, errors = to_channels(array), np.abs(to_channels(crossed - array))
    step = (rows.max(axis=1) - rows.min(axis=1)) / (levels - 1)
    assert (errors.max(axis=1) <= step * 0.501 + 1e-6 * np.abs(rows).max()).all()
    assert len(rows) == {(1, 40): 1, (1, 8, 2, 2): 1, (2, 5, 4, 4, 2): 5}.get(shape, 6)


def test_constant_channels_cross_exactly() -> None:
    array = np.full((1, 4, 8, 8), 0.1, np.float32) * np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1)
    for text in ("int8", "int4", "interpolate:factor=2"):
        codec = _codec(text, 1, 4, 8, 8)
        np.testing.assert_array_equal(codec.decode(codec.encode(array)), array)


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_lossy_values_are_clipped_then_off_by_half_a_step(bits: int) -> None:
    array = _normal(1, 16, 20, 20)
    codec = _codec(f"lossy:bits={bits},clip=0.01", 1, 16, 20, 20)
    crossed = codec.decode(codec.encode(array))
    low, high = np.quantile(array, [0.01, 0.99])
    step = (high - low) / (2**bits - 1)
    assert len(np.unique(crossed)) == 2**bits
    assert np.abs(crossed - np.clip(array, low, high)).max() <= step / 2 + 1e-5


def test_lossy_features_take_about_their_entropy() -> None:
    array = np.maximum(_normal(1, 64, 28, 28), 0)
    codec = _codec("lossy:bits=3", 1, 64, 28, 28)
    payload = codec.encode(array)
    _, counts = np.unique(codec.decode(payload), return_counts=True)
    shares = counts / array.size
    entropy_bytes = -(shares * np.log2(shares)).sum() * array.size / 8
    assert entropy_bytes < len(payload) < entropy_bytes * 1.01 + 8 + 8 + HEADER_BYTES


def test_zstd_is_what_zstd_makes_of_the_body() -> None:
    array = np.maximum(_normal(1, 8, 14, 14), 0)
    halves, both = _codec("fp16", 1, 8, 14, 14), _codec("fp16+zstd", 1, 8, 14, 14)
    plain = halves.encode(array)[HEADER_BYTES:]
    standard = zstandard.compress(plain, 3)
    assert abs(len(both.encode(array)) - HEADER_BYTES - len(standard)) <= 16
    np.testing.assert_array_equal(both.decode(both.encode(array)), halves.decode(halves.encode(array)))
    assert _codec("zstd", 1, 8, 14, 14).lossless
    assert not both.lossless


@pytest.mark.parametrize("text", ["zstd", "fp16+zstd", "int4+zstd"])
def test_a_frame_that_unfolds_without_end_is_refused_at_the_tensors_size(text: str) -> None:
    codec = _codec(text, 1, 16, 32, 32)
    header = codec.encode(np.zeros((1, 16, 32, 32), np.float32))[:HEADER_BYTES]
    settings = {"format": zstandard.FORMAT_ZSTD1_MAGICLESS, "write_content_size": False, "write_checksum": False}
    for window_log in (12, 27):
        parameters = zstandard.ZstdCompressionParameters(window_log=window_log, **settings)
        bomb = header + zstandard.ZstdCompressor(compression_params=parameters).compress(bytes(2**22))
        assert len(bomb) < codec.max_bytes
        tracemalloc.start()
        with pytest.raises(PayloadError):
            codec.decode(bomb)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4 * 16 * 32 * 32 * 4


@pytest.mark.parametrize("image_format", ["jpeg", "webp", "avif"])
def test_an_image_of_another_size_or_kind_is_refused(image_format: str) -> None:
    codec = _codec(f"{image_format}:quality=50", 1, 3, 32, 48)
    header = codec.encode(np.zeros((1, 3, 32, 48), np.float32))[:HEADER_BYTES]

    def file(size: tuple[int, int], as_format: str) -> bytes:
        written = io.BytesIO()
        Image.new("RGB", size).save(written, as_format)
        return written.getvalue()

    assert codec.decode(header + file((48, 32), image_format)).shape == (1, 3, 32, 48)
    for size in ((32, 48), (49, 32), (600, 600)):
        with pytest.raises(PayloadError, match="instead of 48 x 32"):
            codec.decode(header + file(size, image_format))
    for other in {"jpeg", "webp", "avif", "png", "gif"} - {image_format}:
        with pytest.raises(PayloadError, match="damaged payload"):
            codec.decode(header + file((48, 32), other))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image_format", ["jpeg", "webp", "avif"])
def test_images_cross_nearly(image_format: str, channels: int) -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32)
    image = np.broadcast_to(ramp[:, None] * ramp, (1, channels, 64, 64)).copy()
    codec = _codec(f"{image_format}:quality=90", 1, channels, 64, 64)
    payload = codec.encode(image)
    assert len(payload) < 64 * 64 * channels / 3
    assert np.abs(codec.decode(payload) - image).max() < 0.06


def test_better_quality_takes_more_bytes_and_is_nearer() -> None:
    image = np.clip(_normal(1, 3, 64, 64) * 0.2 + 0.5, 0, 1)
    for image_format in ("jpeg", "webp", "avif"):
        sizes, errors = [], []
        for quality in (10, 50, 90):
            codec = _codec(f"{image_format}:quality={quality}", 1, 3, 64, 64)
            payload = codec.encode(image)
            sizes.append(len(payload))
            errors.append(float(np.square(codec.decode(payload) - image).mean()))
        assert sizes == sorted(sizes)
        assert errors == sorted(errors, reverse=True)


def test_the_least_image_file_has_its_tables_and_headers() -> None:
    black = np.zeros((1, 3, 64, 64), np.float32)
    assert 600 < len(_codec("jpeg:quality=50", 1, 3, 64, 64).encode(black)) < 800
    assert 40 < len(_codec("webp:quality=50", 1, 3, 64, 64).encode(black)) < 100


@pytest.mark.parametrize("image_format", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize("side", [1, 8, 17, 64])
def test_noise_at_the_best_quality_stays_within_max_bytes(image_format: str, side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (1, 3, side, side)).astype(np.float32)
    codec = _codec(f"{image_format}:quality=100", 1, 3, side, side)
    assert len(codec.encode(noise)) <= codec.max_bytes


def test_interpolation_keeps_what_is_linear_between_the_centres() -> None:
    rows, columns = np.meshgrid(np.arange(13.0), np.arange(17.0), indexing="ij")
    array = (2 * rows - 3 * columns + 5).astype(np.float32)[None, None]
    codec = _codec("interpolate:factor=4", 1, 1, 13, 17)
    crossed = codec.decode(codec.encode(array))
    # Blocks of 4 have their centres at 1.5, 5.5 and so on; the last ones are of one row and one column.
    inside = (slice(None), slice(None), slice(2, 13), slice(2, 17))
    half_a_step = (array.max() - array.min()) / 255 / 2
    assert np.abs(crossed - array)[inside].max() <= 1.01 * half_a_step
    assert np.abs(crossed[0, 0, 0] - crossed[0, 0, 1]).max() == 0


def test_a_sequence_is_interpolated_along_its_steps_only() -> None:
    array = (np.arange(20.0)[:, None] * np.array([1, -5, 0.01])).astype(np.float32)[None]
    codec = _codec("interpolate:factor=2", 1, 20, 3)
    crossed = codec.decode(codec.encode(array))
    np.testing.assert_allclose(crossed[:, 1:19], array[:, 1:19], atol=np.abs(array).max() / 255)
    assert codec.max_bytes == HEADER_BYTES + 30 + 8


@pytest.mark.parametrize("basis", ["dct", "wavelet"])
@pytest.mark.parametrize("shape", [(5, 16, 24), (3, 32), (2, 8, 8)])
def test_both_bases_are_orthonormal(basis: compressed_sensing.Basis, shape: tuple[int, ...]) -> None:
    signals = _normal(*shape)
    coefficients = compressed_sensing._analysed(signals, basis, 3)
    np.testing.assert_allclose(np.square(coefficients).sum(), np.square(signals).sum(), rtol=1e-4)
    np.testing.assert_allclose(compressed_sensing._synthesised(coefficients, basis, 3), signals, atol=1e-4)


def test_the_bases_are_those_of_scipy_and_pywavelets() -> None:
    signals = _normal(2, 16, 16)
    np.testing.assert_allclose(
        compressed_sensing._analysed(signals, "dct", 0), scipy.fft.dctn(signals, norm="ortho", axes=(1, 2)), atol=1e-5
    )
    expected = [pywt.coeffs_to_array(pywt.wavedecn(one, "db2", "periodization", 2))[0] for one in signals]
    np.testing.assert_allclose(compressed_sensing._analysed(signals, "wavelet", 2), expected, atol=1e-5)


@pytest.mark.parametrize("basis", ["dct", "wavelet"])
@pytest.mark.parametrize("shape", [(1, 4, 32, 32), (1, 128, 3)])
def test_the_matrix_does_what_the_transforms_do(basis: compressed_sensing.Basis, shape: tuple[int, ...]) -> None:
    codec = _codec(f"cs-{basis}:ratio=0.3", *shape)
    assert isinstance(codec, compressed_sensing.CompressedSensing)
    coefficients = _normal(5, *codec._padded)
    measured = codec._measure(coefficients)
    np.testing.assert_allclose(codec._times(coefficients), measured, atol=1e-4)
    np.testing.assert_allclose(codec._transposed_times(measured), codec._explain(measured), atol=1e-4)


@pytest.mark.parametrize("basis", ["dct", "wavelet"])
@pytest.mark.parametrize("shape", [(1, 4, 32, 32), (1, 128, 3)])
def test_sparse_signals_are_found_again(basis: compressed_sensing.Basis, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    signal_shape = (4, 32, 32) if len(shape) == 4 else (3, 128)
    coefficients = np.zeros(signal_shape, np.float32)
    for one in coefficients.reshape(signal_shape[0], -1):
        one[random.integers(0, 64, 6)] = random.normal(size=6) * 10
    signals = compressed_sensing._synthesised(coefficients, basis, 3)
    array = signals[None] if len(shape) == 4 else np.ascontiguousarray(signals.T[None])
    codec = _codec(f"cs-{basis}:ratio=0.5,iterations=200", *shape)
    error = np.linalg.norm(codec.decode(codec.encode(array)) - array) / np.linalg.norm(array)
    assert error < 0.06


def test_smooth_maps_of_odd_sides_are_measured_too() -> None:
    rows, columns = np.meshgrid(np.arange(13), np.arange(27), indexing="ij")
    array = (np.sin(rows / 4) + np.cos(columns / 5)).astype(np.float32)[None, None]
    for basis in ("dct", "wavelet"):
        codec = _codec(f"cs-{basis}:ratio=0.4", 1, 1, 13, 27)
        assert np.linalg.norm(codec.decode(codec.encode(array)) - array) < 0.25 * np.linalg.norm(array)


def test_both_sides_draw_the_same_measurements() -> None:
    one, other = (_codec("cs-dct:ratio=0.3", 1, 2, 9, 9) for _ in range(2))
    array = _normal(1, 2, 9, 9)
    assert one.encode(array) == other.encode(array)
    np.testing.assert_array_equal(one.decode(one.encode(array)), other.decode(other.encode(array)))
