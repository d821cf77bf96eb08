"""From the kernels of a trace to groups of layers, so that each layer is in exactly one.

Layers that one kernel names are one group. A layer that no kernel names was fused with the layer that makes its input
(the latest of them), so it joins that one's group; what comes before all named layers joins the first. Time of a
kernel that names no layer is counted with the kernel that ran before it, or the first that names one, so that nothing
of the trace is lost; how much that is of all time is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offload.artifacts.profile import KernelGroup
from offload.graph.model_graph import ModelGraph
from offload.profilers.imports.base import TracedKernel


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """The layers as a trace tells that they were executed."""

    groups: tuple[KernelGroup, ...]
    """In the order of their last layers."""
    unmatched_share: float
    """Of the trace's time, in kernels that name no layer."""
    unnamed_work: float
    """Of the model's operations, in layers that no kernel names."""


def grouped(graph: ModelGraph, kernels: Sequence[TracedKernel]) -> Grouping:
    """The groups that kernels make; at least one kernel must name a layer.

    Args:
        graph: The layers.
        kernels: In the order of execution, all with as many samples.
    """
    leader = list(range(len(graph.layers)))

    def lead(index: int) -> int:
        while leader[index] != index:
            leader[index] = index = leader[leader[index]]
        return index

    named: set[int] = set()
    for kernel in kernels:
        named.update(kernel.layers)
        for index in kernel.layers[1:]:
            leader[lead(index)] = lead(kernel.layers[0])
    for index, layer in enumerate(graph.layers):
        if index not in named:
            makers = [graph.producer[name] for name in layer.inputs if name in graph.producer]
            leader[lead(index)] = lead(max(makers, default=min(named)))
    members: dict[int, list[int]] = {}
    for index in range(len(graph.layers)):
        members.setdefault(lead(index), []).append(index)
    first = next(kernel.layers[0] for kernel in kernels if kernel.layers)
    runs, here = len(kernels[0].samples_s), lead(first)
    samples = {at: [0.0] * runs for at in members}
    counts = dict.fromkeys(members, 0)
    unmatched_s = 0.0
    for kernel in kernels:
        here = lead(kernel.layers[0]) if kernel.layers else here
        counts[here] += 1
        samples[here] = [before + more for before, more in zip(samples[here], kernel.samples_s, strict=True)]
        unmatched_s += 0.0 if kernel.layers else sum(kernel.samples_s)
    all_s = sum(sum(kernel.samples_s) for kernel in kernels)
    work = sum(layer.flops for index, layer in enumerate(graph.layers) if index not in named)
    return Grouping(
        groups=tuple(
            KernelGroup(layers=tuple(layers), kernels=counts[at], samples_s=tuple(samples[at]))
            for at, layers in sorted(members.items(), key=lambda item: item[1][-1])
        ),
        unmatched_share=unmatched_s / all_s if all_s else 0.0,
        unnamed_work=work / graph.flops if graph.flops else 0.0,
    )
