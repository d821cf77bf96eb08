"""The report on a profile: where the time of a model goes on one machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offload.artifacts.estimate import Estimate, median_estimate
from offload.artifacts.prediction import Prediction
from offload.artifacts.profile import KernelGroup, Profile
from offload.graph.model_graph import ModelGraph, Tensor
from offload.reports.document import (
    Cell,
    Quantity,
    Report,
    Scalar,
    Section,
    change,
    estimate_record,
    fraction,
    human,
    interval,
    joules,
    seconds,
    watts,
)
from offload.reports.names import abbreviated
from offload.reports.profile_warnings import profile_warnings

SLOWEST = 10


@dataclass(frozen=True, kw_only=True)
class GroupCost:
    """Layers that are executed as a unit and what they cost."""

    layers: tuple[str, ...]
    kind: str
    """Kind of the layer with the most operations."""
    outputs: tuple[Tensor, ...]
    """Tensors that leave the group."""
    flops: int
    time_s: Estimate
    share: float
    """Fraction of the whole's time."""
    energy_j: Estimate | None
    """Gross joules of one run; None when there is no reading and no power."""
    prediction: Prediction | None
    """How far a predicted time can be trusted."""

    @property
    def output_bytes(self) -> int:
        """Bytes that leave the group."""
        return sum(tensor.size_bytes for tensor in self.outputs)

    @property
    def flops_per_s(self) -> float | None:
        """Achieved rate; None where nothing is computed or no time is taken."""
        return self.flops / self.time_s.value if self.flops and self.time_s.value else None


def group_costs(profile: Profile) -> list[GroupCost]:
    """The groups of a profile in the order of the graph, their times closed against the unprofiled whole."""
    graph, costs = profile.graph, []
    for number, group in enumerate(profile.groups):
        layers = [graph.layers[index] for index in group.layers]
        predicted = profile.source == "predicted"
        time_s = (
            profile.time_of([number]) if predicted else median_estimate(profile.group_samples_s[:, number].tolist())
        )
        costs.append(
            GroupCost(
                layers=tuple(layer.name for layer in layers),
                kind=profile.group_kinds[number],
                outputs=_outputs(graph, group),
                flops=sum(layer.flops for layer in layers),
                time_s=time_s,
                share=time_s.value / profile.whole.value,
                energy_j=profile.energy_of([number]),
                prediction=group.prediction,
            )
        )
    return costs


def _outputs(graph: ModelGraph, group: KernelGroup) -> tuple[Tensor, ...]:
    inside = set(group.layers)
    return tuple(
        graph.tensor_by_name[name]
        for index in group.layers
        for name in graph.layers[index].outputs
        if name in graph.outputs or not inside.issuperset(graph.consumers[name])
    )


def profile_report(profile: Profile, *, all_layers: bool = False) -> Report:
    """What each layer costs, how that was measured, and how far to trust it.

    Args:
        profile: A profile of any source.
        all_layers: Every group in the graph's order rather than the slowest, slowest first.
    """
    costs = group_costs(profile)
    model, runtime = profile.model, profile.runtime
    threads = f"{runtime.threads} thread{'' if runtime.threads == 1 else 's'}"
    how = ", ".join(
        [threads, runtime.name]
        + ["channels last"] * runtime.channels_last
        + ["compiled; layers as timed uncompiled"] * runtime.compiled
        + [f"imported from {profile.imported_from}"] * (profile.source == "imported")
        + ["predicted from fitted costs"] * (profile.source == "predicted")
    )
    title = f"{model.name}, batch {model.batch}, {model.precision}, on {runtime.device} ({how})"
    if profile.source == "assumed":
        title = f"{model.name}, batch {model.batch}, assumed from the preset {profile.server_preset}"
    sections = [_layers(costs, all_layers), _totals(profile)]
    if profile.source == "measured":
        sections.append(_measuring(profile))
    if profile.source == "imported":
        sections.append(_importing(profile))
    if profile.source == "predicted":
        sections += [_predicting(profile), *_beyond(costs, all_layers)]
    warnings = profile_warnings(profile)
    if warnings:
        sections.append(Section(title="Before you rely on this", lines=warnings))
    records = tuple({**_record(cost), "energy_source": profile.energy_source} for cost in costs)
    return Report(title=title, sections=tuple(sections), records=records)


def _layers(costs: Sequence[GroupCost], all_layers: bool) -> Section:
    shown = costs if all_layers else sorted(costs, key=lambda cost: cost.time_s.value, reverse=True)[:SLOWEST]
    title = (
        "Layers" if len(shown) == len(costs) else f"The slowest {len(shown)} of {len(costs)} (--all shows every one)"
    )
    columns: tuple[str, ...] = (
        "layer", "kind", "output", "size", "operations", "median", "95 % interval", "share", "achieved",
    )  # fmt: skip
    rows = tuple(map(_row, shown))
    if all(cost.energy_j is not None for cost in costs):
        columns = (*columns, "energy")
        rows = tuple((*row, joules(cost.energy_j)) for row, cost in zip(rows, shown, strict=True))
    return Section(
        title=title,
        columns=columns,
        rows=rows,
        expendable=("output", "achieved", "operations", "kind", "size"),
    )


