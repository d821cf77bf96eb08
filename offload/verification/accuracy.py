"""Labelled examples sent through deployed options: how accurate the answers are that come back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offload.artifacts.wire_accuracy import WireAccuracy
from offload.datasets.base import Dataset, Labels, Task
from offload.datasets.catalogue import load_dataset
from offload.datasets.tasks import errors_of
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

    @property
    def feeds(self) -> list[dict[str, Array]]:
        """The model's inputs of the first few, to time requests with."""
        return [self.feeds_of(index) for index in self.indices[:_MOST_FEEDS]]

    def feeds_of(self, index: int) -> dict[str, Array]:
        """The model's inputs of one example."""
        return {self.input: self.dataset.inputs([index])}


def draw_examples(data: str, *, task: Task | None, samples: int, graph: ModelGraph) -> Examples:
    """Labelled examples for a model.

    Args:
        data: The data set, as `load_dataset` takes it.
        task: What its answers are; None for what the data have.
        samples: How many at most.
        graph: The model.

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
    drawn = np.random.default_rng(0).choice(len(dataset), count, replace=False)
    return Examples(
        dataset=dataset, indices=tuple(int(index) for index in drawn), input=graph.inputs[0], output=graph.outputs[0]
    )


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
    rows: list[_Answers] = []
    interrupted = False
    progress.start("measuring accuracy", len(examples.indices))
    try:
        for row in _answered(options, examples, whole):
            rows.append(row)
            progress.advance()
    except KeyboardInterrupt:
        interrupted = True
    finally:
        progress.finish()
    if not rows:
        return {}, interrupted
    (intact_errors, weights), *scored = _scored(examples.dataset.task, rows)
    return {
        place: WireAccuracy(
            data=examples.dataset.name,
            task=examples.dataset.task,
            errors=errors,
            intact_errors=intact_errors,
            weights=weights,
            payload_bytes=tuple(row.payload_bytes[place] for row in rows if row.payload_bytes[place]),
        )
        for place, (errors, _) in enumerate(scored)
    }, interrupted


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """What one example was answered."""

    answers: tuple[Array, ...]
    """By the intact model, then by each option over its connection."""
    labels: Labels
    payload_bytes: tuple[int, ...]
    """Of each option; 0 where the tensors crossed as they are."""


_Scored = tuple[tuple[float, ...], tuple[float, ...]]
"""Errors and weights of each example."""


def _answered(options: Sequence[Deployed], examples: Examples, whole: Session) -> Iterator[_Answers]:
    dataset = examples.dataset
    for index in examples.indices:
        feeds = examples.feeds_of(index)
        intact = whole.run(feeds)[examples.output]
        labels = [intact[0]] if dataset.task == "detection" else dataset.labels([index])
        asked = [one.session.run(feeds, slowed=False) for one in options]
        answers = (intact, *(outputs[examples.output] for outputs, _ in asked))
        if dataset.task == "detection":  # thousands of boxes an example: what is kept of them is how far they are off
            answers = tuple(errors_of("detection", each, labels)[0][:, None] for each in answers)
        sizes = tuple(sample.payload_bytes or 0 for _, sample in asked)
        yield _Answers(answers=answers, labels=labels, payload_bytes=sizes)


def _scored(task: Task, rows: Sequence[_Answers]) -> list[_Scored]:
    """Of the intact model and each option; all examples at once, since a regression's weights depend on all labels."""
    labels = [label for row in rows for label in row.labels]
    found: list[_Scored] = []
    for answers in zip(*(row.answers for row in rows), strict=True):
        together = np.concatenate(answers)
        if task == "detection":
            errors, weights = together[:, 0], np.ones(len(rows))
        else:
            errors, weights = errors_of(task, together, labels)
        found.append((tuple(map(float, errors)), tuple(map(float, weights))))
    return found
