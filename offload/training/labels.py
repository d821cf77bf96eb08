"""Teaching a codec a task's own labels, besides what the intact model answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from offload.datasets.base import Dataset, Task
from offload.datasets.tasks import errors_of, of_each
from offload.errors import OffloadError
from offload.graph.cuts import Cut
from offload.graph.model_graph import ModelGraph
from offload.training.examples import taught_tensors


def labels_loss(task: Task, results: Sequence[Tensor], labels: Sequence[Any]) -> Tensor:
    """What a model's answers lose against labels that `check_labels` found right.

    Args:
        task: `classification`: cross entropy. `ctc`: connectionist temporal classification (Graves et al., ICML 2006),
            the blank last; an example with more tokens than steps counts nothing. `regression`: squared error.
        results: What the layers behind the cut hand out, each (examples, *shape): first what a closing softmax or
            sigmoid reads, last the answer itself.
        labels: One for each example.
    """
    scores, answer = results[0].float(), results[-1].float()
    if task == "classification":
        classes = torch.tensor([int(each) for each in labels], device=scores.device)
        return functional.cross_entropy(scores.flatten(1), classes)
    if task == "ctc":
        tokens = [[int(token) for token in each] for each in labels]
        steps = scores.flatten(1, -2).log_softmax(-1).transpose(0, 1)
        return functional.ctc_loss(
            steps,
            torch.tensor([token for each in tokens for token in each], device=scores.device),
            torch.full((len(tokens),), len(steps)),
            torch.tensor([len(each) for each in tokens]),
            blank=steps.shape[-1] - 1,
            zero_infinity=True,
        )
    wanted = torch.from_numpy(np.stack([np.asarray(each, np.float32) for each in labels])).to(answer.device)
    return functional.mse_loss(answer, wanted.reshape(answer.shape))


def check_labels(graph: ModelGraph, cut: Cut, data: Dataset) -> None:
    """Refuse labels that a codec cannot learn, before it begins to.

    Raises:
        OffloadError: the data have none, the task is detection, or they do not fit the model's answers.
    """
    if data.task == "detection":
        raise OffloadError(
            f"--labels: {data.name} has no labels that can be learned here: detection is told by the intact model",
            hint="leave out --labels, or choose the task of the data's labels with --task",
        )
    labels = data.labels(range(len(data)))
    if any(label is None for label in labels):
        raise OffloadError(f"--labels: {data.name} has examples without a label", hint="leave out --labels")
    answer, taught = cut.returning[0], taught_tensors(graph, cut)
    shape = graph.tensor_by_name[answer].shape
    # Nothing is run yet: answers of the shape that the model's will have, of which none takes memory.
    outputs = of_each(np.broadcast_to(np.zeros(shape, np.float32), (len(labels), *shape)))
    floating = graph.tensor_by_name[answer].dtype.startswith("float")
    if not floating or (data.task != "regression" and _sizes(graph.tensor_by_name[taught[0]].shape) != _sizes(shape)):
        raise OffloadError(
            f"--labels: the model's first output tells no scores from which {data.task} could be learned",
            hint="leave out --labels, or use a model that ends in scores",
        )
    errors_of(data.task, outputs, labels)


def _sizes(shape: Sequence[int]) -> list[int]:
    return [size for size in shape if size != 1]
