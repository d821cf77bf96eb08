"""The report on fitted costs: how well each kind of kernel, and a whole model, is predicted that was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from offload.artifacts.costs import Costs, FamilyCosts, FormName, Range
from offload.reports.costs_warnings import costs_warnings, reference_spread
from offload.reports.document import (
    Cell,
    Quantity,
    Report,
    Scalar,
    Section,
    change,
    fraction,
    seconds,
    watts,
)

if TYPE_CHECKING:
    from offload.reports.picture import Picture

_FORMS: Mapping[FormName, str] = {
    "linear": "linear (paper)",
    "logarithmic": "log (paper)",
    "trend": "trend",
    "ensemble": "with trees",
}
_WITHIN = (0.05, 0.1, 0.2)
_MOST_POINTS = 1500
"""Of one kind in a picture; more make it slow to draw and no clearer."""


def costs_report(costs: Costs, *, ranges: bool = False) -> Report:
    """Errors by kind and form, the whole models' errors, and how all of it was measured.

    Args:
        costs: Fitted costs.
        ranges: With the range of every feature that was sampled.
    """
    sections = [_kinds(costs), _forms(costs), _whole(costs), _how(costs)]
    if ranges:
        sections.append(_ranges(costs))
    warnings = costs_warnings(costs)
    if warnings:
        sections.append(Section(title="Before you rely on this", lines=warnings))
    runtime = costs.runtime
    threads = f"{runtime.threads} thread{'' if runtime.threads == 1 else 's'}"
    return Report(
        title=f"Costs of kernels on {runtime.device} ({threads}, {runtime.name} {runtime.version}, {costs.precision}), "
        f"fitted on {costs.networks} random networks",
        sections=tuple(sections),
        records=tuple(_record(costs, family) for family in costs.families),
    )


def _kinds(costs: Costs) -> Section:
    metered = any(family.power_w is not None for family in costs.families)
    rows = []
    for family in costs.families:
        error = next(one for one in family.errors if one.form == family.form)
        cells: list[Cell] = [
            family.family,
            Quantity(value=family.samples, unit="count"),
            Quantity(value=family.networks, unit="count"),
            _FORMS[family.form],
            fraction(error.median_error),
            fraction(error.within_tenth),
            fraction(family.coverage),
            _learning(family),
        ]
        rows.append((*cells, watts(family.power_w)) if metered else tuple(cells))
    columns = (
        *("kind", "kernels", "networks", "best form", "median error", "within ±10 %", "intervals hold"),
        *("error as networks grew", *["power"] * metered),
    )
    return Section(
        title="Kinds of kernels, each predicted without the network it is in",
        columns=columns,
        rows=tuple(rows),
        lines=(
            "median error and within ±10 %: of kernels of 50 µs and more, of all where there is none",
            "intervals hold: share of kernels inside their 90 % interval",
        ),
        expendable=("networks", "error as networks grew", "best form", "kernels"),
    )


def _learning(family: FamilyCosts) -> str:
    return " → ".join(f"{point.median_error * 100:.0f}" for point in family.learning) + " %" if family.learning else ""


def _forms(costs: Costs) -> Section:
    """The paper's forms always beside the others."""
    rows: list[tuple[Cell, ...]] = []
    for family in costs.families:
        errors = {one.form: one.median_error for one in family.errors}
        rows.append((family.family, *(fraction(errors.get(form)) for form in _FORMS)))
    return Section(
        title="Median error of each form",
        columns=("kind", *_FORMS.values()),
        rows=tuple(rows),
        lines=(
            "paper: Neurosurgeon's regressions on its own variables (Kang et al., ASPLOS 2017); trend: roofline terms; "
            "with trees: the trend corrected by boosted trees",
        ),
    )


def within(errors: Sequence[float], limit: float) -> float:
    """The share of relative errors that are at most a limit either way."""
    return sum(abs(error) <= limit for error in errors) / len(errors) if errors else 0.0


