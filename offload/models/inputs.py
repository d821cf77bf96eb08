"""What the user says about a model's inputs: names, shapes and the batch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from offload.errors import OffloadError, UsageError

Shape = tuple[int, ...]
_SHAPE = re.compile(r"[1-9]\d*(x[1-9]\d*)*")


def parse_input_shape(text: str) -> tuple[str, Shape]:
    """The name and shape in text such as `data=1x3x224x224`; the name is empty when only a shape is given.

    Raises:
        UsageError: the text is neither.
    """
    name, _, shape = text.rpartition("=")
    if not _SHAPE.fullmatch(shape) or ("=" in text and not name):
        raise UsageError(f"{text!r} is not an input shape", hint="write it like data=1x3x224x224")
    return name, tuple(int(size) for size in shape.split("x"))


def format_shape(shape: Sequence[int | str]) -> str:
    """A shape as the command line takes it: `1x3x224x224`."""
    return "x".join(str(size) for size in shape)


def by_name(given: Mapping[str, Shape] | None, names: Sequence[str], *, model: str) -> dict[str, Shape]:
    """The given shapes under the model's input names; an unnamed shape belongs to the only input.

    Raises:
        OffloadError: a name is not one of the model's inputs, or an unnamed shape could be several.
    """
    shapes: dict[str, Shape] = {}
    for name, shape in (given or {}).items():
        if not name and len(names) != 1:
            raise OffloadError(
                f"{model} has {len(names)} inputs, so --input {format_shape(shape)} needs a name",
                hint="for example " + " ".join(f"--input {each}={format_shape(shape)}" for each in names),
            )
        if name and name not in names:
            raise OffloadError(f"{model} has no input {name!r}", hint="its inputs are " + ", ".join(map(repr, names)))
        shapes[name or names[0]] = tuple(shape)
    return shapes


def with_batch(name: str, shape: Shape, batch: int, *, model: str) -> Shape:
    """The shape with `batch` in its leading dimension, which must be 1 or `batch` already.

    Raises:
        OffloadError: the shape is a scalar's, or was given with another batch.
    """
    if batch == 1 or (shape and shape[0] == batch):
        return shape
    if not shape or shape[0] != 1:
        raise OffloadError(
            f"{model}: input {name!r} has shape {format_shape(shape) or 'of a scalar'}, not a batch of {batch}",
            hint="leave out --batch, or give a model whose inputs lead with a batch of 1",
        )
    return (batch, *shape[1:])
