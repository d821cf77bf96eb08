"""Fit costs on networks that were measured, and find out how far off they are on networks that were not.

Everything that is reported was predicted by a fit that had not seen the network: all kernels of a network are in one
of five parts, and each part is predicted from the other four. The intervals are split-conformal (Vovk, Gammerman and
Shafer 2005; Lei et al., JASA 2018) with those residuals as the calibration set, for kernels that take about as long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offload.artifacts.costs import (
    Band,
    CallCosts,
    FamilyCosts,
    FormError,
    FormName,
    LearningPoint,
    Range,
)
from offload.models.executed import TimedNetwork
from offload.predictors.families import predict_family
from offload.predictors.features import (
    FEATURES,
    UNRANGED,
    family_of,
    feature_matrix,
    is_free,
    paper_variables,
    surroundings,
    terms,
)
from offload.predictors.forms import (
    FEWEST_FOR_TREES,
    SHORTEST_S,
    fit_paper,
    fit_trees,
    fit_trend,
    paper_s,
    trend_s,
    weights_of,
)
from offload.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Indices = NDArray[np.intp]

PARTS = 5
INTERVAL = 0.9
_BAND_EDGES_S = (20e-6, 100e-6, 1e-3)
_FEWEST_IN_A_BAND = 40
_LONG_S = 50e-6
_LEARNING_SHARES = (0.25, 0.5, 1.0)
FEWEST_SAMPLES = 8
"""A family of fewer kernels has no costs: it is predicted like a kind that was never sampled."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Kernels of one family."""

    features: NDArray[np.float32]
    terms: Floats
    variables: Sequence[Mapping[str, float]]
    seconds: Floats
    network: NDArray[np.intp]
    """Number of each kernel's network, by which the parts are made."""

    def __getitem__(self, chosen: Indices) -> Samples:
        return Samples(
            features=self.features[chosen],
            terms=self.terms[chosen],
            variables=[self.variables[i] for i in chosen],
            seconds=self.seconds[chosen],
            network=self.network[chosen],
        )


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """All that was fitted."""

    families: tuple[FamilyCosts, ...]
    call: CallCosts
    shared_error: float
    whole_errors: tuple[float, ...]
    rows: Floats
    """float64 (kernels, 6): see `Costs.samples`."""


def fit_costs(networks: Sequence[TimedNetwork], progress: Progress) -> Fitted:
    """Costs of every family of kernels in some networks.

    Raises:
        ValueError: there are fewer networks than parts.
    """
    import numpy as np

    if len(networks) < PARTS:
        raise ValueError(f"{len(networks)} networks cannot be divided into {PARTS} parts")
    by_family = samples_by_family(networks)
    families, rows = [], []
    progress.start("fitting", len(by_family))
    for family, samples in sorted(by_family.items()):
        progress.advance()
        if len(samples.seconds) < FEWEST_SAMPLES or len(set(samples.network.tolist())) < PARTS:
            continue
        costs, left_out = fit_family(family, samples)
        families.append(costs)
        index = np.full(len(samples.seconds), len(families) - 1)
        rows.append(np.column_stack([samples.network, index, samples.seconds, left_out]))
    progress.finish()
    table = np.concatenate(rows)
    call, shared, errors = _whole_models(networks, table)
    return Fitted(families=tuple(families), call=call, shared_error=shared, whole_errors=errors, rows=table)


def samples_by_family(networks: Sequence[TimedNetwork]) -> dict[str, Samples]:
    """Every kernel that does something, by its family, with the median of its rounds."""
    import numpy as np

    kernels: dict[str, list[tuple[int, int]]] = {}
    for which, network in enumerate(networks):
        for index, kernel in enumerate(network.kernels):
            if not is_free(kernel):
                kernels.setdefault(family_of(kernel), []).append((which, index))
    among = [surroundings(network.kernels, network.reference_s) for network in networks]
    found = {}
    for family, places in kernels.items():
        chosen = [networks[which].kernels[index] for which, index in places]
        found[family] = Samples(
            features=feature_matrix(chosen, [among[which][index] for which, index in places]),
            terms=np.array(
                [
                    terms(networks[which].kernels[index], first_call=among[which][index].calls_before == 0)
                    for which, index in places
                ]
            ),
            variables=[paper_variables(kernel) for kernel in chosen],
            seconds=np.array(
                [max(float(np.median(networks[which].kernel_s[index])), SHORTEST_S) for which, index in places]
            ),
            network=np.array([networks[which].number for which, _ in places], dtype=np.intp),
        )
    return found


