"""Labelled examples sent through deployed options: how accurate the answers are that come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offload.artifacts.wire_accuracy import WireAccuracy
from offload.datasets.base import Dataset, Labels, Task
from offload.datasets.catalogue import load_dataset
from offload.datasets.tasks import errors_of, of_each
from offload.errors import OffloadError
from offload.graph.model_graph import ModelGraph
from offload.progress import Progress
from offload.runtimes.base import Session
from offload.verification.deployment import Deployed

if TYPE_CHECKING:
    from offload.runtimes.base import Array

_MOST_FEEDS = 16


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Some examples of a data set, drawn at random from its test split; the same ones each time."""

    dataset: Dataset
    indices: tuple[int, ...]
    input: str
    """The model's input."""
    output: str
    """The model's output that is the answer, its first."""
    fresh: bool = True
    """Whether the plan's codec was chosen by none of them."""

    @property
    def feeds(self) -> list[dict[str, Array]]:
        """The model's inputs of the first few, to time requests with."""
        return [self.feeds_of(index) for index in self.indices[:_MOST_FEEDS]]

    def feeds_of(self, index: int) -> dict[str, Array]:
        """The model's inputs of one example."""
        return {self.input: self.dataset.inputs([index])}


def draw_examples(data: str, *, task: Task | None, samples: int, graph: ModelGraph, chosen_by: int = 0) -> Examples:
    """Labelled examples for a model.

    Args:
        data: The data set, as `load_dataset` takes it.
        task: What its answers are; None for what the data have.
        samples: How many at most.
        graph: The model.
        chosen_by: By how many examples, the first ones, the plan's codec was chosen: they are left out where there are
            enough others.

    Raises:
        OffloadError: there are no such data, or they are not for this model.
    """
    if len(graph.inputs) != 1:
        raise OffloadError(
            f"examples have one input, the model has {len(graph.inputs)}: {', '.join(graph.inputs)}",
            hint="leave out --data",
        )
    dataset = load_dataset(data, tensor=graph.tensor_by_name[graph.inputs[0]], split="test", task=task)
    count = min(samples, len(dataset))
    fresh = len(dataset) - chosen_by >= count
    first = chosen_by if fresh else 0
    drawn = first + np.random.default_rng(0).choice(len(dataset) - first, count, replace=False)
    return Examples(
        dataset=dataset, indices=tuple(int(index) for index in drawn), input=graph.inputs[0], output=graph.outputs[0],
        fresh=fresh,
    )  # fmt: skip


def measure_accuracy(
    options: Sequence[Deployed], examples: Examples, *, whole: Session, progress: Progress
) -> tuple[dict[int, WireAccuracy], bool]:
    """The accuracy of each option over its connection, on the same examples.

    Every example is asked of all options before the next, so that what an interrupt leaves is comparable. Slower sides
    are not emulated: answers do not depend on them.

    Args:
        options: Ready to run.
        examples: What to ask.
        whole: The intact model, here.
        progress: Told of examples.

    Returns:
        What was found, by the option's place among `options`, empty when not one example was done; and whether it was
        interrupted.

    Raises:
        OffloadError: a request failed, or the answers do not fit the labels.
    """
    found = _Found(places=len(options))
    interrupted = False
    # A regression's errors are weighed by all labels; of the others none is kept, detections being megabytes each.
    block = len(examples.indices) if examples.dataset.task == "regression" else 1
    progress.start("measuring accuracy", len(examples.indices))
    rows: list[_Answers] = []
    try:
        for index in examples.indices:
            rows.append(_ask(options, examples, index, whole))
            if len(rows) == block:
                found.score(examples.dataset.task, rows)
                rows = []
            progress.advance()
    except KeyboardInterrupt:
        interrupted = True
    finally:
        progress.finish()
    if rows:
        found.score(examples.dataset.task, rows)
    return found.accuracies(examples.dataset), interrupted


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """What one example was answered."""

    intact: Array
    wire: tuple[Array, ...]
    """Over the connection of each option."""
    labels: Labels
    payload_bytes: tuple[int, ...]
    """Of each option; 0 where the tensors crossed as they are."""


def _ask(options: Sequence[Deployed], examples: Examples, index: int, whole: Session) -> _Answers:
    feeds = examples.feeds_of(index)
    asked = [one.session.run(feeds, slowed=False) for one in options]
    return _Answers(
        intact=whole.run(feeds)[examples.output],
        wire=tuple(outputs[examples.output] for outputs, _ in asked),
        labels=examples.dataset.labels([index]),
        payload_bytes=tuple(sample.payload_bytes or 0 for _, sample in asked),
    )


class _Found:
    """Errors so far, of the intact model and of each option."""

    def __init__(self, *, places: int) -> None:
        self._intact: list[float] = []
        self._weights: list[float] = []
        self._errors: list[list[float]] = [[] for _ in range(places)]
        self._payload_bytes: list[list[int]] = [[] for _ in range(places)]

    def score(self, task: Task, rows: Sequence[_Answers]) -> None:
        """Take some examples in."""
        intact = of_each(np.stack([row.intact for row in rows]))
        labels = list(intact) if task == "detection" else [label for row in rows for label in row.labels]
        errors, weights = errors_of(task, intact, labels)
        self._intact += errors.tolist()
        self._weights += weights.tolist()
        for place, told in enumerate(self._errors):
            errors, _ = errors_of(task, of_each(np.stack([row.wire[place] for row in rows])), labels)
            told += errors.tolist()
            self._payload_bytes[place] += [row.payload_bytes[place] for row in rows if row.payload_bytes[place]]

    def accuracies(self, dataset: Dataset) -> dict[int, WireAccuracy]:
        """By place; empty when there is not one example."""
        return {
            place: WireAccuracy(
                data=dataset.name,
                task=dataset.task,
                errors=tuple(errors),
                intact_errors=tuple(self._intact),
                weights=tuple(self._weights),
                payload_bytes=tuple(self._payload_bytes[place]),
            )
            for place, errors in enumerate(self._errors)
            if errors
        }
