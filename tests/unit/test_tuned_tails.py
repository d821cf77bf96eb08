"""Tails that are trained on what a codec leaves of a tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offload.codecs.catalogue import make_codec
from offload.datasets.base import PixelScale
from offload.datasets.catalogue import load_dataset
from offload.models.load import load_model
from offload.models.loaded import LoadedOnnxModel
from offload.profilers.codec_bench import Examples, Halves, measure_row
from offload.profilers.codec_candidates import Tuning, plain_candidates
from offload.progress import NullProgress
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.training.places import place_at


@pytest.fixture(scope="module")
def model(cache: Path) -> LoadedOnnxModel:
    return load_model("digits_resnet", cache=cache)


@pytest.mark.slow
def test_a_tuned_tail_makes_up_for_a_coarse_codec(model: LoadedOnnxModel) -> None:
    """Interpolation at block3 loses most; a tail that has seen it answers right more often, on test examples."""
    entry = model.graph.tensor_by_name["input"]
    place = place_at(model.graph, "block3")
    test = load_dataset("digits-in-clutter", tensor=entry, split="test")
    train = load_dataset("digits-in-clutter", tensor=entry, split="train")
    assert test.pixels == PixelScale()
    tuning = Tuning(data=train, examples=500, steps=60)
    candidates = list(plain_candidates(model, place, test, families=["interpolate"], tuning=tuning))
    by_tail = {
        (candidate.codecs[0].text, candidate.tail): candidate
        for candidate in candidates
        if candidate.codecs[0].text == "interpolate:factor=4"
    }
    assert set(by_tail) == {("interpolate:factor=4", "as it is"), ("interpolate:factor=4", "fine-tuned")}
    rows = range(200)
    inputs = np.stack([test.inputs([row]) for row in rows])
    runtime = OnnxRuntime()
    halves = Halves(model, place.cut, runtime, threads=1)
    crossed = halves.crossing(inputs)
    answers = halves.answers(crossed)
    assert answers is not None
    examples = Examples(inputs=inputs, labels=test.labels(rows), task="classification", answers=answers)
    wrong = {
        tail: sum(measure_row(candidate, halves, crossed, examples, NullProgress()).errors[0])
        for (_, tail), candidate in by_tail.items()
    }
    assert sum(examples.errors(answers)[0]) < 25
    assert wrong["fine-tuned"] < 0.7 * wrong["as it is"]


def test_lossless_codecs_have_no_tuned_tail(model: LoadedOnnxModel) -> None:
    place = place_at(model.graph, "block3")
    data = load_dataset("digits-in-clutter", tensor=model.graph.tensor_by_name["input"], split="train")
    tuning = Tuning(data=data, examples=10, steps=1)
    tuned = [c.codecs[0].text for c in plain_candidates(model, place, data, tuning=tuning) if c.tune is not None]
    assert tuned == [text for text in tuned if make_codec(text, place.tensor).lossless is False]
    assert {text.partition(":")[0] for text in tuned} == {"interpolate", "cs-dct", "lossy"}
