"""A profile of a model that was not run: each of its kernels predicted from fitted costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.base import MOST
from offload.artifacts.costs import Costs, FamilyCosts
from offload.artifacts.prediction import FittedCosts, Prediction, Predictor
from offload.artifacts.profile import KernelGroup, ModelIdentity, Profile, RuntimeIdentity
from offload.errors import OffloadError, UsageError
from offload.graph.model_graph import ModelGraph
from offload.models.executed import ExecutedBlock, Kernel
from offload.predictors.families import predict_by_paper, predict_family
from offload.predictors.features import (
    FEATURES,
    TERMS,
    family_of,
    feature_matrix,
    is_free,
    kind_of_family,
    paper_variables,
    surroundings,
    terms,
)
from offload.predictors.forms import trend_s
from offload.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_FREE_S = 1e-6
"""A kernel that only renames a shape takes about this."""
_UNKNOWN_WIDTH = 1.6
"""Half width, in logarithms, of the interval of a kernel whose kind was never sampled: a factor of five."""
_MOST_S = 1e6
"""No run of a model takes eleven days."""
MOST_UNKNOWN = 0.1
"""Share of the time that may be of kinds without a sample: with more, the whole would be a guess."""
_WORTH_NAMING = 0.01


@dataclass(frozen=True, kw_only=True)
class PredictedKernel:
    """What one kernel takes."""

    family: str
    seconds: float
    log_half_width: float
    """Of the 90 % interval."""
    beyond: tuple[str, ...] = ()
    """Features outside what was sampled."""
    known: bool = True
    """Whether its kind was sampled."""
    power_w: float | None = None
    """Gross power while it runs; None when the costs have none."""


def check_costs(costs: Costs, runtime: RuntimeIdentity, precision: str) -> None:
    """Refuse costs of something else than what is asked about.

    Raises:
        UsageError: they were fitted for another runtime, device, number of threads or precision.
        OffloadError: another version of offload fitted them, with other features of kernels.
    """
    _check_readable(costs)
    fitted = costs.runtime
    again = {
        "--threads": f"fit again: offload fit --threads {runtime.threads}",
        "--dtype": f"fit again: offload fit --runtime {runtime.name} --dtype {precision}",
    }
    for what, theirs, ours, option in (
        ("precision", costs.precision, precision, "--dtype"),  # first, since it may have chosen the runtime
        ("runtime", fitted.name, runtime.name, "--runtime"),
        ("device", fitted.device, runtime.device, "--device"),
        ("number of threads", fitted.threads, runtime.threads, "--threads"),
    ):
        if theirs != ours:
            other = again.get(option, "profile the model itself")
            raise UsageError(
                f"the costs were fitted for the {what} {theirs}, not {ours}", hint=f"add {option} {theirs}, or {other}"
            )


def _check_readable(costs: Costs) -> None:
    readable = costs.features == FEATURES and all(
        len(one.trend) == len(TERMS) and [form.logarithmic for form in one.paper] == [False, True]
        for one in costs.families
    )
    if not readable:
        raise OffloadError(
            f"the costs were fitted by another build of offload ({costs.tool_version}), which described kernels in "
            f"another way than this one ({__version__})",
            hint="fit again: offload fit",
        )


def predict_kernels(
    costs: Costs,
    kernels: Sequence[Kernel],
    *,
    reference_s: float | None = None,
    predictor: Predictor = "fitted",
) -> list[PredictedKernel]:
    """What the kernels of one model take, in their order.

    Args:
        costs: Fitted on the device.
        kernels: All that the model executes.
        reference_s: What the reference kernel takes there now; None for what it took at the median while fitting.
        predictor: Which of the fitted forms tells the times.
    """
    import numpy as np

    if not kernels:
        return []
    if reference_s is None:
        reference_s = float(np.median(costs.reference_s))
    order = sorted(range(len(kernels)), key=lambda index: kernels[index].position)
    around = surroundings([kernels[index] for index in order], reference_s)
    among = dict(zip(order, around, strict=True))
    matrix = feature_matrix(kernels, [among[index] for index in range(len(kernels))])
    roofline = np.array(
        [terms(kernel, first_call=among[index].calls_before == 0) for index, kernel in enumerate(kernels)]
    )
    variables = [paper_variables(kernel) for kernel in kernels]
    families = [family_of(kernel) for kernel in kernels]
    found: dict[int, PredictedKernel] = {}
    for family in set(families):
        chosen = [index for index, name in enumerate(families) if name == family and not is_free(kernels[index])]
        if not chosen:
            continue
        fitted = costs.by_family.get(family)
        if fitted is None:
            seconds = trend_s(_stand_in(costs, kind_of_family(family)).trend, roofline[chosen])
            for index, each in zip(chosen, seconds, strict=True):
                found[index] = PredictedKernel(
                    family=family, seconds=float(each), log_half_width=_UNKNOWN_WIDTH, known=False
                )
            continue
        if any(set(form.variables) - set(variables[chosen[0]]) for form in fitted.paper):
            raise OffloadError(
                f"the costs of {family} are over variables that such kernels do not have", hint="fit again: offload fit"
            )
        if predictor == "neurosurgeon":
            by_paper, width = predict_by_paper(fitted, [variables[index] for index in chosen])
            for index, each in zip(chosen, by_paper, strict=True):
                found[index] = PredictedKernel(
                    family=family, seconds=float(each), log_half_width=width, power_w=fitted.power_w
                )
            continue
        predicted = predict_family(fitted, matrix[chosen], roofline[chosen], [variables[index] for index in chosen])
        for index, each, beyond in zip(chosen, predicted.seconds, predicted.beyond, strict=True):
            width = _width(fitted, float(each)) * (2 if beyond else 1)
            found[index] = PredictedKernel(
                family=family, seconds=float(each), log_half_width=width, beyond=beyond, power_w=fitted.power_w
            )
    free = PredictedKernel(family="shape free", seconds=_FREE_S, log_half_width=1.0)
    return [found.get(index, free) for index in range(len(kernels))]


def _stand_in(costs: Costs, kind: str) -> FamilyCosts:
    """What is nearest to a family without samples: its kind's largest, or the slowest kind there is."""
    same = [one for one in costs.families if kind_of_family(one.family) == kind]
    return max(same or costs.families, key=lambda one: one.samples if same else one.trend[0])


