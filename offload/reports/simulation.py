"""The report on a simulation: each strategy's requests, what the adaptive session ran, and how it went over time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING

from offload.artifacts.simulation import Simulation, Strategy, StrategyRun
from offload.reports.document import Cell, Quantity, Report, Scalar, Section, Unit, fraction, human, joules, seconds
from offload.units import format_duration

if TYPE_CHECKING:
    from offload.reports.picture import Picture

_WINDOWS = 12
_SPARKS = 60
_BLOCKS = "▁▂▃▄▅▆▇█"
_SHOWN_OPTIONS = 8
_DRAWN: tuple[Strategy, ...] = ("always server", "always device", "adaptive")


def simulation_report(simulation: Simulation) -> Report:
    """Means and tails by strategy, the cuts taken, the course of time, and what all of it assumes."""
    sections = [
        _strategies(simulation),
        _taken(simulation),
        _windows(simulation),
        _course(simulation),
        _how(simulation),
    ]
    if simulation.warnings:
        sections.append(Section(title="Before you rely on this", lines=simulation.warnings))
    count = len(simulation.started_s)
    return Report(
        title=f"Simulation of {simulation.model.name}, batch {simulation.model.batch}: {count} "
        f"request{'' if count == 1 else 's'}, one every {format_duration(simulation.every_s)}",
        sections=tuple(sections),
        records=tuple(record for run in simulation.strategies for record in _records(simulation, run)),
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile, by linear interpolation."""
    import numpy as np

    return float(np.percentile(values, percent))


def switches(run: StrategyRun) -> int:
    """How often a run went from one option to another."""
    return sum(one != other for one, other in pairwise(run.options))


def _strategies(simulation: Simulation) -> Section:
    energy = all(run.energy_j is not None for run in simulation.strategies)
    limited = simulation.limits.max_latency_s is not None or simulation.limits.max_energy_j is not None
    columns = ["", "mean", "median", "p95", "longest"]
    columns += ["energy, mean"] * energy + ["against adaptive"] + ["beyond the limits"] * limited + ["switches"]
    adaptive = _target_mean(simulation, simulation.run_of("adaptive"))
    rows = []
    for run in simulation.strategies:
        cells: list[Cell] = [
            run.strategy,
            seconds(fmean(run.latency_s)),
            seconds(percentile(run.latency_s, 50)),
            seconds(percentile(run.latency_s, 95)),
            seconds(max(run.latency_s)),
        ]
        if energy:
            cells.append(joules(simulation.mean_energy_j(run)))
        ratio = _target_mean(simulation, run) / adaptive if adaptive else None
        cells.append(Quantity(value=ratio, unit="times"))
        if limited:
            cells.append(Quantity(value=simulation.beyond_limits(run), unit="count"))
        cells.append(Quantity(value=switches(run), unit="count"))
        rows.append(tuple(cells))
    return Section(
        title="Whole requests" + (", with the mean energy of each" if energy else ""),
        columns=tuple(columns),
        rows=tuple(rows),
        lines=(f"against adaptive: of the mean {simulation.target}", *_verdict(simulation)),
        expendable=("longest", "median", "switches"),
    )


def _target_mean(simulation: Simulation, run: StrategyRun) -> float:
    energy_j = simulation.mean_energy_j(run)
    return energy_j if simulation.target == "energy" and energy_j is not None else fmean(run.latency_s)


def _verdict(simulation: Simulation) -> tuple[str, ...]:
    fixed = [run for run in simulation.strategies if run.strategy not in ("adaptive", "oracle")]
    best = min(fixed, key=lambda run: _target_mean(simulation, run))
    gained = _target_mean(simulation, best)
    adaptive = _target_mean(simulation, simulation.run_of("adaptive"))
    if not gained:
        return ()
    less = 1 - adaptive / gained
    words = f"{abs(less):.1%} {'less' if less > 0 else 'more'}" if abs(less) >= 0.0005 else "as much"
    than = "as" if words == "as much" else "than"
    return (f"adaptive: {words} {simulation.target} {than} {best.strategy}, the best of those that never change",)


def _taken(simulation: Simulation) -> Section:
    counts = {name: Counter(simulation.run_of(name).options) for name in ("adaptive", "oracle")}
    total = len(simulation.started_s)
    order = sorted(
        set(counts["adaptive"]) | set(counts["oracle"]),
        key=lambda option: (-counts["adaptive"][option], -counts["oracle"][option]),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            simulation.options[option].words,
            fraction(counts["adaptive"][option] / total),
            fraction(counts["oracle"][option] / total),
        )
        for option in order[:_SHOWN_OPTIONS]
    ]
    more = len(order) - _SHOWN_OPTIONS
    return Section(
        title="What was run",
        columns=("cut", "adaptive", "oracle"),
        rows=tuple(rows),
        lines=(f"and {more} cuts more",) if more > 0 else (),
    )


