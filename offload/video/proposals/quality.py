"""How well predictors do on trajectories that they have not learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offload.video.boxes import areas
from offload.video.expansion import expanded
from offload.video.proposals.trajectories import Trajectories, examples_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.video.boxes import Boxes
    from offload.video.proposals.base import Predictor

EXPANSIONS = (0.0, 0.05, 0.1, 0.2, 0.4)
"""For which coverage is told."""
DETECTOR_NOISE = 0.03
"""Standard deviation of a detector's error along a box's side, as a share of it, that predictors are judged with."""


@dataclass(frozen=True, kw_only=True)
class PredictionQuality:
    """One predictor's."""

    predictor: str
    noise: float
    """Of the boxes that it was told, as a share of their sides; what it is compared with has none."""
    examples: int
    mean_iou: float
    """Of predicted and true boxes, over all examples: those of objects that were seen once only are among them."""
    coverage: Mapping[float, float]
    """By expansion: mean share of the true box that lies in the predicted box expanded by so much."""


def prediction_quality(
    name: str, predictor: Predictor, parts: Sequence[Trajectories], *, noise: float = 0.0, seed: int = 0
) -> PredictionQuality:
    """Mean IoU and coverage, one frame ahead, over all frames of all paths but the first of each.

    Args:
        name: What to call it.
        predictor: Any.
        parts: A clip's trajectories each.
        noise: Standard deviation of the detector's error along a side, as a share of the side.
        seed: Of that noise; all predictors are told the same.

    Raises:
        ValueError: there is no path in any of them.
    """
    overlaps: list[NDArray[np.float64]] = []
    covered: dict[float, list[NDArray[np.float64]]] = {share: [] for share in EXPANSIONS}
    for part in parts:
        examples = examples_of(part, window=predictor.window, noise=noise, seed=seed)
        predicted = predictor.predict(examples.history, width=part.width, height=part.height)
        shared, right = _shared(predicted, examples.right), areas(examples.right)
        overlaps.append(shared / (areas(predicted) + right - shared))
        for share, found in covered.items():
            grown = expanded(predicted, share, width=part.width, height=part.height)
            found.append(_shared(grown, examples.right) / right)
    overlap = np.concatenate(overlaps)
    if not len(overlap):
        raise ValueError("nothing to judge by")
    return PredictionQuality(
        predictor=name,
        noise=noise,
        examples=len(overlap),
        mean_iou=float(overlap.mean()),
        coverage={share: float(np.concatenate(found).mean()) for share, found in covered.items()},
    )


def _shared(some: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Square pixels that each box shares with the one in the same row of the others."""
    low, high = np.maximum(some[:, :2], others[:, :2]), np.minimum(some[:, 2:], others[:, 2:])
    product: NDArray[np.float64] = np.maximum(high - low, 0).prod(axis=1)
    return product
