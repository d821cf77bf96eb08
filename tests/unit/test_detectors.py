"""Detectors: what the outputs of a declared format become, against NumPy, and models that do not fit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from offload.detectors.base import Detector, resized
from offload.detectors.catalogue import load_detector, made_detector
from offload.detectors.decoding import decoder
from offload.detectors.description import ROLES, Description, Format, load_description
from offload.errors import OffloadError
from offload.runtimes.onnxruntime import OnnxRuntime
from tests.made_detectors import SPOTS, bright_spots

CLASSES = SPOTS.classes
DOCS = Path(__file__).parents[2] / "docs" / "detectors.md"


def _decoded(form: Format, arrays: dict[str, np.ndarray], **declared: int) -> tuple[np.ndarray, ...]:
    description = Description(format=form, classes=CLASSES, **declared)
    model = decoder(description, [array.dtype.name for array in arrays.values()])
    session = OnnxRuntime().load_onnx(model.SerializeToString(), threads=1)
    found = session.run({f"{role}_in": array for role, array in arrays.items()})
    return found["boxes"][0], found["scores"][0], found["labels"][0]


def test_yolo_predictions_become_corners_in_the_order_of_their_scores() -> None:
    predictions = np.random.default_rng(0).random((1, 7, 40), np.float32)
    boxes, scores, labels = _decoded("yolo", {"predictions": predictions})
    rows = sorted(range(40), key=lambda row: -predictions[0, 4:, row].max())
    for index, row in enumerate(rows):
        x, y, width, height = predictions[0, :4, row]
        np.testing.assert_allclose(
            boxes[index], [x - width / 2, y - height / 2, x + width / 2, y + height / 2], rtol=1e-5
        )
        assert scores[index] == predictions[0, 4:, row].max()
        assert labels[index] == predictions[0, 4:, row].argmax()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_centres_of_a_heat_map_are_its_peaks(dtype: str) -> None:
    random = np.random.default_rng(1)
    heat = random.normal(-3, 1, (1, 3, 6, 9)).astype(dtype)
    size, offset = (random.uniform(0, 3, (1, 2, 6, 9)).astype(dtype) for _ in range(2))
    boxes, scores, labels = _decoded("centernet", {"heat": heat, "size": size, "offset": offset}, stride=8)
    padded = np.pad(heat[0], ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    peaks = [
        (label, row, column)
        for label in range(3)
        for row in range(6)
        for column in range(9)
        if heat[0, label, row, column] == padded[label, row : row + 3, column : column + 3].max()
    ]
    peaks.sort(key=lambda peak: -heat[0][peak])
    for index, (label, row, column) in enumerate(peaks):
        width, height = size[0, :, row, column].astype(np.float64)
        x, y = column + float(offset[0, 0, row, column]), row + float(offset[0, 1, row, column])
        corners = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2]) * 8
        np.testing.assert_allclose(boxes[index], corners, atol=1e-3)
        assert scores[index] == pytest.approx(1 / (1 + np.exp(-float(heat[0, label, row, column]))), abs=1e-3)
        assert labels[index] == label
    assert not scores[len(peaks) :].any()  # what is no peak is nothing


def test_boxes_pass_as_they_are() -> None:
    boxes = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    scores, labels = np.array([[0.9, 0.5, 0.1]], np.float32), np.array([[2, 0, 1]], np.int32)
    found = _decoded("boxes", {"boxes": boxes, "scores": scores, "labels": labels})
    np.testing.assert_array_equal(found[0], boxes[0])
    np.testing.assert_array_equal(found[1], scores[0])
    np.testing.assert_array_equal(found[2], [2, 0, 1])


def _best(detector: Detector, image: np.ndarray) -> tuple[list[float], int]:
    found = detector.detect(OnnxRuntime().load_onnx(detector.onnx, threads=1), image)
    best = int(found.scores.argmax())
    return found.boxes[best].tolist(), int(found.labels[best])


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_a_detector_finds_what_its_model_finds_in_an_image_of_any_size(opset: int) -> None:
    detector = made_detector("spots", bright_spots(opset=opset), SPOTS)
    assert detector.shape(50, 33) == (64, 48)
    image = np.zeros((33, 50, 3), np.uint8)
    image[9:25, 21:37, 1] = 255
    assert _best(detector, image) == ([21.0, 9.0, 37.0, 25.0], 1)


def test_a_detector_of_one_size_sees_the_image_scaled_and_answers_in_its_pixels() -> None:
    detector = made_detector("spots", bright_spots("32", "64"), SPOTS)
    assert detector.size == (64, 32)
    image = np.zeros((128, 128, 3), np.uint8)  # a quarter as large: 32 x 32
    image[32:96, 64:128, 2] = 255
    assert _best(detector, image) == ([64.0, 32.0, 128.0, 96.0], 2)


def test_images_are_made_smaller_by_averages() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(resized(image, 4, 4), image)
    smaller = resized(image, 2, 2)
    np.testing.assert_allclose(smaller, image.reshape(2, 2, 2, 2, 3).mean(axis=(1, 3)), atol=0.51)


def _model(inputs: list[tuple[str, int, list[int | str]]]) -> bytes:
    taken = [helper.make_tensor_value_info(*each) for each in inputs]
    given = helper.make_tensor_value_info("out", inputs[0][1], inputs[0][2])
    graph = helper.make_graph([helper.make_node("Identity", [inputs[0][0]], ["out"])], "g", taken, [given])
    data: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    ).SerializeToString()
    return data


@pytest.mark.parametrize(
    ("onnx", "description", "problem"),
    [
        (bright_spots(), SPOTS.model_copy(update={"classes": ("red",)}), "'heat' of 1x3x64x128 is no heat"),
        (bright_spots(), SPOTS.model_copy(update={"stride": 4}), "would be 1x3x16x32"),
        (bright_spots(), Description(format="yolo", classes=CLASSES), "has no output 'predictions'"),
        (
            bright_spots(),
            Description(format="yolo", classes=CLASSES, outputs={"predictions": "heat"}),
            "is no predictions of the format yolo",
        ),
        (_model([("image", TensorProto.FLOAT, [1, 1, 8, 8])]), SPOTS, "not one image"),
        (_model([("image", TensorProto.INT64, [1, 3, 8, 8])]), SPOTS, "not one image"),
        (_model([("image", TensorProto.FLOAT, [3, 8])]), SPOTS, "not one image"),
        (b"no model", SPOTS, "ONNX Runtime cannot load the model"),
    ],
)
def test_a_model_that_does_not_fit_its_declaration_is_refused(
    onnx: bytes, description: Description, problem: str
) -> None:
    with pytest.raises(OffloadError, match=problem) as caught:
        made_detector("it", onnx, description)
    assert caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        (None, "is not there, which has to tell what it.onnx gives"),
        ("no json", "is damaged at the document"),
        ({"format": "yolo"}, "is damaged at classes"),
        ({"format": "other", "classes": ["a"]}, "is damaged at format"),
        ({"format": "yolo", "classes": []}, "is damaged at classes"),
        ({"format": "yolo", "classes": ["a"], "outputs": {"heat": "x"}}, "the format yolo has no output 'heat'"),
        ({"format": "yolo", "classes": ["a"], "std": [0.0]}, "a std of 0"),
        ({"format": "yolo", "classes": ["a"], "surprise": 1}, "is damaged at surprise"),
    ],
)
def test_a_declaration_that_is_none_is_refused(tmp_path: Path, told: object, problem: str) -> None:
    if told is not None:
        (tmp_path / "it.json").write_text(told if isinstance(told, str) else json.dumps(told))
    with pytest.raises(OffloadError, match=problem) as caught:
        load_description(tmp_path / "it.onnx")
    assert caught.value.hint


def test_a_detector_is_named_or_a_file(tmp_path: Path) -> None:
    with pytest.raises(OffloadError, match="there is no detector 'nothing'") as caught:
        load_detector("nothing")
    assert "FILE.json" in (caught.value.hint or "")
    with pytest.raises(OffloadError, match="cannot be read"):
        load_detector(str(tmp_path / "missing.onnx"))
    (tmp_path / "spots.onnx").write_bytes(bright_spots())
    (tmp_path / "spots.json").write_text(SPOTS.model_dump_json())
    assert load_detector(str(tmp_path / "spots.onnx")).classes == CLASSES


def test_the_declarations_in_the_docs_are_understood(tmp_path: Path) -> None:
    examples = re.findall(r"```json\n(.*?)\n```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    for example in examples:
        (tmp_path / "it.json").write_text(example)
        load_description(tmp_path / "it.onnx")
    assert {json.loads(example)["format"] for example in examples} == set(ROLES)
