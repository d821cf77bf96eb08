"""What a data set hands out: examples in the form that a model takes them, with what the answer should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

Split = Literal["train", "validation", "test"]
Task = Literal["classification", "ctc", "regression", "detection"]
Labels = Sequence[object]
"""An int for each example (classification), an int sequence (ctc), a float array (regression), None (detection)."""


@dataclass(frozen=True, kw_only=True)
class PixelScale:
    """How an image became a model's input: `(pixel / 255 - mean) / std`, for each channel or one for all."""

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class Dataset(Protocol):
    """One split of a data set."""

    @property
    def name(self) -> str:
        """As the user named it."""

    @property
    def task(self) -> Task:
        """What its answers are."""

    @property
    def pixels(self) -> PixelScale | None:
        """How its images were scaled; None where the inputs are no images."""

    def __len__(self) -> int:
        """How many examples."""

    def inputs(self, indices: Sequence[int]) -> Array:
        """The model's input for these examples; shape (examples, ...), the model's own dtype."""

    def labels(self, indices: Sequence[int]) -> Labels:
        """What the answers should be, one for each of these examples."""
