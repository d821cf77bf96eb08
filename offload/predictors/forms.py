"""The forms that a kernel's time may follow: each is fitted on kernels of one family and predicts others.

- `linear`, `logarithmic`: Neurosurgeon's regressions (Kang et al., ASPLOS 2017) on the paper's own variables. The paper
  says that each type takes a linear or a logarithmic function; taken here as seconds, or the logarithm of seconds,
  being linear in the variables, or in their logarithms.
- `trend`: seconds are a sum of roofline terms (operations, bytes moved, bytes of weights, a launch) with non-negative
  coefficients, fitted for the least relative error.
- `ensemble`: the trend times exp of what gradient-boosted trees (Friedman 2001) add for the kernel's features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from offload.artifacts.costs import PaperForm, Trees
from offload.artifacts.packed import pack

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SHORTEST_S = 0.3e-6
"""No kernel is predicted to take less; the profiler counts whole microseconds."""
FEWEST_FOR_TREES = 24
_FADES_S = 10e-6
"""Kernels of this time count half as much as long ones: they are known to a microsecond, and add little."""


def weights_of(seconds: Floats) -> Floats:
    """How much each kernel counts in a fit."""
    return seconds / (seconds + _FADES_S)


def fit_trend(terms: Floats, seconds: Floats) -> tuple[float, ...]:
    """Coefficients, each at least 0, of least squared relative error.

    Args:
        terms: float64 (kernels, terms).
        seconds: float64 (kernels,).
    """
    import numpy as np
    from scipy.optimize import nnls

    scale = terms.max(axis=0)
    scale[scale == 0] = 1.0
    weight = weights_of(seconds) ** 0.5 / np.maximum(seconds, SHORTEST_S)
    coefficients, _ = nnls(terms / scale * weight[:, None], seconds * weight)
    return tuple(float(each) for each in coefficients / scale)


def trend_s(coefficients: Sequence[float], terms: Floats) -> Floats:
    """Seconds by a trend."""
    import numpy as np

    seconds: Floats = np.maximum(terms @ np.asarray(coefficients), SHORTEST_S)
    return seconds


def fit_paper(variables: Sequence[Mapping[str, float]], seconds: Floats, *, logarithmic: bool) -> PaperForm:
    """One of Neurosurgeon's regressions, by least squares."""
    import numpy as np

    names = tuple(variables[0])
    matrix = _paper_matrix(names, variables, logarithmic)
    target = np.log(np.maximum(seconds, SHORTEST_S)) if logarithmic else seconds
    scale = np.abs(matrix).max(axis=0)
    scale[scale == 0] = 1.0
    found = np.linalg.lstsq(matrix / scale, target, rcond=None)[0] / scale
    return PaperForm(
        variables=names, constant=float(found[0]), slopes=tuple(map(float, found[1:])), logarithmic=logarithmic
    )


def paper_s(form: PaperForm, variables: Sequence[Mapping[str, float]]) -> Floats:
    """Seconds by one of Neurosurgeon's regressions; the linear one may say less than nothing, which is left so."""
    import numpy as np

    result: Floats = _paper_matrix(form.variables, variables, form.logarithmic) @ np.array(
        [form.constant, *form.slopes]
    )
    if form.logarithmic:
        result = np.exp(np.clip(result, -50, 50))
    return result


def _paper_matrix(names: Sequence[str], variables: Sequence[Mapping[str, float]], logarithmic: bool) -> Floats:
    import numpy as np

    rows = [[1.0, *(math.log(1 + row[name]) if logarithmic else row[name] for name in names)] for row in variables]
    return np.array(rows, dtype=np.float64).reshape(len(rows), 1 + len(names))


def fit_trees(features: NDArray[np.float32], log_residual: Floats, weight: Floats, *, seed: int = 0) -> Trees:
    """Gradient-boosted trees for the logarithm of what the trend misses.

    Args:
        features: float32 (kernels, features).
        log_residual: float64 (kernels,): ln(measured / trend).
        weight: float64 (kernels,): how much each counts.
        seed: Of what is drawn for each tree.
    """
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(
        n_estimators=300, learning_rate=0.06, max_depth=6, min_samples_leaf=4, subsample=0.6, max_features=0.5,
        random_state=seed,
    )  # fmt: skip
    model.fit(features, log_residual, sample_weight=weight)
    return _packed(model)


def _packed(model: Any) -> Trees:
    import numpy as np

    trees = [stage[0].tree_ for stage in model.estimators_]
    sizes = np.array([tree.node_count for tree in trees])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    moved = [np.repeat(start, size) for start, size in zip(starts, sizes, strict=True)]
    offset = np.concatenate(moved)
    feature = np.concatenate([tree.feature for tree in trees])
    return Trees(
        base=float(model.init_.constant_[0, 0]),
        starts=pack(starts, "<i4"),
        feature=pack(np.where(feature >= 0, feature, -1), "<i4"),
        threshold=pack(_rounded_down(np.concatenate([tree.threshold for tree in trees])), "<f4"),
        left=pack(np.concatenate([tree.children_left for tree in trees]) + offset, "<i4"),
        right=pack(np.concatenate([tree.children_right for tree in trees]) + offset, "<i4"),
        value=pack(model.learning_rate * np.concatenate([tree.value[:, 0, 0] for tree in trees]), "<f4"),
    )


def _rounded_down(thresholds: Floats) -> NDArray[np.float32]:
    """The float32 at or below each: features are of that type, so each still goes the way that it went."""
    import numpy as np

    nearest = thresholds.astype(np.float32)
    below: NDArray[np.float32] = np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    return below


def correction(trees: Trees, features: NDArray[np.float32]) -> Floats:
    """What the trees add to the logarithm of the trend, float64 (kernels,)."""
    import numpy as np

    nodes = trees.arrays
    at = np.tile(np.asarray(nodes.starts, dtype=np.intp), (len(features), 1))
    rows = np.arange(len(features))[:, None]
    while True:
        feature = np.asarray(nodes.feature)[at]
        inner = feature >= 0
        if not inner.any():
            break
        goes_left = features[rows, np.where(inner, feature, 0)] <= np.asarray(nodes.threshold)[at]
        at = np.where(inner, np.where(goes_left, np.asarray(nodes.left)[at], np.asarray(nodes.right)[at]), at)
    added: Floats = np.asarray(nodes.value, dtype=np.float64)[at].sum(axis=1)
    return trees.base + added
