"""The networks that come trained: their weights are those that were shipped, and answer as they did."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from offload.datasets.catalogue import load_dataset
from offload.datasets.tasks import errors_of
from offload.errors import OffloadError
from offload.graph.cuts import single_tensor_cuts
from offload.models.load import load_model, load_torch_model
from offload.models.zoo.catalogue import CATALOGUE, WEIGHTS

TRAINED = [name for name, entry in CATALOGUE.items() if entry.trained]
DATA = {"digits_resnet": ("digits-in-clutter", 0.0585), "digits_deepspeech": ("spoken-digits", 0.0072)}
"""What each is for, and its error rate on the whole test split when it was trained."""
CUTS = {
    "digits_resnet": {
        "stem": (1, 16, 32, 32), "block1": (1, 16, 32, 32), "block2": (1, 32, 16, 16), "block3": (1, 64, 8, 8),
        "block4": (1, 128, 4, 4),
    },
    "digits_deepspeech": {f"layer{number}": (1, 64, 128) for number in range(1, 6)},
}  # fmt: skip


@pytest.mark.parametrize("name", TRAINED)
def test_weights_are_those_shipped(name: str) -> None:
    entry = CATALOGUE[name]
    data = entry.weights_file.read_bytes()
    assert hashlib.sha256(data).hexdigest() == entry.weights_sha256
    assert len(data) <= 1_500_000


def test_no_weights_without_an_entry() -> None:
    assert sorted(path.stem for path in WEIGHTS.iterdir()) == sorted(TRAINED)


@pytest.mark.parametrize("name", TRAINED)
def test_error_rate(name: str, cache: Path) -> None:
    model = load_model(name, cache=cache)
    spec, rate = DATA[name]
    dataset = load_dataset(spec, tensor=model.graph.tensor_by_name["input"], split="test")
    indices = range(0, len(dataset), 4)
    session = ort.InferenceSession(model.onnx)
    outputs = np.concatenate([session.run(None, {"input": dataset.inputs([index])})[0] for index in indices])
    errors, weights = errors_of(dataset.task, outputs, dataset.labels(indices))
    deviation = errors.std() / weights.mean() / len(indices) ** 0.5
    assert errors.sum() / weights.sum() == pytest.approx(rate, abs=4 * deviation)


@pytest.mark.parametrize("name", TRAINED)
def test_one_tensor_crosses_behind_each_stage(name: str, cache: Path) -> None:
    graph = load_model(name, cache=cache).graph
    index = {layer.name: number for number, layer in enumerate(graph.layers)}
    for stage, shape in CUTS[name].items():
        assert graph.layers[index[stage]].outputs == (stage,)
        assert graph.tensor_by_name[stage].shape == shape
        assert [cut.crossing for cut in single_tensor_cuts(graph, stage)] == [(stage,)]


def test_torch_has_the_same_weights() -> None:
    model = load_torch_model("digits_resnet")
    assert (model.untrained, model.weights) == (False, "trained, built in")


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from offload.models.zoo import catalogue

    monkeypatch.setattr(catalogue, "WEIGHTS", tmp_path)
    for content in (None, b"damaged"):
        if content:
            (tmp_path / "digits_resnet.safetensors").write_bytes(content)
        with pytest.raises(OffloadError, match="not the weights that come with digits_resnet") as caught:
            load_model("digits_resnet")
        assert "install" in caught.value.hint
