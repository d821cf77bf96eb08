"""What a codec learns from: the tensor at a cut and the intact model's answers.

Computed once for every example and stored; where that takes too much memory, again for each batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from offload.datasets.base import Dataset, Labels, Task
from offload.datasets.tasks import errors_of, of_each
from offload.errors import OffloadError
from offload.graph.cuts import Cut
from offload.graph.model_graph import ModelGraph
from offload.models.loaded import LoadedOnnxModel
from offload.models.onnx_in_torch import DifferentiableSegment
from offload.progress import Progress

if TYPE_CHECKING:
    from offload.codecs.base import Array

_AT_ONCE = 32
_FULL_PRECISION_BYTES = 2**30
"""Tensors of more bytes than this are kept in float16."""
MOST_BYTES = 6 * 2**30
"""What examples of one split may take of a process's memory."""
_PASSING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")
_CLOSING = ("Softmax", "LogSoftmax", "Sigmoid")


Batch = tuple[Tensor, list[Tensor]]
"""The cut's tensor, (examples, *shape), float32, and the intact model's answers, likewise."""


class CutExamples(Protocol):
    """Examples of one split at one cut."""

    @property
    def labels(self) -> Labels | None:
        """What the answers should be; None where nobody needs them."""

    def __len__(self) -> int:
        """How many examples."""

    def batches(self, rows: Iterable[Tensor], *, answers: Sequence[str], device: str) -> Iterator[Batch]:
        """Some of the examples at a time.

        Args:
            rows: Which, from 0, for each batch.
            answers: The tensors wanted of the intact model, in this order.
            device: Where the batches are wanted.
        """


@dataclass(frozen=True, kw_only=True)
class StoredExamples:
    """Examples in memory."""

    at: Tensor
    """The cut's tensor; (examples, *shape), float32 or float16."""
    answers: Mapping[str, Tensor]
    """The intact model's outputs, and those before a closing softmax or sigmoid, by name; (examples, *shape)."""
    labels: Labels | None

    def __len__(self) -> int:
        """How many examples."""
        return len(self.at)

    def batches(self, rows: Iterable[Tensor], *, answers: Sequence[str], device: str) -> Iterator[Batch]:
        """Some of the examples at a time."""
        for each in rows:
            yield self.at[each].float().to(device), [self.answers[name][each].to(device) for name in answers]


@dataclass(frozen=True, kw_only=True)
class StreamedExamples:
    """Examples that are read from the data, and run through the intact model, whenever they are wanted."""

    crossing: str
    """The cut's tensor."""
    network: DifferentiableSegment
    """The intact model, whose results are `made`, on `device`."""
    made: tuple[str, ...]
    graph: ModelGraph
    """The same model's."""
    data: Dataset
    places: Sequence[int]
    """Where in the data each example is."""
    labels: Labels | None
    device: str

    def __len__(self) -> int:
        """How many examples."""
        return len(self.places)

    def batches(self, rows: Iterable[Tensor], *, answers: Sequence[str], device: str) -> Iterator[Batch]:
        """Some of the examples at a time; the next ones are read meanwhile."""
        waiting: Future[Tensor] | None = None
        with ThreadPoolExecutor(max_workers=1) as reader:
            for each in rows:
                following = reader.submit(self._read, each)
                if waiting is not None:
                    yield self._run(waiting.result(), answers, device)
                waiting = following
            if waiting is not None:
                yield self._run(waiting.result(), answers, device)

    def _read(self, rows: Tensor) -> Tensor:
        return as_examples(self.data.inputs([self.places[row] for row in rows.tolist()]), self.graph)

    def _run(self, inputs: Tensor, answers: Sequence[str], device: str) -> Batch:
        wanted = (self.crossing, *answers)
        parts = [
            [values[name].float() for name in wanted]
            for values in _values(self.network, self.made, self.graph, torch.split(inputs, _AT_ONCE), self.device)
        ]
        at, *taught = (torch.cat(each).to(device) for each in zip(*parts, strict=True))
        return at, taught


def taught_tensors(graph: ModelGraph, cut: Cut) -> tuple[str, ...]:
    """By which float tensors of a cut's server side a student's answers are compared with the intact model's.

    Each output that the server makes; in place of one that a softmax or a sigmoid closes, what that reads.
    """
    names = dict.fromkeys(
        before if (before := _before_closing(graph, name)) in (*cut.crossing, *_made(graph, cut)) else name
        for name in cut.returning
    )
    return tuple(name for name in names if graph.tensor_by_name[name].dtype.startswith("float"))


def _made(graph: ModelGraph, cut: Cut) -> set[str]:
    return {name for index, layer in enumerate(graph.layers) if index not in cut.device for name in layer.outputs}


def _before_closing(graph: ModelGraph, output: str) -> str:
    name = output
    while name in graph.producer:
        layer = graph.layers[graph.producer[name]]
        if layer.op in _CLOSING:
            return layer.inputs[0]
        if layer.op not in _PASSING:
            break
        name = layer.inputs[0]
    return output


