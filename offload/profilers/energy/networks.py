"""The power that some of the random networks draw, each run by itself for long enough for the meter."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from offload.artifacts.profile import Precision
from offload.errors import OffloadError
from offload.models.onnx_graph import graph_of
from offload.profilers.energy.base import Meter, MeterLostError
from offload.profilers.energy.measure import (
    IDLE_WINDOWS,
    WARM_UP,
    Repeat,
    Stopwatch,
    busy_window,
    idle_window,
    sensor_period_s,
    window_s,
)
from offload.profilers.energy.profile import running
from offload.profilers.layers import random_feeds
from offload.profilers.sampling.networks import sampled_network
from offload.progress import Progress
from offload.runtimes.base import Runtime
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.torch import TorchRuntime

_BUDGET_S = 120.0
"""No further network is begun when that long has passed."""


@dataclass(frozen=True, kw_only=True)
class NetworkPowers:
    """What a meter read."""

    sensor: str
    sensor_period_s: float
    idle_w: float
    """Gross power while nothing runs, in watts."""
    networks_w: Mapping[int, float]
    """Gross power while a network runs, run after run, in watts, by its number."""


def measure_network_powers(
    numbers: Sequence[int],
    runtime: Runtime,
    meter: Meter,
    *,
    threads: int,
    progress: Progress,
    precision: Precision = "fp32",
    watch: Stopwatch | None = None,
    load: Callable[[int, Runtime, int], Repeat] | None = None,
) -> NetworkPowers:
    """Read the meter while nothing and while each network runs, in windows that are long against its period.

    Args:
        numbers: Of the networks, the most wanted first: with a slow sensor there is no time for all of them.
        runtime: What runs them.
        meter: What to read, entered.
        threads: Of the runtime.
        progress: Told of windows done.
        precision: Of weights and tensors.
        watch: The clock.
        load: Makes a network ready to run; tests have one of their own.

    Raises:
        MeterLostError: the meter fails, stands still, or tells what cannot be true.
    """
    watch, load = watch or Stopwatch(), load or partial(_loaded, precision=precision)
    progress.start("measuring power", IDLE_WINDOWS + len(numbers))
    started = watch.now()
    try:
        first = load(numbers[0], runtime, threads)
        first(1)
        with running(first):
            period_s = sensor_period_s(meter, watch)
        length_s = window_s(period_s)
        watch.sleep(WARM_UP * length_s)
        idle = []
        for _ in range(IDLE_WINDOWS):
            idle.append(idle_window(meter, length_s, watch).power_w)
            progress.advance()
        found: dict[int, float] = {}
        for number in numbers:
            if watch.now() - started > _BUDGET_S and found:
                break
            try:
                repeat = load(number, runtime, threads)
            except OffloadError as refusal:
                progress.note(f"network {number} left out: {refusal.message}")
                continue
            found[number] = busy_window(meter, repeat, length_s, watch).power_w
            progress.advance()
    finally:
        progress.finish()
    if not found:
        raise MeterLostError("no network could be run again while the meter was read")
    return NetworkPowers(
        sensor=meter.sensor, sensor_period_s=period_s, idle_w=statistics.median(idle), networks_w=found
    )


def _loaded(number: int, runtime: Runtime, threads: int, *, precision: Precision) -> Repeat:
    network = sampled_network(number)
    if isinstance(runtime, TorchRuntime):
        from offload.profilers.sampling.torch_networks import torch_model

        model = torch_model(network, precision=precision)
        return partial(runtime.load(model.whole, threads=threads).repeat, random_feeds(model.graph))
    assert isinstance(runtime, OnnxRuntime)  # noqa: S101  there are no others
    return partial(runtime.load_onnx(network.onnx, threads=threads).repeat, random_feeds(graph_of(network.onnx)))
