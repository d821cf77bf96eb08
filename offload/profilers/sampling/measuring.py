"""Measure random networks kernel by kernel, as a real session executes them; what was measured is never lost."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offload.errors import OffloadError
from offload.models.executed import Kernel, executed_kernels
from offload.models.onnx_graph import graph_of, infer_types
from offload.profilers.kernels import KernelTimer
from offload.profilers.layers import random_feeds
from offload.profilers.reference import ReferenceKernel
from offload.profilers.rests import PAUSE_S
from offload.profilers.sampling.networks import MOST_NETWORKS, SampledNetwork, sampled_network
from offload.progress import Progress
from offload.runtimes.onnxruntime import OnnxRuntime

_ROUNDS_S = 0.3
"""What the rounds of one network take at least, within the number of rounds."""
_FEWEST_ROUNDS, _MOST_ROUNDS = 4, 8


@dataclass(frozen=True, kw_only=True)
class MeasuredNetwork:
    """A network, its kernels and how long they took."""

    number: int
    style: str
    weight_bytes: int
    """Of all its kernels."""
    reference_s: float
    """The reference kernel meanwhile."""
    whole_s: tuple[float, ...]
    """The unprofiled network, one sample a round."""
    kernels: tuple[Kernel, ...]
    kernel_s: tuple[tuple[float, ...], ...]
    """Of each kernel, as the profiler tells it, one sample a round."""


def measure_network(network: SampledNetwork, runtime: OnnxRuntime, *, threads: int) -> MeasuredNetwork:
    """Time a network, with and without the profiler, in interleaved rounds, each run after a rest.

    Raises:
        OffloadError: the runtime refuses the network.
    """
    import onnx

    graph = graph_of(network.onnx)
    feeds = random_feeds(graph)
    reference = ReferenceKernel(runtime, threads=threads)
    with tempfile.TemporaryDirectory(prefix="offload-fit-") as folder:
        timer = KernelTimer(network.onnx, runtime, threads=threads, folder=Path(folder))
        optimised = timer.optimised()
        kernels = executed_kernels(optimised, infer_types(onnx.load_from_string(network.onnx)))
        plain = runtime.load_onnx(network.onnx, threads=threads)
        plain.run(feeds)
        timer.run(feeds)
        references, wholes, runs = [], [], []
        started = time.perf_counter()
        while len(wholes) < _MOST_ROUNDS:
            if len(wholes) >= _FEWEST_ROUNDS and time.perf_counter() - started > _ROUNDS_S:
                break
            references.append(reference.time_once())
            plain.run(feeds)
            time.sleep(PAUSE_S)
            begun = time.perf_counter()
            plain.run(feeds)
            wholes.append(time.perf_counter() - begun)
            timer.run(feeds)
            time.sleep(PAUSE_S)
            runs.append(timer.run(feeds))
        samples = timer.finish(kernel.name for kernel in kernels)
    return MeasuredNetwork(
        number=network.number,
        style=network.style,
        weight_bytes=sum(layer.weight_bytes for layer in graph.layers),
        reference_s=sorted(references)[len(references) // 2],
        whole_s=tuple(wholes),
        kernels=kernels,
        kernel_s=tuple(tuple(samples[kernel.name][run] for run in runs) for kernel in kernels),
    )
