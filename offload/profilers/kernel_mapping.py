"""Which original layers each executed kernel stands for.

ONNX Runtime fuses layers and, on x86, moves convolutions to a blocked layout (NCHWc): kernels then read and write
`reorder_token_N` instead of the model's tensors. But a converted node is named after the tensor it computes
(`<tensor>_nchwc`), an unconverted one keeps its name, and a reorder at a border serves a neighbour. So each kernel
has an *anchor*, the original tensor whose value it completes, and stands for the layers between its anchor and the
nearest anchors before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.graph.model_graph import ModelGraph

if TYPE_CHECKING:
    import onnx

_LAYOUT_SUFFIXES = ("_bn_nchwc", "_mul_nchwc", "_add_nchwc", "_nchwc")


@dataclass(frozen=True, kw_only=True)
class KernelBlock:
    """Layers that are executed together and the names of the kernels that do it."""

    layers: tuple[int, ...]
    kernels: tuple[str, ...]


def map_kernels(graph: ModelGraph, optimised: onnx.ModelProto) -> tuple[KernelBlock, ...]:
    """Divide the layers of `graph` into blocks by the kernels of the optimised model.

    Args:
        graph: The original layers.
        optimised: The model as ONNX Runtime executes it (its `optimized_model_filepath`).

    Returns:
        Blocks that cover each layer exactly once, in the order of their last layers. Layers that were optimised
        away share the block of the kernel that follows them, or the last block.
    """
    nodes = list(optimised.graph.node)
    anchors = _anchors(graph, nodes)
    surviving = set(anchors.values())
    owner: dict[int, str] = {}
    for anchor in sorted(surviving, key=lambda name: graph.producer[name]):
        pending = [graph.producer[anchor]]
        while pending:
            index = pending.pop()
            if index in owner:
                continue
            owner[index] = anchor
            pending.extend(
                graph.producer[name]
                for name in graph.layers[index].inputs
                if name in graph.producer and name not in surviving
            )
    following = None
    for index in range(len(graph.layers) - 1, -1, -1):
        following = owner.get(index, following)
        if index not in owner and following is not None:
            owner[index] = following
    layers: dict[str, list[int]] = {}
    last = max(owner, default=None)
    for index in range(len(graph.layers)):
        layers.setdefault(owner.get(index, owner[last] if last is not None else ""), []).append(index)
    canonical = {anchor: owner[graph.producer[anchor]] for anchor in surviving}
    kernels: dict[str, list[str]] = {}
    for node in nodes:
        if node.name in anchors:
            kernels.setdefault(canonical[anchors[node.name]], []).append(node.name)
    return tuple(
        KernelBlock(layers=tuple(indices), kernels=tuple(kernels.get(anchor, ())))
        for anchor, indices in sorted(layers.items(), key=lambda item: item[1][-1])
    )


def _anchors(graph: ModelGraph, nodes: Sequence[onnx.NodeProto]) -> Mapping[str, str]:
    """The original tensor that each node (by name) completes or serves; nodes that serve nothing are left out."""
    outputs_of_layer = {layer.name: layer.outputs[0] for layer in graph.layers}
    found: dict[str, str] = {}
    for node in nodes:
        named = next((name for name in node.output if name in graph.producer), None) or outputs_of_layer.get(node.name)
        for suffix in _LAYOUT_SUFFIXES:
            stem = node.name.removesuffix(suffix)
            if named is None and stem != node.name and stem in graph.producer:
                named = stem
        if named is not None:
            found[node.name] = named
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    writer = {name: node for node in nodes for name in node.output}
    for node in reversed(nodes):
        if node.name not in found:
            served = next((r.name for name in node.output for r in readers.get(name, []) if r.name in found), None)
            if served is not None:
                found[node.name] = found[served]
    for node in nodes:
        if node.name not in found:
            before = next((writer[name].name for name in node.input if name in writer), None)
            if before in found:
                found[node.name] = found[before]
    return found