def _row(cost: GroupCost) -> tuple[Cell, ...]:
    return (
        abbreviated(cost.layers),
        cost.kind,
        _shape(cost.outputs),
        Quantity(value=cost.output_bytes, unit="B"),
        Quantity(value=cost.flops, unit="FLOP"),
        seconds(cost.time_s),
        interval(cost.time_s, "s"),
        fraction(cost.share),
        Quantity(value=cost.flops_per_s, unit="FLOP/s"),
    )


def _shape(outputs: Sequence[Tensor]) -> str:
    if not outputs:
        return ""
    more = f" (+{len(outputs) - 1})" if len(outputs) > 1 else ""
    return "×".join(map(str, outputs[0].shape)) + more


def _record(cost: GroupCost) -> dict[str, Scalar]:
    return {
        "layers": " + ".join(cost.layers),
        "kind": cost.kind,
        "output_shape": _shape(cost.outputs).replace("×", "x"),
        "output_bytes": cost.output_bytes,
        "flops": cost.flops,
        **estimate_record("median", "s", cost.time_s),
        "share_of_whole": cost.share,
        "achieved_flops_per_s": cost.flops_per_s,
        **estimate_record("energy", "j", cost.energy_j),
        "predicted_by": None if cost.prediction is None else cost.prediction.form,
        "beyond_samples": None if cost.prediction is None else " + ".join(cost.prediction.beyond),
    }


def _totals(profile: Profile) -> Section:
    whole = profile.whole
    rows: list[tuple[Cell, ...]] = [
        ("whole model", seconds(whole), interval(whole, "s")),
        ("operations (a multiply-accumulate is two)", Quantity(value=profile.graph.flops, unit="FLOP"), ""),
        ("achieved", Quantity(value=profile.graph.flops / whole.value, unit="FLOP/s"), ""),
    ]
    rows += _dividing(profile)
    rows += _energy(profile)
    return Section(title="Totals", columns=("", "value", "95 % interval"), rows=tuple(rows))


def _dividing(profile: Profile) -> list[tuple[Cell, ...]]:
    """What a part of the model takes beyond its layers."""
    if not profile.divided:
        return []
    costs = profile.dividing
    head, tail = (_not_below_zero(extra) for extra in (costs.head_s, costs.tail_s))
    return [
        ("of which any call takes", seconds(costs.call_s), ""),
        ("divided, the first part takes more", seconds(head), interval(head, "s")),
        ("divided, the second part takes more", seconds(tail), interval(tail, "s")),
    ]


def _not_below_zero(estimate: Estimate) -> Estimate:
    return Estimate(value=estimate.value, low=max(0.0, estimate.low), high=estimate.high)


def _energy(profile: Profile) -> list[tuple[Cell, ...]]:
    energy, idle_w = profile.energy, profile.idle_power_w
    rows: list[tuple[Cell, ...]] = []
    if energy is not None:
        rows += [
            (f"energy, {energy.source}, run after run", joules(energy.whole_j), interval(energy.whole_j, "J")),
            ("energy above idle", joules(energy.above_idle_j), interval(energy.above_idle_j, "J")),
            ("mean power", watts(energy.whole_power_w), interval(energy.whole_power_w, "W")),
            ("idle power", watts(energy.idle_power_w), interval(energy.idle_power_w, "W")),
        ]
        if idle_w is not None and idle_w != energy.idle_power_w.value:
            rows.append(("idle power, declared: what plans take", watts(idle_w), ""))
        return rows
    modelled = profile.energy_of(range(len(profile.groups)))
    fitted = profile.fitted_costs
    source = None if fitted is None else fitted.power_source
    if profile.power_w is not None:
        modelled = profile.whole.scaled(profile.power_w)
        declared = human(watts(profile.power_w))
        rows.append((f"energy, modelled: {declared} declared × time", joules(modelled), interval(modelled, "J")))
    elif modelled is not None:
        rows.append(("energy, modelled: power of each kind × time", joules(modelled), interval(modelled, "J")))
        rows.append(("mean power", watts(modelled.value / profile.whole.value), ""))
    if idle_w is not None:
        rows.append(("idle power" if source is not None else "idle power, declared", watts(idle_w), ""))
    return rows