def fit_family(family: str, samples: Samples) -> tuple[FamilyCosts, Floats]:
    """Costs of a family; and for each kernel what is predicted without its network: seconds, low and high end."""
    import numpy as np

    part = samples.network % PARTS
    forms = _forms(samples)
    left_out = {form: np.zeros(len(samples.seconds)) for form in forms}
    for number in range(PARTS):
        inside, outside = np.flatnonzero(part != number), np.flatnonzero(part == number)
        if not len(outside) or not len(inside):
            continue
        fitted = _fit(family, samples[inside], forms)
        for form in forms:
            left_out[form][outside] = _predicted(replace(fitted, form=form), samples[outside])
    errors = tuple(_form_error(form, left_out[form], samples.seconds) for form in forms)
    # A form that says less than nothing of any kernel cannot be the one to use.
    usable = [error for error in errors if (left_out[error.form] > 0).all()]
    form = min(usable, key=lambda error: error.log_error).form
    chosen = left_out[form]
    residuals = np.abs(np.log(chosen / samples.seconds))
    bands = _bands(chosen, residuals)
    covered = np.zeros(len(chosen), dtype=bool)
    for number in range(PARTS):
        inside, outside = part != number, part == number
        if inside.any() and outside.any():
            others = _bands(chosen[inside], residuals[inside])
            covered[outside] = residuals[outside] <= _half_widths(others, chosen[outside])
    costs = replace(
        _fit(family, samples, forms),
        form=form,
        errors=errors,
        bands=bands,
        coverage=float(covered.mean()),
        learning=_learning(family, samples, form),
    )
    width = np.exp(_half_widths(bands, chosen))
    return costs, np.column_stack([chosen, chosen / width, chosen * width])


def _forms(samples: Samples) -> list[FormName]:
    forms: list[FormName] = ["linear", "logarithmic", "trend"]
    return [*forms, "ensemble"] if len(samples.seconds) >= FEWEST_FOR_TREES else forms


def _fit(family: str, samples: Samples, forms: Sequence[FormName]) -> FamilyCosts:
    """Every form on all of the samples; what is found out by leaving networks out is not in it yet."""
    import numpy as np

    trend = fit_trend(samples.terms, samples.seconds)
    trees = None
    if "ensemble" in forms:
        residual = np.log(samples.seconds / trend_s(trend, samples.terms))
        trees = fit_trees(samples.features, residual, weights_of(samples.seconds))
    low, high = samples.features.min(axis=0), samples.features.max(axis=0)
    return FamilyCosts(
        family=family,
        samples=len(samples.seconds),
        networks=len(set(samples.network.tolist())),
        form="trend",
        errors=(),
        coverage=0.0,
        bands=(Band(up_to_s=1e9, log_half_width=0.0),),
        ranges=tuple(
            Range(feature=name, low=float(low[i]), high=float(high[i]))
            for i, name in enumerate(FEATURES)
            if name not in UNRANGED
        ),
        trend=trend,
        paper=tuple(
            fit_paper(samples.variables, samples.seconds, logarithmic=logarithmic) for logarithmic in (False, True)
        ),
        trees=trees,
        learning=(),
    )


def _predicted(costs: FamilyCosts, samples: Samples) -> Floats:
    if costs.form in ("linear", "logarithmic"):
        return paper_s(costs.paper[costs.form == "logarithmic"], samples.variables)
    return predict_family(costs, samples.features, samples.terms, samples.variables).seconds


def _form_error(form: FormName, predicted: Floats, seconds: Floats) -> FormError:
    import numpy as np

    long = seconds >= _LONG_S if (seconds >= _LONG_S).any() else np.ones(len(seconds), dtype=bool)
    relative = np.abs(predicted / seconds - 1)[long]
    logarithm = np.abs(np.log(np.maximum(predicted, SHORTEST_S / 10) / seconds))
    return FormError(
        form=form,
        log_error=float(np.average(logarithm, weights=weights_of(seconds))),
        median_error=float(np.median(relative)),
        within_tenth=float((relative <= 0.1).mean()),
    )


def conformal_quantile(residuals: Floats) -> float:
    """The residual that the next one stays below with a chance of INTERVAL: the ⌈(n + 1) · 0.9⌉-th smallest of n."""
    import numpy as np

    rank = min(len(residuals), math.ceil((len(residuals) + 1) * INTERVAL))
    return float(np.partition(residuals, rank - 1)[rank - 1])


