"""The predictors of region proposals by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from offload.errors import OffloadError
from offload.video.proposals import lstm
from offload.video.proposals.hold import Hold
from offload.video.proposals.kalman import Kalman
from offload.video.proposals.linear import Linear

if TYPE_CHECKING:
    from offload.video.proposals.base import Predictor

PREDICTORS: Mapping[str, Callable[[], Predictor]] = {
    "hold": Hold,
    "linear": Linear,
    "kalman": Kalman,
    "lstm": lstm.embedded,
}
"""What makes each, by the names that plans have."""


def make_predictor(text: str) -> Predictor:
    """The predictor that a text names.

    Args:
        text: A name in PREDICTORS, or the path of weights that `offload video train-predictor` wrote, which ends in
            .safetensors.

    Raises:
        OffloadError: there is none, or its weights are damaged.
    """
    if text in PREDICTORS:
        return PREDICTORS[text]()
    if text.endswith(".safetensors"):
        return lstm.trained(Path(text))
    raise OffloadError(
        f"no predictor is called {text!r:.80}", hint=f"predictors: {', '.join(PREDICTORS)}, or a file of weights"
    )
