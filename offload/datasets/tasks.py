"""How wrong a model's answers are, for each kind of task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from offload.datasets.base import Labels, Task
from offload.errors import OffloadError

if TYPE_CHECKING:
    from offload.datasets.base import Array

Floats = NDArray[np.float64]


def errors_of(task: Task, outputs: Array, labels: Labels) -> tuple[Floats, Floats]:
    """Errors and weights of each example; the error rate of many is the sum of one over the sum of the other.

    Args:
        task: `classification`: 1 where the highest score, or the class that was answered, is not the label, against 1.
            `ctc`: edits from the greedily decoded sequence to the label, against the label's length.
            `regression`: squared distance to the label, against the labels' mean squared distance to their mean, so
            that the rate is the share of the variance that is not explained.
            `detection`: relative L2 distance to the label, which is the intact model's answer, against 1.
        outputs: The model's first output; shape (examples, ...).
        labels: One for each example.

    Raises:
        OffloadError: the outputs are none of such a task, or do not fit the labels.
    """
    if len(outputs) != len(labels):
        raise OffloadError(
            f"the model gave {len(outputs)} answers for {len(labels)} examples", hint="use a model whose batch is first"
        )
    match task:
        case "classification":
            return _classification(outputs, labels)
        case "ctc":
            return _ctc(outputs, labels)
        case "regression":
            return _regression(outputs, labels)
        case "detection":
            reference = _stacked(labels, outputs, task)
            norms = np.sqrt((reference**2).sum(axis=1))
            distances = np.sqrt(((_flat(outputs) - reference) ** 2).sum(axis=1))
            return distances / np.maximum(norms, np.finfo(np.float64).tiny ** 0.5), np.ones(len(outputs))


def of_each(answers: Array) -> Array:
    """Answers of a model for a batch of 1, (examples, *shape), without the axis of 1, wherever the model has it."""
    shape = list(answers.shape[1:])
    if 1 in shape:
        shape.remove(1)
    return answers.reshape(len(answers), *shape)


def greedy_decoded(scores: Array) -> list[tuple[int, ...]]:
    """CTC's best path: the highest score of each step, repetitions merged, blanks dropped (Graves et al., ICML 2006).

    Args:
        scores: Shape (examples, steps, tokens); the blank is the last token.
    """
    best = np.asarray(scores).argmax(axis=2)
    new = np.ones(best.shape, np.bool_)
    new[:, 1:] = best[:, 1:] != best[:, :-1]
    kept = new & (best != scores.shape[2] - 1)
    return [tuple(map(int, row[mask])) for row, mask in zip(best, kept, strict=True)]


def edit_distance(first: Sequence[int], second: Sequence[int]) -> int:
    """The fewest insertions, deletions and replacements between two sequences (Levenshtein, 1966)."""
    row = list(range(len(second) + 1))
    for count, item in enumerate(first, start=1):
        diagonal, row[0] = row[0], count
        for place, other in enumerate(second, start=1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (item != other))
    return row[-1]


def _classification(outputs: Array, labels: Labels) -> tuple[Floats, Floats]:
    wanted = np.array([_integer(label) for label in labels], np.int64)
    flat = outputs.reshape(len(outputs), -1)
    if np.issubdtype(flat.dtype, np.integer):
        if flat.shape[1] != 1:
            raise _unfit(outputs, "classification", "one class, or a score for each class,")
        answered = flat[:, 0]
    else:
        classes = flat.shape[1]
        if classes < 2:
            raise _unfit(outputs, "classification", "a score for each class")
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < classes:
            unknown = wanted.min() if wanted.min() < 0 else wanted.max()
            raise OffloadError(
                f"the data have a class {unknown}, the model knows {classes}",
                hint="use data of the model's own classes, numbered from 0",
            )
        answered = flat.argmax(axis=1)
    return (answered != wanted).astype(np.float64), np.ones(len(wanted))


def _ctc(outputs: Array, labels: Labels) -> tuple[Floats, Floats]:
    if outputs.ndim != 3 or outputs.shape[2] < 2:
        raise _unfit(outputs, "ctc", "steps by tokens, the blank last,")
    references: list[tuple[int, ...]] = [_sequence(label) for label in labels]
    if not all(references):
        raise OffloadError("an example has an empty sequence as its answer", hint="leave such examples out")
    if max((max(each) for each in references), default=0) > outputs.shape[2] - 2:
        raise OffloadError(
            f"the data have a token {max(map(max, references))}, the model knows {outputs.shape[2] - 1} and the blank",
            hint="use data of the model's own tokens, numbered from 0",
        )
    decoded = greedy_decoded(outputs)
    errors = [edit_distance(answer, reference) for answer, reference in zip(decoded, references, strict=True)]
    return np.array(errors, np.float64), np.array([len(each) for each in references], np.float64)


def _regression(outputs: Array, labels: Labels) -> tuple[Floats, Floats]:
    reference = _stacked(labels, outputs, "regression")
    if not np.ptp(reference, axis=0).any():
        raise OffloadError("all answers of the data are the same", hint="give data whose answers differ")
    variance = ((reference - reference.mean(axis=0)) ** 2).sum(axis=1).mean()
    return ((_flat(outputs) - reference) ** 2).sum(axis=1), np.full(len(outputs), variance)


def _flat(values: Array) -> Floats:
    return np.asarray(values, np.float64).reshape(len(values), -1)


def _stacked(labels: Labels, outputs: Array, task: Task) -> Floats:
    try:
        stacked = _flat(np.stack([np.asarray(label, np.float64) for label in labels]))
    except (TypeError, ValueError):
        raise OffloadError(
            f"the data's answers are no numbers of one shape, as {task} needs", hint="check the data"
        ) from None
    if stacked.shape != _flat(outputs).shape:
        raise _unfit(outputs, task, f"{stacked.shape[1]} numbers")
    return stacked


def _integer(label: Any) -> int:
    try:
        number = int(label)
    except (TypeError, ValueError):
        number = -1
    if number != label:
        raise OffloadError(f"the data's answer {label!r} is no class", hint="number the classes from 0, or use --task")
    return number


def _sequence(label: Any) -> tuple[int, ...]:
    try:
        return tuple(_integer(token) for token in label)
    except TypeError:
        raise OffloadError(
            f"the data's answer {label!r} is no sequence of tokens", hint="check the data, or use --task"
        ) from None


def _unfit(outputs: Array, task: Task, wanted: str) -> OffloadError:
    shape = "×".join(map(str, outputs.shape[1:])) or "one number"
    return OffloadError(
        f"the model's first output is {shape} {outputs.dtype} for each example; {task} needs {wanted} there",
        hint="choose the task that the model is for with --task",
    )
