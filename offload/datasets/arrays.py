"""Arrays as examples: 8-bit images, or values in the very form that the model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from offload.datasets.base import Dataset, Labels, PixelScale, Split, Task
from offload.datasets.examples import Images, Inputs, Pixels, channelled, check_classes, check_image_input
from offload.datasets.splits import divided, undivided
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor

if TYPE_CHECKING:
    from offload.datasets.base import Array

Parts = Mapping[Split | None, tuple["Array", Labels]]
"""Inputs and answers of each split; None stands for examples that came undivided."""


def from_arrays(
    parts: Parts, tensor: Tensor, split: Split, task: Task | None, scale: PixelScale, *, name: str
) -> Dataset:
    """One split of arrays.

    Args:
        parts: uint8 of shape (examples, height, width, channels), (examples, channels, height, width) or (examples,
            height, width) are images; anything else must have the shape of the model's input, and becomes its dtype.
        tensor: The model's input.
        split: Which part.
        task: What the answers are; None where they tell: classification, or ctc where they are sequences.
        scale: How the pixels of images are scaled.
        name: What the data are called.

    Raises:
        OffloadError: inputs and answers differ in number, inputs are not finite, or the model cannot take them.
    """
    for values, labels in parts.values():
        if len(values) != len(labels):
            raise OffloadError(
                f"{name}: {len(values)} inputs and {len(labels)} answers", hint="give one answer for each input"
            )
    places = {key: [(key, index) for index in range(len(labels))] for key, (_, labels) in parts.items()}
    whole = places.get(None)
    if whole is not None:
        chosen = undivided(whole, split, name=name)
    else:
        chosen = divided({key: each for key, each in places.items() if key is not None}, split, name=name)
    answers = [parts[key][1][index] for key, index in chosen]
    told = task or _task_of(answers)
    if told == "classification":
        check_classes((label for _, labels in parts.values() for label in labels), name=name)
    sample = next(iter(parts.values()))[0]
    if sample.dtype == np.uint8 and sample.ndim in (3, 4) and tensor.dtype != "uint8":
        check_image_input(tensor, scale, name=name)

        def read(indices: Sequence[int]) -> list[Pixels]:
            return [channelled(parts[chosen[index][0]][0][chosen[index][1]]) for index in indices]

        return Images(name=name, task=told, pixels=scale, tensor=tensor, answers=answers, read=read)
    if sample.shape[1:] != tensor.shape[1:]:
        raise OffloadError(
            f"{name}: examples are {_shape(sample.shape[1:])} {sample.dtype}, "
            f"the model's input is {_shape(tensor.shape[1:])} {tensor.dtype}",
            hint="give arrays of that shape, or 8-bit images, which are resized",
        )
    if not np.can_cast(sample.dtype, tensor.dtype, "same_kind"):
        raise OffloadError(
            f"{name}: examples are {sample.dtype}, the model's input is {tensor.dtype}",
            hint=f"save them as {tensor.dtype}",
        )
    with np.errstate(over="ignore"):  # told below
        stacked = np.asarray([parts[key][0][index] for key, index in chosen], tensor.dtype)
    finite = np.isfinite(stacked).all(axis=tuple(range(1, stacked.ndim)))
    if not finite.all():
        raise OffloadError(
            f"{name}: {int((~finite).sum())} of {len(stacked)} examples hold NaN or infinity as {tensor.dtype}",
            hint="leave them out, or scale the values down",
        )
    return Inputs(name=name, task=told, answers=answers, values=stacked)


def _task_of(answers: Sequence[object]) -> Task:
    first = answers[0] if answers else 0
    if np.ndim(first) == 1 and np.issubdtype(np.asarray(first).dtype, np.integer):  # type: ignore[arg-type]
        return "ctc"
    return "classification"


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "single numbers"
