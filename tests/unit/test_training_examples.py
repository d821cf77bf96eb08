"""What codecs learn from, stored or streamed: the same either way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offload.artifacts.codec import LearnedKind
from offload.models.onnx_in_torch import DifferentiableSegment
from offload.profilers.codec_candidates import Tuning, plain_candidates
from offload.progress import NullProgress
from offload.training import examples, learned
from offload.training.examples import (
    CutExamples,
    StoredExamples,
    StreamedExamples,
    cut_examples,
    first_of,
    intact_error_rate,
)
from offload.training.learned import CodecJob, train_codec
from offload.training.network import LearnedCodec
from offload.training.places import place_at
from offload.training.tails import TailExamples
from offload.training.trainer import Trained
from tests import tiny_training


class Noted(NullProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def found(at: tuple[str, ...], progress: NullProgress, part: tuple[int, int] = (0, 1)) -> dict[str, CutExamples]:
    model, data = tiny_training.model(), tiny_training.Images("train")
    places = [place_at(model.graph, name) for name in at]
    known = cut_examples(
        model, [place.cut for place in places], data, labelled=True, device="cpu", progress=progress, part=part
    )
    return {place.layer: known[place.tensor.name] for place in places}


def all_of(known: CutExamples, names: tuple[str, ...], at_once: int) -> list[torch.Tensor]:
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(1))
    batches = [(at, *answers) for at, answers in known.batches(order.split(at_once), answers=names, device="cpu")]  # type: ignore[no-untyped-call]
    return [torch.cat(each) for each in zip(*batches, strict=True)]


@pytest.mark.parametrize("part", [(0, 1), (1, 3)])
def test_streamed_examples_are_the_stored_ones(monkeypatch: pytest.MonkeyPatch, part: tuple[int, int]) -> None:
    told = Noted()
    stored = found(("input", "conv1"), told, part)
    assert told.notes == []
    monkeypatch.setattr(examples, "MOST_BYTES", 0)
    streamed = found(("input", "conv1"), told, part)
    (note,) = told.notes
    assert "would take 0.0 GiB of memory: each is read, and the intact model run on it, whenever" in note
    for layer, one in stored.items():
        other = streamed[layer]
        assert isinstance(one, StoredExamples)
        assert isinstance(other, StreamedExamples)
        assert len(one) == len(other) == tiny_training.TRAIN // part[1]
        assert one.labels == other.labels
        names = tuple(reversed(tuple(one.answers)))
        for wanted, got in zip(all_of(one, names, 7), all_of(other, names, 40), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(first_of(other, 70), one.at[:70], rtol=1e-5, atol=1e-6)


def test_the_smallest_tensors_are_stored_as_long_as_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    image_bytes, conv_bytes = (2 * tiny_training.TRAIN * channels * 16 * 16 for channels in (3, 6))
    answers_bytes = 4 * tiny_training.TRAIN * 2 * tiny_training.CLASSES
    monkeypatch.setattr(examples, "MOST_BYTES", image_bytes + conv_bytes + answers_bytes)
    assert {type(one) for one in found(("conv1", "input"), NullProgress()).values()} == {StoredExamples}
    monkeypatch.setattr(examples, "MOST_BYTES", image_bytes + conv_bytes + answers_bytes - 1)
    told = Noted()
    known = found(("conv1", "input"), told)
    assert isinstance(known["input"], StoredExamples)
    assert isinstance(known["conv1"], StreamedExamples)
    assert f"{tiny_training.TRAIN} examples at {known['conv1'].crossing} would take" in told.notes[0]
    monkeypatch.setattr(examples, "MOST_BYTES", image_bytes + answers_bytes - 1)
    assert {type(one) for one in found(("conv1", "input"), told).values()} == {StreamedExamples}


def test_streaming_runs_no_more_examples_at_once_than_storing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "MOST_BYTES", 0)
    known, seen = tiny_training.cut_anew("conv1", "train"), []
    original = DifferentiableSegment.forward

    def forward(self: DifferentiableSegment, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen.append(len(inputs[0]))
        return original(self, *inputs)

    monkeypatch.setattr(DifferentiableSegment, "forward", forward)
    ((at, _),) = known.batches([torch.arange(80)], answers=(), device="cpu")
    assert len(at) == sum(seen) == 80
    assert max(seen) == 32


@pytest.mark.parametrize(("codec", "distilled"), [("deepcod", True), ("entropic", True), ("autoencoder", False)])
def test_training_streamed_and_stored_loses_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: LearnedKind, distilled: bool
) -> None:
    trained: list[Trained] = []
    tables: list[Any] = []

    def saved(job: CodecJob, network: LearnedCodec, found: Trained, *_: object) -> None:
        trained.append(found)
        tables.append(learned._tables(network, job.train))

    monkeypatch.setattr(learned, "_saved", saved)
    job = tiny_training.job(tmp_path, "conv1", codec=codec, labelled=True, distilled=distilled)
    train_codec(job, NullProgress())
    monkeypatch.setattr(examples, "MOST_BYTES", 0)
    train, validation = (tiny_training.cut_anew("conv1", split) for split in ("train", "validation"))
    assert isinstance(train, StreamedExamples)
    train_codec(replace(job, train=train, validation=validation), NullProgress())
    stored, streamed = trained
    for one, other in zip(streamed.epochs, stored.epochs, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-3)
        assert one.validation_loss == pytest.approx(other.validation_loss, rel=1e-2)
        assert one.error_rate == pytest.approx(other.error_rate, abs=1.01 / tiny_training.HELD_OUT)
    assert np.abs(np.subtract(*tables)).max() < 0.02 * 2**16


def test_the_intact_model_errs_as_much_on_streamed_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = tiny_training.examples("conv1", "validation")
    monkeypatch.setattr(examples, "MOST_BYTES", 0)
    streamed = tiny_training.cut_anew("conv1", "validation")
    assert stored.labels is not None
    wrong = [(label, (int(label) + 1) % 3)[index % 4 == 0] for index, label in enumerate(stored.labels)]  # type: ignore[call-overload]
    for known in (replace(stored, labels=wrong), replace(streamed, labels=wrong)):  # type: ignore[type-var]
        assert intact_error_rate("classification", "output", known, NullProgress()) == 0.25
        assert intact_error_rate("detection", "output", known, NullProgress()) == 0


@pytest.mark.parametrize("fitting", [10, 50])
def test_tails_are_tuned_on_as_many_examples_as_fit(monkeypatch: pytest.MonkeyPatch, fitting: int) -> None:
    seen: list[tuple[int, int]] = []

    def tune_tail(*_: object, train: TailExamples, validation: TailExamples, **__: object) -> None:
        assert len(train.decoded) == len(train.answers)
        seen.append((len(train.decoded), len(validation.decoded)))

    model, data = tiny_training.model(), tiny_training.Images("train")
    place = place_at(model.graph, "conv1")
    monkeypatch.setattr(examples, "MOST_BYTES", fitting * place.tensor.size_bytes)
    monkeypatch.setattr("offload.training.tails.tune_tail", tune_tail)
    tuning = Tuning(data=data, examples=40, steps=1)  # type: ignore[arg-type]
    for each in plain_candidates(model, place, data, families=("interpolate",), tuning=tuning):  # type: ignore[arg-type]
        if each.tune is not None:
            each.tune(each.codecs[0])
    expected = {10: (9, 1), 50: (44, 4)}  # every tenth of 96 examples, or every second
    assert seen == [expected[fitting]]
