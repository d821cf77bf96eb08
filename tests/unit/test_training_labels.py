"""Teaching labels: the losses against oracles, what is refused, and what training makes of them."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from offload.datasets.base import Task
from offload.datasets.tasks import greedy_decoded
from offload.errors import OffloadError
from offload.models.onnx_in_torch import DifferentiableSegment
from offload.progress import NullProgress
from offload.training import learned, losses, trainer
from offload.training.examples import StoredExamples, cut_examples
from offload.training.labels import check_labels, labels_loss
from offload.training.learned import checkpoint_folder, train_codec
from offload.training.losses import backward
from offload.training.network import LearnedCodec
from offload.training.places import place_at
from offload.training.trainer import Trained
from tests import tiny_training


def test_cross_entropy_is_that_of_the_first_result() -> None:
    scores = torch.tensor([[[2.0, 0.0, -1.0]], [[0.5, 0.5, 3.0]]])
    rows = zip(scores[:, 0].tolist(), (0, 1), strict=True)
    lost = [-math.log(math.exp(row[label]) / sum(map(math.exp, row))) for row, label in rows]
    found = labels_loss("classification", [scores, torch.zeros(2, 1)], [0, np.int64(1)])
    assert float(found) == pytest.approx(sum(lost) / 2, rel=1e-5)


@pytest.mark.parametrize("shape", [(1, 4, 3), (4, 1, 3), (4, 3)])
def test_ctc_sums_all_paths_that_are_decoded_to_the_label(shape: tuple[int, ...]) -> None:
    scores = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    labels = [(0, 1), (1, 1)]
    logs = scores.reshape(2, 4, 3).log_softmax(-1)
    lost = []
    for each, label in zip(logs, labels, strict=True):
        paths = np.array(list(itertools.product(range(3), repeat=4)))
        decoded = greedy_decoded(np.eye(3)[paths])
        chances = [
            math.exp(sum(float(each[step, token]) for step, token in enumerate(path)))
            for path, one in zip(paths, decoded, strict=True)
            if one == label
        ]
        lost.append(-math.log(sum(chances)) / len(label))
    assert float(labels_loss("ctc", [scores], labels)) == pytest.approx(sum(lost) / 2, rel=1e-5)


def test_a_sequence_longer_than_the_answer_teaches_nothing() -> None:
    scores = torch.zeros(1, 2, 3, requires_grad=True)
    lost = labels_loss("ctc", [scores], [(0, 0, 0)])
    (gradient,) = torch.autograd.grad(lost, scores)
    assert lost.item() == 0
    assert not gradient.any()


def test_the_squared_error_is_that_of_the_last_result() -> None:
    answers = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
    labels = [np.array([1.0, 0.0]), np.array([0.0, 4.0])]
    assert float(labels_loss("regression", [torch.zeros(2, 9), answers], labels)) == pytest.approx((4 + 9) / 4)


def test_the_labels_gradient_weighs_no_more_than_the_reconstructions() -> None:
    made, wanted = torch.zeros(1, 2, requires_grad=True), torch.tensor([[1.0, 0.0]])
    tail: Any = lambda x: (x,)  # noqa: E731
    pushed = []
    for strength in (1e-3, 1e6):
        made.grad = None
        backward(
            1 * made, wanted, torch.zeros(()), variance=1.0, tail=tail, teacher=[],
            labelled=lambda results, strength=strength: strength * results[0][0, 1], share=0.0,
        )  # fmt: skip
        assert made.grad is not None
        pushed.append(made.grad.clone())
    direct = float(pushed[0][0, 0].abs())
    assert float(pushed[0][0, 1]) == pytest.approx(1e-3)
    assert float(pushed[1][0, 1]) == pytest.approx(direct, rel=1e-5)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[LearnedCodec, Trained, DifferentiableSegment]]:
    """Filled with each network that was trained, how that went, and the tail behind it; nothing is exported."""
    found: list[Any] = []
    monkeypatch.setattr(learned, "_saved", lambda job, network, told, tail, *_: found.append((network, told, tail)))
    return found


def test_what_labels_lose_is_lower_where_they_were_taught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[Any]
) -> None:
    """Labels that the intact model does not answer, so that nobody could learn them from it."""
    # The network is untrained and its scores are nearly the same whatever it sees: their gradient is small.
    monkeypatch.setattr(losses, "RECONSTRUCTION_WEIGHT", 1e-4)
    lost = []
    for labelled in (False, True):
        job = tiny_training.job(tmp_path, "conv1", epochs=3, distilled=False, labelled=labelled)
        train, validation = (
            replace(each, labels=[0] * len(each))
            for each in (job.train, job.validation)
            if isinstance(each, StoredExamples)
        )
        train_codec(replace(job, train=train, validation=validation), NullProgress())
        network, _, tail = trained[-1]
        layout = network.shaping.layout
        with torch.no_grad():
            made = network.decode(network.symbols(layout.to_channels(validation.at)))
            lost.append(labels_loss("classification", tail(layout.from_channels(made)), validation.labels).item())
    assert lost[1] < 0.97 * lost[0]


def test_labels_are_of_a_checkpoints_identity(tmp_path: Path) -> None:
    jobs = [tiny_training.job(tmp_path, "conv1", labelled=labelled) for labelled in (False, True)]
    assert checkpoint_folder(jobs[0]) != checkpoint_folder(jobs[1])


class Data:
    """Inputs of a tiny network with answers of any kind."""

    pixels = None
    name = "made"

    def __init__(self, task: Task, labels: list[Any], model: str = "net") -> None:
        self.task, self.known = task, labels
        self.source: Any = tiny_training.Images("train") if model == "net" else tiny_training.Frames()

    def __len__(self) -> int:
        return len(self.known)

    def inputs(self, indices: Any) -> Any:
        return self.source.inputs(indices)

    def labels(self, indices: Any) -> list[Any]:
        return [self.known[index] for index in indices]


@pytest.mark.parametrize(
    ("task", "model", "at", "labels"),
    [
        ("ctc", "speech", "relu", [(index % 3, (index + 1) % 3) for index in range(40)]),
        ("regression", "net", "conv1", [np.eye(3)[index % 3] for index in range(40)]),
    ],
)
def test_sequences_and_numbers_are_learned(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained: list[Any],
    task: Task,
    model: str,
    at: str,
    labels: list[Any],
) -> None:
    seen: list[tuple[str, float]] = []

    def counted(task: Task, *arguments: Any) -> torch.Tensor:
        found = labels_loss(task, *arguments)
        seen.append((task, found.item()))
        return found

    monkeypatch.setattr(trainer, "labels_loss", counted)
    job = tiny_training.job(tmp_path, at, name=model, labelled=True, epochs=2)
    data: Any = Data(task, labels, model)
    check_labels(job.model.graph, job.place.cut, data)
    (known,) = cut_examples(
        job.model, [job.place.cut], data, labelled=True, device="cpu", progress=NullProgress()
    ).values()
    train_codec(replace(job, train=known, validation=known, examples=len(known), task=task), NullProgress())
    ((_, told, _),) = trained
    assert all(epoch.error_rate is not None for epoch in told.epochs)
    assert {name for name, _ in seen} == {task}
    assert len(seen) == 2 * (len(known) // 16) + 2  # steps, and the judging of each epoch
    assert all(math.isfinite(lost) and lost > 0 for _, lost in seen)


@pytest.mark.parametrize(
    ("task", "labels", "model", "words"),
    [
        ("detection", [None, None], "net", "made has no labels that can be learned here"),
        ("classification", [0, None, 1], "net", "made has examples without a label"),
        ("classification", [0, 1, 3], "net", "a class 3, the model knows 3"),
        ("ctc", [(0,), (3,)], "speech", "a token 3, the model knows 3 and the blank"),
        ("ctc", [(0,), (1,)], "net", "ctc needs steps by tokens"),
        ("regression", [np.ones(2), np.zeros(2)], "net", "regression needs 2 numbers"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(task: Task, labels: list[Any], model: str, words: str) -> None:
    graph = tiny_training.model(model).graph
    with pytest.raises(OffloadError, match=words) as told:
        check_labels(graph, place_at(graph, "input").cut, Data(task, labels, model))
    assert told.value.hint


def test_a_model_that_answers_without_scores_is_refused() -> None:
    graph = tiny_training.model().graph
    output = graph.outputs[0]
    tensors = tuple(replace(each, dtype="int64", shape=(1,)) if each.name == output else each for each in graph.tensors)
    whole = replace(graph, tensors=tensors)
    with pytest.raises(OffloadError, match="tells no scores from which classification could be learned"):
        check_labels(whole, place_at(graph, "conv1").cut, Data("classification", [0, 1]))
