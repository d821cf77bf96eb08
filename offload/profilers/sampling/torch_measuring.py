"""Measure a random network call by call, as torch executes it."""

from __future__ import annotations

from offload.artifacts.profile import Precision
from offload.models.executed import TimedNetwork
from offload.models.torch_kernels import executed_layers
from offload.profilers.layers import random_feeds
from offload.profilers.sampling.networks import SampledNetwork
from offload.profilers.sampling.rounds import timed_rounds
from offload.profilers.sampling.torch_networks import torch_model
from offload.profilers.torch_layers import InstrumentedTorchSession
from offload.runtimes.torch import TorchRuntime


def measure_torch_network(
    network: SampledNetwork, runtime: TorchRuntime, *, threads: int, precision: Precision = "fp32"
) -> TimedNetwork:
    """Time a network, whole and call by call, in interleaved rounds, each run after a rest.

    Raises:
        OffloadError: torch cannot export or run the network.
    """
    model = torch_model(network, precision=precision)
    feeds = random_feeds(model.graph)
    plain = runtime.load(model.whole, threads=threads)
    instrumented = InstrumentedTorchSession(model, runtime, threads=threads)
    plain.run(feeds)
    instrumented.run(feeds)
    rounds = timed_rounds(lambda: plain.run(feeds), lambda: instrumented.run(feeds), runtime, threads=threads)
    blocks, groups = executed_layers(model.program), instrumented.finish()
    timed = [
        (kernel, tuple(group.samples_s[run] / len(block.kernels) for run in rounds.runs))
        for block, group in zip(blocks, groups, strict=True)
        for kernel in block.kernels
    ]
    return TimedNetwork(
        number=network.number,
        style=network.style,
        reference_s=rounds.reference_s,
        empty_call_s=rounds.empty_call_s,
        whole_s=rounds.whole_s,
        kernels=tuple(kernel for kernel, _ in timed),
        kernel_s=tuple(seconds for _, seconds in timed),
    )
