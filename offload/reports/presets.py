"""The reports on presets: what is published of each device, and one scaled to known latencies."""

from __future__ import annotations

from collections.abc import Iterable

from offload.artifacts.preset import CalibratedPreset, Preset
from offload.graph.model_graph import LAYER_KINDS
from offload.reports.document import Quantity, Report, Scalar, Section, change, seconds, watts


def presets_report(presets: Iterable[Preset]) -> Report:
    """A report on presets, in the order given; they share one table of assumed efficiencies."""
    known = tuple(presets)
    return Report(
        title="Presets: devices by what is published of them",
        sections=(
            Section(
                title="",
                columns=("name", "", "peak", "memory", "power", "a launch", "source"),
                rows=tuple(
                    (
                        preset.name,
                        preset.processor.upper(),
                        Quantity(value=preset.peak_flops_per_s, unit="FLOP/s"),
                        Quantity(value=preset.bandwidth_bytes_per_s, unit="B/s"),
                        watts(preset.power_w),
                        seconds(preset.launch_s),
                        preset.source,
                    )
                    for preset in known
                ),
                expendable=("source", "a launch"),
                lines=(
                    "32-bit floating point without tensor cores; a multiply-accumulate is two operations.",
                    *_efficiency_lines(known[0]),
                    "A launch is what starting a layer takes; JSON and CSV say where each comes from.",
                ),
            ),
        ),
        records=tuple(_record(preset) for preset in known),
    )


def preset_report(calibrated: CalibratedPreset) -> Report:
    """A report on a preset that was scaled to known latencies."""
    preset = calibrated.preset
    factors = {"computing": preset.compute_factor, "moving bytes": preset.memory_factor}
    how = (
        "one factor, from one latency"
        if calibrated.form == "single"
        else f"two factors, the least squares of log errors over {len(calibrated.figures)} latencies"
    )
    return Report(
        title=f"{preset.name}: {calibrated.base} scaled to known latencies",
        sections=(
            Section(
                title="",
                columns=("model", "batch", "known", "before", "now", "residual"),
                rows=tuple(
                    (
                        figure.model,
                        Quantity(value=figure.batch, unit="count"),
                        seconds(figure.known_s),
                        seconds(figure.before_s),
                        seconds(figure.fitted_s),
                        change(figure.residual),
                    )
                    for figure in calibrated.figures
                ),
            ),
            Section(
                title="Factors on what peak rates and assumed efficiency give",
                columns=("", "times"),
                rows=tuple((name, Quantity(value=factor, unit="times")) for name, factor in factors.items()),
                lines=(how, *_efficiency_lines(preset), f"published: {preset.source}"),
            ),
        ),
        records=tuple(
            {
                "model": figure.model,
                "batch": figure.batch,
                "known_s": figure.known_s,
                "before_s": figure.before_s,
                "fitted_s": figure.fitted_s,
                "residual": figure.residual,
                "compute_factor": preset.compute_factor,
                "memory_factor": preset.memory_factor,
            }
            for figure in calibrated.figures
        ),
    )


def _efficiency_lines(preset: Preset) -> tuple[str, ...]:
    by_share: dict[float, list[str]] = {}
    for kind in LAYER_KINDS:
        by_share.setdefault(preset.efficiency[kind], []).append(kind)
    shares = "; ".join(f"{share * 100:g} % for {', '.join(kinds)}" for share, kinds in sorted(by_share.items()))
    return (f"Assumed of every preset, not measured: layers reach this much of both peaks: {shares}.",)


def _record(preset: Preset) -> dict[str, Scalar]:
    return {
        "name": preset.name,
        "processor": preset.processor,
        "peak_flops_per_s": preset.peak_flops_per_s,
        "bandwidth_bytes_per_s": preset.bandwidth_bytes_per_s,
        "power_w": preset.power_w,
        "launch_s": preset.launch_s,
        "launch_source": preset.launch_source,
        "source": preset.source,
        **{f"assumed_efficiency_{kind}": preset.efficiency[kind] for kind in LAYER_KINDS},
    }
