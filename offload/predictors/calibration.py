"""Presets scaled to known latencies of whole networks.

With one latency one factor scales computing and moving bytes alike, so that the latency is met exactly. With two or
more, computing and moving have a factor each: those with the least sum of squared errors of the latencies' logarithms.
Where the latencies cannot tell the two apart (all bound by computing, say) a small penalty on the logarithm of their
ratio keeps them equal. What starting a layer takes is not scaled, and no layer computes faster than the peak.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from offload.artifacts.preset import CalibratedPreset, KnownLatency, Preset
from offload.errors import OffloadError
from offload.graph.model_graph import ModelGraph
from offload.predictors.roofline import LayerTerms, layer_terms
from offload.units import format_duration

PENALTY = 1e-3
"""Times the squared logarithm of the factors' ratio: a ratio of 2 counts as much as an error of 2 %."""
_FURTHEST = 5.0
"""Latencies further than this many times from what any factors give contradict one another."""
_STEPS = (1.0, 0.25, 0.05, 0.01, 0.002)
"""Of the search over the factors' logarithms, each around the best of the one before."""
_REACH = 8
_HALVINGS = 60


@dataclass(frozen=True, kw_only=True)
class KnownRun:
    """A network and what a run of it is known to take."""

    model: str
    """As the user named it."""
    model_hash: str
    batch: int
    graph: ModelGraph
    known_s: float


def calibrated(preset: Preset, runs: Sequence[KnownRun]) -> CalibratedPreset:
    """The preset scaled to what runs of whole networks are known to take.

    Args:
        preset: A published one.
        runs: Different networks; at least one.

    Raises:
        OffloadError: a latency is faster than the published peak allows, is no more than starting the layers takes,
            or contradicts the others; or a network is named twice.
    """
    _check(preset, runs)
    terms = [layer_terms(run.graph, preset) for run in runs]
    known = [run.known_s for run in runs]
    form: Literal["single", "pair"] = "single" if len(runs) == 1 else "pair"
    compute, memory = _one_factor(terms[0], runs[0]) if form == "single" else _two_factors(terms, known)
    scaled = replace(
        preset,
        name=f"{preset.name}-calibrated",
        compute_factor=compute,
        memory_factor=memory,
    )
    figures = tuple(
        KnownLatency(
            model=run.model,
            model_hash=run.model_hash,
            batch=run.batch,
            flops=run.graph.flops,
            known_s=run.known_s,
            before_s=_whole_s(layers, 1.0, 1.0),
            fitted_s=_whole_s(layers, compute, memory),
        )
        for run, layers in zip(runs, terms, strict=True)
    )
    furthest = max(figures, key=lambda figure: abs(math.log(figure.fitted_s / figure.known_s)))
    if abs(math.log(furthest.fitted_s / furthest.known_s)) > math.log(_FURTHEST):
        raise OffloadError(
            f"--latency {furthest.model}={format_duration(furthest.known_s)} contradicts the others: no factors for "
            f"computing and memory come nearer than {format_duration(furthest.fitted_s)}",
            hint="check the figures and their units, or calibrate to each alone",
        )
    return CalibratedPreset.create(preset=scaled, base=preset.name, figures=figures, form=form)


def _check(preset: Preset, runs: Sequence[KnownRun]) -> None:
    for one, other in itertools.combinations(runs, 2):
        if one.model_hash == other.model_hash:
            raise OffloadError(
                f"--latency names {one.model} twice: {format_duration(one.known_s)} and "
                f"{format_duration(other.known_s)}",
                hint="give each network one latency",
            )
    for run in runs:
        least_s = run.graph.flops / preset.peak_flops_per_s
        if run.known_s < least_s:
            raise OffloadError(
                f"--latency {run.model}={format_duration(run.known_s)} cannot be: at the published peak of "
                f"{preset.name} its operations alone take {format_duration(least_s)}",
                hint="check the figure, its unit and --batch; presets are of 32-bit floating point",
            )


def _one_factor(layers: Sequence[LayerTerms], run: KnownRun) -> tuple[float, float]:
    least_s = _whole_s(layers, 0.0, 0.0)
    if run.known_s <= least_s:
        raise OffloadError(
            f"--latency {run.model}={format_duration(run.known_s)} cannot be met: starting its layers, as assumed, and "
            f"computing them at the peak take {format_duration(least_s)}",
            hint="check the figure and its unit, or calibrate to a network with larger layers",
        )
    launches_s = sum(layer.launch_s for layer in layers)
    work_s = _whole_s(layers, 1.0, 1.0) - launches_s
    low, high = 0.0, (run.known_s - launches_s) / work_s
    while _whole_s(layers, high, high) < run.known_s:  # where rounding fell short
        high *= 1 + 1e-9
    for _ in range(_HALVINGS):  # it grows with the factor, and not in proportion where the peak holds a layer up
        middle = (low + high) / 2
        low, high = (middle, high) if _whole_s(layers, middle, middle) < run.known_s else (low, middle)
    return high, high


def _two_factors(terms: Sequence[Sequence[LayerTerms]], known: Sequence[float]) -> tuple[float, float]:
    """The least of `_loss` on ever finer grids of logarithms, which its kinks do not mislead."""
    centre = (0.0, 0.0)
    for step in _STEPS:
        steps = [step * number for number in range(-_REACH, _REACH + 1)]
        centre = min(
            ((centre[0] + x, centre[1] + y) for x in steps for y in steps),
            key=lambda point: loss(terms, known, math.exp(point[0]), math.exp(point[1])),
        )
    return math.exp(centre[0]), math.exp(centre[1])


def loss(
    terms: Sequence[Sequence[LayerTerms]], known: Sequence[float], compute_factor: float, memory_factor: float
) -> float:
    """What `calibrated` makes least: squared log errors, and the penalty on factors that differ."""
    errors = (
        math.log(_whole_s(layers, compute_factor, memory_factor) / known_s)
        for layers, known_s in zip(terms, known, strict=True)
    )
    return sum(error**2 for error in errors) + PENALTY * math.log(compute_factor / memory_factor) ** 2


def _whole_s(layers: Sequence[LayerTerms], compute_factor: float, memory_factor: float) -> float:
    return sum(layer.seconds(compute_factor, memory_factor) for layer in layers)