def _measuring(profile: Profile) -> Section:
    reached = profile.precision_reached
    precision = f", interval ±{human(fraction(reached))} of the median" if reached is not None else ""
    rows: tuple[tuple[Cell, ...], ...] = (
        ("raw layer sum", seconds(profile.raw_sum_s)),
        ("unprofiled whole, the truth", seconds(profile.whole)),
        ("gap, spread over the kernels", change(profile.raw_gap)),
        ("profiler's own slowing", change(profile.profiler_inflation)),
    )
    rounds, dirty = len(profile.whole_s), len(profile.dirty_rounds)
    kept = len(profile.clean_rounds) == rounds
    disturbed = f" ({dirty} disturbed{'' if kept else ' and left out'})" if dirty else ""
    return Section(
        title="How it was measured",
        columns=("", "value"),
        rows=(*rows, *_energy_measuring(profile)),
        lines=(f"{rounds} rounds{disturbed}, stopped by: {profile.stopped}{precision}",),
    )


def _importing(profile: Profile) -> Section:
    runs, left_out, declared = len(profile.whole_s), profile.warm_up_runs, profile.whole_declared
    warm_up = f", after {left_out} that {'was' if left_out == 1 else 'were'} left out as warm-up" if left_out else ""
    return Section(
        title="How it was imported",
        columns=("", "value"),
        rows=(
            ("sum of the layers" if declared else "sum of the layers: what plans take", seconds(profile.raw_sum_s)),
            ("whole, as the tool tells it", seconds(median_estimate(profile.profiled_s))),
            *([("whole, declared: what plans take", seconds(profile.whole))] if declared else ()),
            ("sum against the whole", change(profile.raw_gap)),
            ("time that names no layer", fraction(profile.unmatched_share)),
        ),
        lines=(f"{runs} run{'' if runs == 1 else 's'}{warm_up}",),
    )


def _predicting(profile: Profile) -> Section:
    fitted = profile.fitted_costs
    rows: list[tuple[Cell, ...]] = [
        ("a model's own error: half width of its 90 % interval", fraction(profile.shared_error)),
        ("time in layers beyond what was sampled", fraction(profile.beyond_share)),
        ("time in layers with kernels of no sampled kind", fraction(profile.unknown_share)),
    ]
    if fitted is not None and fitted.power_source is not None and profile.power_w is None:
        rows.append(("power of each kind, modelled", f"from what {fitted.power_source} read of whole networks"))
    lines = ["the model was not run"]
    if fitted is not None:
        lines = [
            f"the model was not run: from costs fitted {fitted.created_at[:10]} on {fitted.networks} random networks, "
            f"{profile.runtime.name} {fitted.runtime_version}, {fitted.processor}"
        ]
        if fitted.predictor == "neurosurgeon":
            lines.append("by Neurosurgeon's own regressions, whose intervals suppose Laplace's errors")
        if profile.reference_s:
            speed = human(seconds(median_estimate(profile.reference_s)))
            lines.append(f"for the speed of this machine now, at which the reference kernel takes {speed}")
    return Section(title="How it was predicted", columns=("", "value"), rows=tuple(rows), lines=tuple(lines))


def _beyond(costs: Sequence[GroupCost], all_layers: bool) -> list[Section]:
    """The layers whose kernels are larger or smaller than any that was sampled, or of no sampled kind."""
    found = [one for one in costs if one.prediction and (one.prediction.beyond or one.prediction.form == "unknown")]
    found.sort(key=lambda one: one.time_s.value, reverse=True)
    shown = found if all_layers else found[:SLOWEST]
    if not shown:
        return []
    rows = tuple(
        (
            abbreviated(one.layers),
            one.kind,
            fraction(one.share),
            "no sample of its kind" if one.prediction.form == "unknown" else ", ".join(one.prediction.beyond),
        )
        for one in shown
        if one.prediction is not None
    )
    more = len(found) - len(shown)
    return [
        Section(
            title="Beyond what was sampled: told by the trend",
            columns=("layer", "kind", "share", "what of it"),
            rows=rows,
            lines=(f"and {more} more (--all shows every one)",) if more else (),
            expendable=("kind",),
        )
    ]


def _energy_measuring(profile: Profile) -> tuple[tuple[Cell, ...], ...]:
    energy, shares = profile.energy, profile.energy_shares
    if energy is None or shares is None:
        return ()
    windows = [*energy.idle, *energy.whole, *(window for one in energy.groups for window in one.windows)]
    shortest_s = min(window.seconds for window in windows)
    periods = round(shortest_s / energy.sensor_period_s)
    measured_s = sum(float(profile.group_medians_s[one.group]) for one in energy.groups)
    count, of = len(energy.groups), len(profile.groups)
    rows: tuple[tuple[Cell, ...], ...] = (
        (f"measured period of {energy.sensor}", seconds(energy.sensor_period_s)),
        (f"shortest of {len(windows)} energy windows, {periods} periods", seconds(shortest_s)),
        (f"time in the {count} of {of} groups metered alone", fraction(measured_s / profile.whole.value)),
        ("energy of the groups against the whole, closed", change(shares.raw_gap)),
    )
    if energy.cross_check is None:
        return rows
    return (*rows, ("integrated power against the counter", change(energy.cross_check)))
