"""Predict kernels of one family from its costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.costs import FamilyCosts
from offload.predictors.features import FEATURES
from offload.predictors.forms import SHORTEST_S, correction, paper_s, trend_s

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_LOG_HALF_WIDTH = 50.0
MARGIN = 1.0
"""How far outside the sampled range a feature may lie before it counts as beyond it, in powers of two."""


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What some kernels take."""

    seconds: Floats
    """float64 (kernels,)."""
    beyond: tuple[tuple[str, ...], ...]
    """Of each kernel, the features outside the sampled range; its time then follows the trend from the border on."""


def predict_family(
    costs: FamilyCosts,
    features: NDArray[np.float32],
    terms: Floats,
    variables: Sequence[Mapping[str, float]],
) -> Predicted:
    """Seconds of kernels by the family's form, and along its trend where a feature lies outside what was sampled.

    Trees know nothing beyond what they saw: there the correction of the trend stays what it is at the border. Fitted on
    the smaller kernels, that predicts those of twice the size and more better than the bare trend does in two families
    of three (dense layers: 8 % off rather than 14 %).

    Args:
        costs: Of the kernels' family.
        features: float32 (kernels, features).
        terms: float64 (kernels, terms), see `features.TERMS`.
        variables: The paper's, of each kernel.
    """
    import numpy as np

    trend = trend_s(costs.trend, terms)
    column = {name: index for index, name in enumerate(FEATURES)}
    known = [one for one in costs.ranges if one.feature in column]
    outside = (
        np.column_stack(
            [
                (features[:, column[one.feature]] < one.low - MARGIN)
                | (features[:, column[one.feature]] > one.high + MARGIN)
                for one in known
            ]
        )
        if known
        else np.zeros((len(features), 0), dtype=bool)
    )
    beyond = tuple(tuple(known[i].feature for i in np.flatnonzero(row)) for row in outside)
    seconds = trend
    if costs.form == "ensemble" and costs.trees is not None:
        seconds = trend * np.exp(np.clip(correction(costs.trees, features), -10, 10))
    elif costs.form in ("linear", "logarithmic"):
        seconds = paper_s(costs.paper[costs.form == "logarithmic"], variables)
        # A regression that says less than nothing says nothing.
        seconds = np.where(outside.any(axis=1) | (seconds <= 0), trend, seconds)
    return Predicted(seconds=np.maximum(seconds, SHORTEST_S), beyond=beyond)


def predict_by_paper(costs: FamilyCosts, variables: Sequence[Mapping[str, float]]) -> tuple[Floats, float]:
    """Seconds of kernels by Neurosurgeon's regressions (Kang et al., ASPLOS 2017), and their 90 % half width.

    Each type takes the linear or the logarithmic form, whichever was less off on networks that were left out; where the
    linear one says less than nothing, the logarithmic one is taken. The half width, in logarithms, takes the errors to
    be Laplace's about 0: ln 10 times their mean.
    """
    import numpy as np

    linear, logarithmic = costs.paper
    errors = {error.form: error.log_error for error in costs.errors}
    seconds = paper_s(logarithmic, variables)
    better = min(errors["linear"], errors["logarithmic"])
    if errors["linear"] == better:
        by_linear = paper_s(linear, variables)
        seconds = np.where(by_linear > 0, by_linear, seconds)
    return np.maximum(seconds, SHORTEST_S), min(math.log(10) * better, MOST_LOG_HALF_WIDTH)
