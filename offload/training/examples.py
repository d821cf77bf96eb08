"""What a codec learns from: the tensor at a cut and the intact model's answers, computed once for every example."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
_MOST_BYTES = 6 * 2**30
_PASSING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")
_CLOSING = ("Softmax", "LogSoftmax", "Sigmoid")


@dataclass(frozen=True, kw_only=True)
class CutExamples:
    """Examples of one split at one cut."""

    at: Tensor
    """The cut's tensor; (examples, *shape), float32 or float16."""
    answers: Mapping[str, Tensor]
    """The intact model's outputs, and those before a closing softmax or sigmoid, by name; (examples, *shape)."""
    labels: Labels | None
    """What the answers should be; None where nobody needs them."""

    def __len__(self) -> int:
        """How many examples."""
        return len(self.at)


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
    """Run the intact model once over a split.

    Args:
        model: For a batch of 1.
        cuts: Where one tensor crosses; the model's input may be it.
        data: The split.
        labelled: Whether its labels are wanted.
        device: What runs the model: `cpu` or `cuda:N`.
        progress: Observer.
        part: Which of how many equal shares of the split to take, for training by several processes.

    Returns:
        By the tensor that crosses.

    Raises:
        OffloadError: an operator has no differentiable form, or the examples take too much memory.
    """
    graph, (share, shares) = model.graph, part
    places = list(range(len(data)))[share::shares]
    crossing = tuple(dict.fromkeys(cut.crossing[0] for cut in cuts))
    elements = len(places) * sum(math.prod(graph.tensor_by_name[name].shape) for name in crossing)
    dtype = torch.float32 if 4 * elements <= _FULL_PRECISION_BYTES else torch.float16
    if 2 * elements > _MOST_BYTES:
        raise OffloadError(
            f"{len(places)} examples at {', '.join(crossing)} take {2 * elements / 2**30:.1f} GiB of memory",
            hint="train fewer cuts at once, use fewer examples, or more processes by torchrun",
        )
    answers = dict.fromkeys(name for cut in cuts for name in (*taught_tensors(graph, cut), *cut.returning))
    wanted = tuple(dict.fromkeys((*(name for name in crossing if name not in graph.inputs), *answers)))
    network = DifferentiableSegment(model.whole, results=wanted).to(device)
    found: dict[str, list[Tensor]] = {name: [] for name in (*crossing, *answers)}
    progress.start("running the intact model", len(places))
    with torch.no_grad():
        for start in range(0, len(places), _AT_ONCE):
            rows = places[start : start + _AT_ONCE]
            x = as_examples(data.inputs(rows), graph).to(device)
            values = {graph.inputs[0]: x, **dict(zip(wanted, network(x), strict=True))}
            for name, kept in found.items():
                kept.append(values[name].to(dtype if name in crossing and name not in answers else torch.float32).cpu())
            progress.advance(len(rows))
    progress.finish()
    labels = data.labels(places) if labelled and data.task != "detection" else None
    joined = {name: torch.cat(kept) for name, kept in found.items()}
    kept_answers = {name: joined[name] for name in answers}
    return {name: CutExamples(at=joined[name], answers=kept_answers, labels=labels) for name in crossing}


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


def error_rate(task: Task, name: str, outputs: Tensor, examples: CutExamples) -> float | None:
    """How wrong answers are; None without labels.

    Args:
        task: What the answers are.
        name: Which of the model's outputs.
        outputs: That output behind a codec; (examples, *shape).
        examples: What they are compared with; for detection the intact model's answers.
    """
    labels = list(of_each(examples.answers[name].numpy())) if task == "detection" else examples.labels
    if labels is None:
        return None
    errors, weights = errors_of(task, of_each(outputs.numpy()), labels)
    return float(errors.sum() / weights.sum())