def _whole(costs: Costs) -> Section:
    errors, call = costs.whole_errors, costs.call
    rows: list[tuple[Cell, ...]] = [
        (f"networks within ±{limit:.0%}".replace("%", " %"), fraction(within(errors, limit))) for limit in _WITHIN
    ]
    if errors:
        middle = sorted(abs(error) for error in errors)[len(errors) // 2]
        rows += [("median error", fraction(middle)), ("mean error, signed", change(sum(errors) / len(errors)))]
    rows += [
        ("beside its kernels, each of them", _signed(call.per_kernel_s)),
        ("beside its kernels, each call", _signed(call.per_call_s)),
        ("of what an empty call takes", f"{call.empty_calls:.2f}"),
        ("shared error: half width of a model's 90 % interval", fraction(costs.shared_error)),
    ]
    return Section(title="Whole networks, predicted without them", columns=("", "value"), rows=tuple(rows))


def _signed(value: float) -> Cell:
    return seconds(value) if abs(value) >= 1e-6 or not value else f"{value * 1e9:.0f} ns"


def _how(costs: Costs) -> Section:
    environment = costs.environment
    rows: list[tuple[Cell, ...]] = [
        ("measuring", f"{costs.measuring_s / 60:.1f} min, stopped by: {costs.stopped}"),
        ("kernels timed", Quantity(value=len(costs.sample_rows), unit="count")),
        ("processor", environment.processor),
    ]
    if costs.reference_s:
        middle = sorted(costs.reference_s)[len(costs.reference_s) // 2]
        rows.append(("reference kernel meanwhile, median", seconds(middle)))
        rows.append(("its spread, tenth to ninetieth percentile", fraction(reference_spread(costs))))
    rows.append(("trees fitted by", ", ".join(f"{name} {version}" for name, version in costs.library.items())))
    if costs.power_source is not None:
        rows.append(("power of each kind", f"modelled from what {costs.power_source} read of networks"))
    if costs.power_w is not None:
        rows.append(("power, declared: models energy", watts(costs.power_w)))
    if costs.idle_power_w is not None:
        rows.append(("idle power", watts(costs.idle_power_w)))
    return Section(title="How they were fitted", columns=("", "value"), rows=tuple(rows))


def _size(one: Range, logarithm: float) -> float:
    """The size that a range's end is the logarithm of."""
    grown: float = 2.0 ** min(logarithm, 1000.0)
    return grown if one.feature == "intensity" else grown - 1


def _ranges(costs: Costs) -> Section:
    rows = tuple(
        (family.family, one.feature, f"{_size(one, one.low):.4g}", f"{_size(one, one.high):.4g}")
        for family in costs.families
        for one in family.ranges
        if one.low < one.high or one.high > 0
    )
    return Section(title="Sampled ranges", columns=("kind", "feature", "least", "most"), rows=rows)


def _record(costs: Costs, family: FamilyCosts) -> dict[str, Scalar]:
    errors = {one.form: one for one in family.errors}
    won = errors.get(family.form)
    ranges = {one.feature: one for one in family.ranges}
    record: dict[str, Scalar] = {
        "kind": family.family,
        "kernels": family.samples,
        "networks": family.networks,
        "form": family.form,
        "median_error": None if won is None else won.median_error,
        "within_tenth": None if won is None else won.within_tenth,
        "interval_coverage": family.coverage,
    }
    for form in _FORMS:
        one = errors.get(form)
        record[f"median_error_{form}"] = None if one is None else one.median_error
        record[f"within_tenth_{form}"] = None if one is None else one.within_tenth
        record[f"log_error_{form}"] = None if one is None else one.log_error
    record["learning"] = " ".join(f"{point.networks}:{point.median_error:.4f}" for point in family.learning)
    record["power_w"] = family.power_w
    for feature in dict.fromkeys(one.feature for each in costs.families for one in each.ranges):
        found = ranges.get(feature)
        name = feature.replace(" ", "_").replace("'", "")
        record[f"{name}_least"] = None if found is None else _size(found, found.low)
        record[f"{name}_most"] = None if found is None else _size(found, found.high)
    return record


def costs_picture(costs: Costs) -> Picture:
    """Predicted against measured, both logarithmic, by kind, with a band of 10 % either way."""
    import numpy as np

    from offload.reports.picture import Panel, Picture, Series

    rows = np.asarray(costs.sample_rows, dtype=np.float64)
    rows = rows[(rows[:, 2:4] > 0).all(axis=1) & (rows[:, 1] >= 0) & (rows[:, 1] < len(costs.families))]
    kinds = np.array([costs.families[int(index)].family.partition(" ")[0] for index in rows[:, 1]])
    names, counts = np.unique(kinds, return_counts=True)
    series = []
    for name in names[np.argsort(-counts)]:
        own = rows[kinds == name]
        own = own[:: -(-len(own) // _MOST_POINTS)]
        series.append(
            Series(label=str(name), x=(own[:, 2] * 1e6).tolist(), y=(own[:, 3] * 1e6).tolist(), style="points")
        )
    times = rows[:, 2:4] * 1e6
    ends = [float(times.min()), float(times.max())] if len(rows) else [1.0, 10.0]
    series.append(Series(label="", x=ends, y=ends, color="gray"))
    for label, factor in (("±10 %", 1.1), ("", 1 / 1.1)):
        series.append(Series(label=label, x=ends, y=[end * factor for end in ends], style="dashed", color="gray"))
    panel = Panel(
        series=series, x_label="measured, µs", y_label="predicted without the kernel's network, µs",
        log_x=True, log_y=True, height=2.8, legend="upper left",
    )  # fmt: skip
    runtime = costs.runtime
    return Picture(
        title=f"Kernels on {runtime.device}, {runtime.threads} thread{'' if runtime.threads == 1 else 's'}, "
        f"{runtime.name} {runtime.version}",
        panels=[panel],
    )
