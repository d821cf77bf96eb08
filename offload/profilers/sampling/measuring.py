"""Measure random networks kernel by kernel, as a real session executes them; what was measured is never lost."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from offload.artifacts.profile import Precision
from offload.artifacts.workspace import append_line
from offload.errors import OffloadError
from offload.models.executed import TimedNetwork, executed_kernels
from offload.models.onnx_graph import graph_of, infer_types
from offload.models.operators import kind_of
from offload.profilers.kernels import KernelTimer
from offload.profilers.layers import random_feeds
from offload.profilers.sampling.networks import MOST_NETWORKS, SampledNetwork, sampled_network
from offload.profilers.sampling.rounds import timed_rounds
from offload.progress import Progress
from offload.runtimes.base import Runtime
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.torch import TorchRuntime


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One line of a checkpoint."""

    network: TimedNetwork
    took_s: float


def read_checkpoint(path: Path) -> Iterator[_Line]:
    """The networks in a checkpoint; lines that a crash or a full disk cut off are passed over."""
    adapter = TypeAdapter(_Line)
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                yield adapter.validate_json(line)
            except ValidationError:
                continue


def measure_networks(
    runtime: Runtime,
    *,
    threads: int,
    budget_s: float,
    checkpoint: Path,
    progress: Progress,
    precision: Precision = "fp32",
) -> Iterator[TimedNetwork]:
    """Networks measured before, as the checkpoint has them, then others until the budget is spent.

    Each is written to the checkpoint as soon as it is measured. The time of those measured before counts.

    Args:
        runtime: What runs them.
        threads: Of the runtime.
        budget_s: Seconds of measuring, all sessions together.
        checkpoint: A file of one JSON document a line; made when it is not there.
        progress: Told of the seconds spent, and of how many kernels of each kind were timed.
        precision: Of weights and tensors; other than fp32 on torch only.

    Raises:
        OffloadError: the checkpoint cannot be written.
    """
    done: dict[int, float] = {}
    kinds: Counter[str] = Counter()
    for timed in read_checkpoint(checkpoint):
        if timed.network.number not in done:
            done[timed.network.number] = timed.took_s
            kinds += _kinds(timed.network)
            yield timed.network
    spent, measured = sum(done.values()), len(done)
    progress.start("measuring", budget_s)
    progress.advance(spent)
    if done:
        progress.note(f"{len(done)} networks were measured before, in {spent / 60:.1f} min: {checkpoint}")
    for number in range(MOST_NETWORKS):
        if number in done:
            continue
        if spent >= budget_s:
            return
        started = time.perf_counter()
        try:
            network = measure_network(sampled_network(number), runtime, threads=threads, precision=precision)
        except OffloadError as refusal:  # one operator that a version of the runtime lacks is no reason to end
            progress.note(f"network {number} left out: {refusal.message}")
            continue
        took_s = time.perf_counter() - started
        spent += took_s
        progress.advance(took_s)
        line = _Line(network=network, took_s=took_s)
        append_line(checkpoint, TypeAdapter(_Line).dump_json(line).decode())
        measured += 1
        kinds += _kinds(network)
        progress.detail(f"{measured} networks: {_counted(kinds)}")
        yield network


def _kinds(network: TimedNetwork) -> Counter[str]:
    return Counter(kind_of(kernel.operation) for kernel in network.kernels)


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())


def measure_network(
    network: SampledNetwork, runtime: Runtime, *, threads: int, precision: Precision = "fp32"
) -> TimedNetwork:
    """Time a network, with and without what tells of its kernels, in interleaved rounds, each run after a rest.

    Raises:
        OffloadError: the runtime refuses the network.
    """
    if isinstance(runtime, TorchRuntime):
        from offload.profilers.sampling.torch_measuring import measure_torch_network

        return measure_torch_network(network, runtime, threads=threads, precision=precision)
    if isinstance(runtime, OnnxRuntime):
        return _measure_onnx_network(network, runtime, threads=threads)
    raise OffloadError(f"costs cannot be fitted on {runtime.name}", hint="fit with --runtime onnxruntime or torch")


def _measure_onnx_network(network: SampledNetwork, runtime: OnnxRuntime, *, threads: int) -> TimedNetwork:
    import onnx

    graph = graph_of(network.onnx)
    feeds = random_feeds(graph)
    with tempfile.TemporaryDirectory(prefix="offload-fit-") as folder:
        timer = KernelTimer(network.onnx, runtime, threads=threads, folder=Path(folder))
        optimised = timer.optimised()
        kernels = executed_kernels(optimised, infer_types(onnx.load_from_string(network.onnx)))
        plain = runtime.load_onnx(network.onnx, threads=threads)
        plain.run(feeds)
        timer.run(feeds)
        rounds = timed_rounds(lambda: plain.run(feeds), lambda: timer.run(feeds), runtime, threads=threads)
        samples = timer.finish(kernel.name for kernel in kernels)
    return TimedNetwork(
        number=network.number,
        style=network.style,
        reference_s=rounds.reference_s,
        empty_call_s=rounds.empty_call_s,
        whole_s=rounds.whole_s,
        kernels=kernels,
        kernel_s=tuple(tuple(samples[kernel.name][run] for run in rounds.runs) for kernel in kernels),
    )
