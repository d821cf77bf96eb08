"""The report on a profile: where the time of a model goes on one machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offload.artifacts.estimate import Estimate, median_estimate
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
        time_s = median_estimate(profile.group_samples_s[:, number].tolist())
        costs.append(
            GroupCost(
                layers=tuple(layer.name for layer in layers),
                kind=max(layers, key=lambda layer: layer.flops).kind,
                outputs=_outputs(graph, group),
                flops=sum(layer.flops for layer in layers),
                time_s=time_s,
                share=time_s.value / profile.whole.value,
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
        profile: A measured or assumed profile.
        all_layers: Every group in the graph's order rather than the slowest, slowest first.
    """
    costs = group_costs(profile)
    model, runtime = profile.model, profile.runtime
    threads = f"{runtime.threads} thread{'' if runtime.threads == 1 else 's'}"
    title = f"{model.name}, batch {model.batch}, {model.precision}, on {runtime.device} ({threads}, {runtime.name})"
    if profile.source == "assumed":
        title = f"{model.name}, batch {model.batch}, assumed from the preset {profile.server_preset}"
    sections = [_layers(costs, all_layers), _totals(profile)]
    if profile.source == "measured":
        sections.append(_measuring(profile))
    warnings = profile_warnings(profile)
    if warnings:
        sections.append(Section(title="Before you rely on this", lines=warnings))
    return Report(title=title, sections=tuple(sections), records=tuple(map(_record, costs)))


def _layers(costs: Sequence[GroupCost], all_layers: bool) -> Section:
    shown = costs if all_layers else sorted(costs, key=lambda cost: cost.time_s.value, reverse=True)[:SLOWEST]
    title = (
        "Layers" if len(shown) == len(costs) else f"The slowest {len(shown)} of {len(costs)} (--all shows every one)"
    )
    columns = ("layer", "kind", "output", "size", "operations", "median", "95 % interval", "share", "achieved")
    return Section(
        title=title,
        columns=columns,
        rows=tuple(map(_row, shown)),
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
    }


def _totals(profile: Profile) -> Section:
    whole = profile.whole
    rows: list[tuple[Cell, ...]] = [
        ("whole model", seconds(whole), interval(whole, "s")),
        ("operations (a multiply-accumulate is two)", Quantity(value=profile.graph.flops, unit="FLOP"), ""),
        ("achieved", Quantity(value=profile.graph.flops / whole.value, unit="FLOP/s"), ""),
    ]
    if profile.power_w is not None:
        energy = whole.scaled(profile.power_w)
        watts = human(Quantity(value=profile.power_w, unit="W"))
        rows.append((f"energy, modelled: {watts} declared × time", joules(energy), interval(energy, "J")))
    return Section(title="Totals", columns=("", "value", "95 % interval"), rows=tuple(rows))


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
    disturbed = f" ({dirty} disturbed and left out)" if dirty else ""
    return Section(
        title="How it was measured",
        columns=("", "value"),
        rows=rows,
        lines=(f"{rounds} rounds{disturbed}, stopped by: {profile.stopped}{precision}",),
    )
