"""Crops of any size that the server decodes for a detector: what it finds, and every file that it has to refuse."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from offload.codecs.base import HEADER_BYTES
from offload.codecs.catalogue import make_codec
from offload.codecs.crop import Crop
from offload.detectors.base import Detector
from offload.detectors.catalogue import made_detector
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.serving.client import ServerClient
from offload.serving.client_errors import ServerError
from offload.serving.decoding import Coded
from offload.serving.embedded import EmbeddedServer
from tests.made_detectors import SPOTS, bright_spots

MOST = 256 * 256
TEXT = f"crop:quality=90,multiple=16,most={MOST}"


def _codec(text: str = TEXT, shape: tuple[int, ...] = (1, 3, -1, -1), dtype: str = "float32") -> Crop:
    codec = make_codec(text, Tensor(name="x", shape=shape, dtype=dtype))
    assert isinstance(codec, Crop)
    return codec


def _image(width: int, height: int) -> np.ndarray:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, width // 2 :, 1] = 200
    return pixels


@pytest.fixture(scope="module")
def detector() -> Detector:
    return made_detector("spots", bright_spots(), SPOTS)


@pytest.fixture(scope="module")
def client(detector: Detector) -> Iterator[ServerClient]:
    with EmbeddedServer(threads=1) as server, ServerClient(server.address) as client:
        taken = Tensor(name=detector.input, shape=(1, 3, -1, -1), dtype="float32")
        client.upload("spots", detector.onnx, coded={detector.input: Coded(codec=TEXT, tensor=taken)})
        yield client


def _asked(client: ServerClient, detector: Detector, payload: bytes) -> dict[str, np.ndarray]:
    return dict(client.infer("spots", {detector.input: np.frombuffer(payload, np.uint8)}).outputs)


@pytest.mark.parametrize(("width", "height"), [(64, 48), (33, 250), (1, 1), (256, 256)])
def test_the_server_finds_in_a_crop_what_is_found_here(
    client: ServerClient, detector: Detector, width: int, height: int
) -> None:
    payload = _codec().encode_pixels(_image(width, height))
    there = _asked(client, detector, payload)
    with Image.open(io.BytesIO(payload[HEADER_BYTES:])) as image:
        here = detector.prepared(np.asarray(image))[0]
    np.testing.assert_array_equal(_codec().decode(payload), here)
    wanted = OnnxRuntime().load_onnx(detector.onnx, threads=1).run({detector.input: here})
    for name, array in wanted.items():
        np.testing.assert_allclose(there[name], array, atol=1e-5)


def _file(image: Image.Image, form: str = "JPEG") -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def _header() -> bytes:
    return _codec().encode_pixels(_image(8, 8))[:HEADER_BYTES]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "no JPEG image"),
        (b"\xff\xd8\xff\xe0 nothing", "no JPEG image"),
        (_file(Image.fromarray(_image(64, 64)))[:300], "no JPEG image"),
        (_file(Image.fromarray(_image(64, 64)), "PNG"), "no JPEG image"),
        (_file(Image.new("RGB", (3000, 3000))), "an image of 3000 x 3000 pixels is more than"),  # 140 kB, black
        (_file(Image.new("RGB", (257, 256))), "an image of 257 x 256 pixels is more than"),
        (bytes(5 * MOST), "at most"),
    ],
)
def test_files_that_are_no_crop_are_refused_and_the_server_goes_on(
    client: ServerClient, detector: Detector, body: bytes, problem: str
) -> None:
    with pytest.raises(ServerError, match=problem):
        _asked(client, detector, _header() + body)
    assert len(_asked(client, detector, _codec().encode_pixels(_image(16, 16)))) == 3


def test_another_header_is_refused(client: ServerClient, detector: Detector) -> None:
    other = _codec(TEXT.replace("90", "91")).encode_pixels(_image(16, 16))
    with pytest.raises(ServerError, match="payload begins with"):
        _asked(client, detector, other)


def test_an_image_that_is_too_large_is_not_encoded() -> None:
    with pytest.raises(OffloadError, match="takes no image of 257 x 256 pixels"):
        _codec().encode_pixels(_image(257, 256))


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        (TEXT, (1, 3, 64, 64), "float32"),
        (TEXT, (1, 1, -1, -1), "float32"),
        (TEXT, (1, 3, -1, -1), "uint8"),
        (f"crop:quality=90,most={2**25 + 1}", (1, 3, -1, -1), "float32"),
        ("crop:quality=101", (1, 3, -1, -1), "float32"),
        ("crop:quality=90,multiple=0", (1, 3, -1, -1), "float32"),
        ("crop", (1, 3, -1, -1), "float32"),
        ("crop:quality=90,other=1", (1, 3, -1, -1), "float32"),
    ],
)
def test_other_tensors_and_settings_are_refused(text: str, shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(OffloadError):
        _codec(text, shape, dtype)