def _width(fitted: FamilyCosts, seconds: float) -> float:
    return next(
        (band.log_half_width for band in fitted.bands if seconds <= band.up_to_s), fitted.bands[-1].log_half_width
    )


def predicted_profile(
    graph: ModelGraph,
    model: ModelIdentity,
    runtime: RuntimeIdentity,
    costs: Costs,
    blocks: Sequence[ExecutedBlock],
    *,
    reference_s: Sequence[float] = (),
    empty_call_s: Sequence[float] = (),
    predictor: Predictor = "fitted",
) -> Profile:
    """The profile of a model as fitted costs tell it.

    Args:
        graph: The model's layers.
        model: Which model.
        runtime: What would run it; see `check_costs`.
        costs: Fitted on the device it is about.
        blocks: What the runtime would execute.
        reference_s: The reference kernel timed on the device now, if it is at hand: how fast it is just then.
        empty_call_s: The same of a call that computes next to nothing.
        predictor: Which of the fitted forms tells the times.

    Raises:
        UsageError: the costs are of another device, runtime, thread count or precision.
        OffloadError: too much of the time is in kinds that were never sampled.
    """
    import math
    from statistics import median

    check_costs(costs, runtime, model.precision)
    kernels = [kernel for block in blocks for kernel in block.kernels]
    reference = median(reference_s) if reference_s else None
    empty = median(empty_call_s or costs.empty_call_s)
    predicted = predict_kernels(costs, kernels, reference_s=reference, predictor=predictor)
    _refuse_unknown(predicted)
    call = costs.call
    kernels_s = sum(one.seconds for one in predicted)
    counted = sum(not is_free(kernel) for kernel in kernels)
    beside_s = call.per_kernel_s * counted + call.per_call_s + call.empty_calls * empty
    whole_s = max(kernels_s + beside_s, kernels_s / 2, 1e-9)
    if not whole_s <= _MOST_S:
        raise OffloadError(
            f"the costs tell of a run of {whole_s:.3g} s, which cannot be true", hint="fit again: offload fit"
        )
    factor = whole_s / kernels_s if kernels_s else 1.0
    groups, position = [], 0
    for block in blocks:
        own = predicted[position : position + len(block.kernels)]
        position += len(block.kernels)
        seconds = sum(one.seconds for one in own)
        # Kernels of one block follow one another and stray together.
        low = sum(one.seconds * math.exp(-one.log_half_width) for one in own)
        high = sum(one.seconds * math.exp(one.log_half_width) for one in own)
        beyond = tuple(sorted({name for one in own for name in one.beyond}))
        known = all(one.known for one in own)
        groups.append(
            KernelGroup(
                layers=block.layers,
                kernels=len(own),
                samples_s=(seconds * factor,),
                prediction=Prediction(
                    low_s=low * factor,
                    high_s=min(high * factor, MOST),
                    form="unknown" if not known else "trend" if beyond else "ensemble",
                    beyond=beyond,
                    power_w=_power_w(own, costs),
                ),
            )
        )
    whole = (sum(group.samples_s[0] for group in groups) or whole_s,)
    return Profile.create(
        model=model,
        graph=graph,
        source="predicted",
        runtime=runtime,
        whole_s=whole,
        profiled_s=whole,
        groups=tuple(groups),
        reference_s=tuple(reference_s),
        empty_call_s=tuple(empty_call_s),
        stopped="not measured",
        shared_error=costs.shared_error,
        fitted_costs=FittedCosts(
            created_at=costs.created_at,
            networks=costs.networks,
            runtime_version=costs.runtime.version,
            processor=costs.environment.processor,
            power_source=costs.power_source,
            predictor=predictor,
        ),
        power_w=costs.power_w,
        idle_power_w=costs.idle_power_w,
        protocol=costs.protocol,
    )


def _power_w(kernels: Sequence[PredictedKernel], costs: Costs) -> float | None:
    """Power of kernels that follow one another; those whose kind has none draw the mean of the kinds by samples."""
    known = [(one.power_w, one.samples) for one in costs.families if one.power_w is not None]
    if not known:
        return None
    mean_w = sum(watts * samples for watts, samples in known) / sum(samples for _, samples in known)
    seconds = sum(one.seconds for one in kernels)
    return sum(one.seconds * (one.power_w or mean_w) for one in kernels) / seconds if seconds else mean_w


def _refuse_unknown(predicted: Sequence[PredictedKernel]) -> None:
    total = sum(one.seconds for one in predicted)
    unknown: dict[str, float] = {}
    for one in predicted:
        if not one.known:
            unknown[one.family] = unknown.get(one.family, 0.0) + one.seconds
    if total and sum(unknown.values()) > MOST_UNKNOWN * total:
        shares = sorted(((seconds / total, family) for family, seconds in unknown.items()), reverse=True)
        named = ", ".join(
            f"{family} ({100 * share:.0f} % of the time)" for share, family in shares if share >= _WORTH_NAMING
        )
        raise OffloadError(
            f"the costs have no samples of {named}",
            hint="fit again with a larger --budget, or profile the model itself",
        )