def _spans(count: int, most: int) -> list[range]:
    """Consecutive ranges of request numbers, as even as can be."""
    parts = min(count, most)
    return [range(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def _windows(simulation: Simulation) -> Section:
    adaptive = simulation.run_of("adaptive")
    rows = []
    for span in _spans(len(simulation.started_s), _WINDOWS):
        cells: list[Cell] = [
            format_duration(simulation.started_s[span.start]) if span.start else "0 s",
            Quantity(value=fmean([simulation.uplink_bps[number] for number in span]), unit="bit/s"),
            f"{fmean([simulation.server_load[number] for number in span]):.3g}×",
        ]
        cells += [seconds(fmean([run.latency_s[number] for number in span])) for run in simulation.strategies]
        option = Counter(adaptive.options[number] for number in span).most_common(1)[0][0]
        cells.append(_layers(simulation, option))
        rows.append(tuple(cells))
    return Section(
        title="Mean request over time",
        columns=("from", "uplink", "load", *(run.strategy for run in simulation.strategies), "adaptive ran mostly"),
        rows=tuple(rows),
        expendable=("the plan's cut", "oracle", "load", "always device"),
    )


def _layers(simulation: Simulation, option: int) -> str:
    here = simulation.options[option].device_layers
    most = max(each.device_layers for each in simulation.options)
    return "all here" if here == most else "all there" if here == 0 else f"{here} of {most} here"


def _course(simulation: Simulation) -> Section:
    """Small charts in characters; latencies of all strategies on one logarithmic scale."""
    latencies = {run.strategy: run.latency_s for run in simulation.strategies}
    low = min(min(values) for values in latencies.values())
    high = max(max(values) for values in latencies.values())
    shares = [simulation.options[option].device_layers for option in simulation.run_of("adaptive").options]
    most_layers = max(option.device_layers for option in simulation.options)
    lines = [
        _spark("uplink", simulation.uplink_bps, "bit/s"),
        _spark("server load", simulation.server_load, "times"),
        *(_spark(name, values, "s", low=low, high=high) for name, values in latencies.items()),
        _spark("layers here, adaptive", shares, "count", low=0, high=most_layers),
    ]
    return Section(title="Course (each strategy's latency on one scale, logarithmic)", lines=tuple(lines))


def _spark(
    name: str, values: Sequence[float], unit: Unit, *, low: float | None = None, high: float | None = None
) -> str:
    least, most = min(values), max(values)
    ends = [human(Quantity(value=end, unit=unit)) for end in (least, most)]
    if ends[0] == ends[1]:
        return f"{name:<22}{ends[0]} all the time"
    low, high = least if low is None else low, most if high is None else high
    # logarithmic where that can be, since rates and latencies range over decades
    scale = math.log if low > 0 and unit != "count" else float
    reach = scale(high) - scale(low)
    marks = []
    for span in _spans(len(values), _SPARKS):
        value = fmean([values[number] for number in span])
        part = (scale(value) - scale(low)) / reach if reach > 0 else 0.0
        marks.append(_BLOCKS[min(len(_BLOCKS) - 1, max(0, int(part * len(_BLOCKS))))])
    return f"{name:<22}{''.join(marks)}  {ends[0]} – {ends[1]}"


def _how(simulation: Simulation) -> Section:
    probing = simulation.probing
    size = human(Quantity(value=probing.bytes_each, unit="B"))
    cost = ""
    if probing.energy_j is not None:
        cost = f", for which the radio took {human(joules(probing.energy_j))} in all, in the mean above"
    return Section(
        title="How",
        lines=(
            f"bandwidth: {simulation.bandwidth_source}",
            f"load: {simulation.load_source}",
            "each request has the link to itself: requests that overlap do not share it; the downlink stays as planned",
            "adaptive knows what its messages showed: the harmonic mean of the last rates, and the load last told; it "
            f"sent {probing.probes} probes of {size}{cost}",
            "oracle: the best cut for each request, with the traces known in advance",
        ),
    )


def _records(simulation: Simulation, run: StrategyRun) -> list[dict[str, Scalar]]:
    return [
        {
            "strategy": run.strategy,
            "started_s": simulation.started_s[number],
            "uplink_bps": simulation.uplink_bps[number],
            "server_load": simulation.server_load[number],
            "cut": simulation.options[option].words,
            "device_layers": simulation.options[option].device_layers,
            "latency_s": run.latency_s[number],
            "energy_j": None if run.energy_j is None else run.energy_j[number],
        }
        for number, option in enumerate(run.options)
    ]


def simulation_picture(simulation: Simulation) -> Picture:
    """Rate, load, latency by strategy and the layers that the adaptive session ran here, over time."""
    from offload.reports.picture import Panel, Picture, Series

    times, runs = simulation.started_s, [simulation.run_of(name) for name in _DRAWN]
    here = [simulation.options[option].device_layers for option in simulation.run_of("adaptive").options]
    rates = [rate / 1e6 for rate in simulation.uplink_bps]

    def panel(y_label: str, series: Sequence[Series], height: float, *, log_y: bool = False) -> Panel:
        return Panel(series=series, x_label="time, s", y_label=y_label, height=height, log_y=log_y)

    def steps(values: Sequence[float]) -> list[Series]:
        return [Series(label="", x=times, y=values, style="steps")]

    def of_each(values: Sequence[Sequence[float]]) -> list[Series]:
        return [
            Series(label=name, x=times, y=each, style="line" if name == "adaptive" else "dashed")
            for name, each in zip(_DRAWN, values, strict=True)
        ]

    panels = [panel("uplink, Mbit/s", steps(rates), 0.8)]
    if len(set(simulation.server_load)) > 1:
        panels.append(panel("server's load", steps(simulation.server_load), 0.6))
    panels.append(panel("latency, s", of_each([run.latency_s for run in runs]), 1.6, log_y=True))
    if simulation.target == "energy":
        panels.append(panel("energy, J", of_each([run.energy_j or () for run in runs]), 1.2, log_y=True))
    panels.append(panel("layers here", steps(here), 0.7))
    return Picture(title=f"{simulation.model.name} while the conditions change", panels=panels, share_x=True)