def _bands(predicted: Floats, residuals: Floats) -> tuple[Band, ...]:
    """Half widths by predicted time; ranges of few kernels are joined to the next."""
    import numpy as np

    bands: list[Band] = []
    pending = np.zeros(len(predicted), dtype=bool)
    left = np.ones(len(predicted), dtype=bool)
    for edge in (*_BAND_EDGES_S, math.inf):
        inside = (predicted <= edge) & left
        left &= ~inside
        pending |= inside
        enough = pending.sum() >= _FEWEST_IN_A_BAND
        if edge == math.inf and not enough and bands and pending.any():
            # Too few of the longest: they share the band before.
            bands[-1] = replace(bands[-1], up_to_s=1e9)
        elif edge == math.inf or (enough and left.sum() >= _FEWEST_IN_A_BAND):
            width = conformal_quantile(residuals[pending]) if pending.any() else bands[-1].log_half_width
            bands.append(Band(up_to_s=min(edge, 1e9), log_half_width=width))
            pending[:] = False
    return tuple(bands)


def _half_widths(bands: Sequence[Band], predicted: Floats) -> Floats:
    import numpy as np

    edges = np.array([band.up_to_s for band in bands[:-1]])
    widths = np.array([band.log_half_width for band in bands])
    return np.asarray(widths[np.searchsorted(edges, predicted)], dtype=np.float64)


def _learning(family: str, samples: Samples, form: FormName) -> tuple[LearningPoint, ...]:
    """The error on one part when only some of the other networks had been measured."""
    import numpy as np

    held = np.flatnonzero(samples.network % PARTS == 0)
    others = np.flatnonzero(samples.network % PARTS != 0)
    networks = sorted(set(samples.network[others].tolist()))
    found = []
    for share in _LEARNING_SHARES:
        kept = networks[: math.ceil(share * len(networks))]
        inside = others[np.isin(samples.network[others], kept)]
        if not len(held) or len(inside) < FEWEST_FOR_TREES:
            continue
        forms: list[FormName] = ["trend", "ensemble"] if form == "ensemble" else ["trend"]
        fitted = replace(_fit(family, samples[inside], forms), form=form)
        error = _form_error(form, _predicted(fitted, samples[held]), samples.seconds[held])
        found.append(LearningPoint(networks=len(kept), median_error=error.median_error))
    return tuple(found)


def _whole_models(networks: Sequence[TimedNetwork], rows: Floats) -> tuple[CallCosts, float, tuple[float, ...]]:
    """What models take beyond their kernels, the error they share, and each network's own."""
    import numpy as np
    from scipy.optimize import least_squares

    whole = np.array([np.median(network.whole_s) for network in networks])
    measured = np.array([sum(float(np.median(one)) for one in network.kernel_s) for network in networks])
    counts = np.array([sum(not is_free(kernel) for kernel in network.kernels) for network in networks])
    empty = np.array([network.empty_call_s for network in networks])

    def model(parameters: Floats, kernels_s: Floats) -> Floats:
        per_kernel, per_call, empty_calls = parameters
        found: Floats = kernels_s + empty_calls * empty + (per_kernel * counts + per_call) * 1e-6
        return np.maximum(found, kernels_s / 2)

    fitted = least_squares(
        lambda parameters: np.log(model(parameters, measured) / whole),
        (0.5, 5.0, 0.5),
        loss="soft_l1",
        f_scale=0.05,
    )
    row_of = {network.number: index for index, network in enumerate(networks)}
    which = np.array([row_of[int(number)] for number in rows[:, 0]])
    summed = np.bincount(which, weights=rows[:, 3], minlength=len(networks))
    free = np.array(
        [
            sum(
                float(np.median(one))
                for kernel, one in zip(network.kernels, network.kernel_s, strict=True)
                if is_free(kernel)
            )
            for network in networks
        ]
    )
    predicted = model(fitted.x, summed + free)
    errors = predicted / whole - 1
    half = np.maximum(rows[:, 3] - rows[:, 4], rows[:, 5] - rows[:, 3])
    own = np.bincount(which, weights=half**2, minlength=len(networks)) ** 0.5 / np.maximum(summed, 1e-9)
    # What of each error the kernels' own intervals do not explain.
    needed = np.sqrt(np.maximum(errors**2 - own**2, 0))
    per_kernel, per_call, empty_calls = (float(each) for each in fitted.x)
    call = CallCosts(per_kernel_s=per_kernel * 1e-6, per_call_s=per_call * 1e-6, empty_calls=empty_calls)
    return call, conformal_quantile(needed), tuple(float(error) for error in errors)