def cut_examples(
    model: LoadedOnnxModel,
    cuts: Sequence[Cut],
    data: Dataset,
    *,
    labelled: bool,
    device: str,
    progress: Progress,
    part: tuple[int, int] = (0, 1),
) -> Mapping[str, CutExamples]:
    """The examples of a split at cuts: stored where they fit in memory, streamed where they do not.

    Args:
        model: For a batch of 1.
        cuts: Where one tensor crosses; the model's input may be it.
        data: The split.
        labelled: Whether its labels are wanted.
        device: What runs the model: `cpu` or `cuda:N`.
        progress: Observer; told of the cuts whose tensors do not fit.
        part: Which of how many equal shares of the split to take, for training by several processes.

    Returns:
        By the tensor that crosses.

    Raises:
        OffloadError: an operator has no differentiable form, or the model cannot take the data.
    """
    graph, (share, shares) = model.graph, part
    places = list(range(len(data)))[share::shares]
    labels = data.labels(places) if labelled and data.task != "detection" else None
    crossing = tuple(dict.fromkeys(cut.crossing[0] for cut in cuts))
    answers = tuple(dict.fromkeys(name for cut in cuts for name in (*taught_tensors(graph, cut), *cut.returning)))
    made = tuple(dict.fromkeys((*(name for name in crossing if name not in graph.inputs), *answers)))
    network = DifferentiableSegment(model.whole, results=made).to(device)
    elements = {name: len(places) * math.prod(graph.tensor_by_name[name].shape) for name in crossing}
    fitting = _fitting(elements, beside=4 * len(places) * _elements(graph, answers))
    found: dict[str, CutExamples] = {
        name: StreamedExamples(
            crossing=name, network=network, made=made, graph=graph, data=data, places=places, labels=labels,
            device=device,
        )
        for name in crossing
        if name not in fitting
    }  # fmt: skip
    if found:
        needed = sum(2 * elements[name] for name in found) / 2**30
        progress.note(
            f"{len(places)} examples at {', '.join(found)} would take {needed:.1f} GiB of memory: "
            "each is read, and the intact model run on it, whenever it is needed"
        )
    if not fitting:
        return found
    total = sum(elements[name] for name in fitting)
    dtype = torch.float32 if 4 * total <= _FULL_PRECISION_BYTES else torch.float16
    stored: dict[str, list[Tensor]] = {name: [] for name in (*fitting, *answers)}
    progress.start("running the intact model", len(places))
    batches = (
        as_examples(data.inputs(places[start : start + _AT_ONCE]), graph) for start in range(0, len(places), _AT_ONCE)
    )
    for values in _values(network, made, graph, batches, device):
        for name, kept in stored.items():
            kept.append(values[name].to(dtype if name in fitting and name not in answers else torch.float32).cpu())
        progress.advance(len(values[fitting[0]]))
    progress.finish()
    joined = {name: torch.cat(kept) for name, kept in stored.items()}
    kept_answers = {name: joined[name] for name in answers}
    return found | {name: StoredExamples(at=joined[name], answers=kept_answers, labels=labels) for name in fitting}


def _fitting(elements: Mapping[str, int], *, beside: int) -> tuple[str, ...]:
    """Which tensors are stored: the smallest first, as many as fit beside other bytes."""
    found: list[str] = []
    for name in sorted(elements, key=elements.__getitem__):
        if beside + 2 * sum(elements[each] for each in (*found, name)) <= MOST_BYTES:
            found.append(name)
    return tuple(found)


def _elements(graph: ModelGraph, names: Iterable[str]) -> int:
    return sum(math.prod(graph.tensor_by_name[name].shape) for name in names)


def _values(
    network: DifferentiableSegment, made: Sequence[str], graph: ModelGraph, batches: Iterable[Tensor], device: str
) -> Iterator[Mapping[str, Tensor]]:
    """The model's input and the tensors made of it, by name, for each batch of inputs."""
    for inputs in batches:
        x = inputs.to(device)
        with torch.no_grad():
            results = network(x)
        yield {graph.inputs[0]: x, **dict(zip(made, results, strict=True))}


def as_examples(inputs: Array, graph: ModelGraph) -> Tensor:
    """A data set's inputs with the model's own shape for each example, batch of 1 included.

    Raises:
        OffloadError: the model has several inputs, or one of another shape.
    """
    if len(graph.inputs) != 1:
        raise OffloadError(
            f"the model has {len(graph.inputs)} inputs, data sets give one", hint="wrap the model in one that takes one"
        )
    shape = graph.tensor_by_name[graph.inputs[0]].shape
    if inputs[0].size != math.prod(shape):
        raise OffloadError(
            f"the data's examples are {'x'.join(map(str, inputs.shape[1:]))}, "
            f"the model takes {'x'.join(map(str, shape))}",
            hint="give data of the model's own shape",
        )
    return torch.from_numpy(np.ascontiguousarray(inputs)).reshape(len(inputs), *shape)


def first_of(examples: CutExamples, count: int) -> Tensor:
    """The cut's tensor of the first examples; (at most `count`, *shape), float32, on the CPU."""
    rows = torch.split(torch.arange(min(count, len(examples))), _AT_ONCE)
    return torch.cat([at for at, _ in examples.batches(rows, answers=(), device="cpu")])


def error_rate(task: Task, outputs: Tensor, intact: Tensor, labels: Labels | None) -> float | None:
    """How wrong answers are; None without labels.

    Args:
        task: What the answers are.
        outputs: One of the model's outputs behind a codec; (examples, *shape).
        intact: The intact model's, likewise: what is right for detection.
        labels: What is right for other tasks.
    """
    right = list(of_each(intact.numpy())) if task == "detection" else labels
    if right is None:
        return None
    errors, weights = errors_of(task, of_each(outputs.numpy()), right)
    return float(errors.sum() / weights.sum())


def intact_error_rate(task: Task, name: str, examples: CutExamples, progress: Progress) -> float | None:
    """How wrong the intact model's output of this name is on all examples; None without labels.

    Raises:
        OffloadError: the model's answers do not fit the task or the labels.
    """
    progress.start("running the intact model", len(examples))
    found = []
    for _, (answers,) in examples.batches(
        torch.split(torch.arange(len(examples)), _AT_ONCE), answers=(name,), device="cpu"
    ):
        found.append(answers)
        progress.advance(len(answers))
    progress.finish()
    intact = torch.cat(found)
    return error_rate(task, intact, intact, examples.labels)
