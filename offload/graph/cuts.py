"""Cuts: which layers run on the device, and what crosses to the server.

A cut is a set of layers closed under predecessors. Model inputs exist on the device at no cost, so the empty cut
is "everything on the server" and the full one "everything on the device".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from offload.graph.model_graph import ModelGraph


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One way to divide a graph between the device and the server."""

    device: frozenset[int]
    """Indices of the layers that run on the device."""
    crossing: tuple[str, ...]
    """Tensors the device sends, each once however many layers read it."""
    returning: tuple[str, ...]
    """Model outputs that the server produces and sends back."""


def is_legal(graph: ModelGraph, device: Iterable[int]) -> bool:
    """Whether the layers are closed under predecessors."""
    inside = set(device)
    return all(
        graph.producer[name] in inside
        for index in inside
        for name in graph.layers[index].inputs
        if name in graph.producer
    )


def make_cut(graph: ModelGraph, device: Iterable[int]) -> Cut:
    """The cut that runs `device` (layer indices) on the device.

    Raises:
        ValueError: the set is not closed under predecessors.
    """
    inside = frozenset(device)
    if not is_legal(graph, inside):
        raise ValueError("a cut must contain every predecessor of its layers")
    crossing = tuple(
        tensor.name
        for tensor in graph.tensors
        if (tensor.name in graph.inputs or graph.producer.get(tensor.name, -1) in inside)
        and not inside.issuperset(graph.consumers[tensor.name])
    )
    returning = tuple(name for name in graph.outputs if name in graph.producer and graph.producer[name] not in inside)
    return Cut(device=inside, crossing=crossing, returning=returning)


MOST_FREE_PARTS = 6
"""Parts after a tensor that may run on either side, beyond which not all ways to place them are told."""


def single_tensor_cuts(graph: ModelGraph, tensor: str) -> tuple[Cut, ...]:
    """All cuts across which this tensor alone goes to the server; none where no cut is like that.

    Layers that share any other tensor must be on one side. Of the parts that this leaves, those that make the tensor
    or read another input of the model are the device's, and the others, which need nothing but the tensor, may be on
    either side, at least one of its readers on the server. With more than MOST_FREE_PARTS of those (a backbone with
    many heads), only the cut with all of them on the server is told.
    """
    part_of = _parts(graph, tensor)
    here = {part_of[graph.producer[tensor]]} if tensor in graph.producer else set()
    for name in graph.inputs:
        if name != tensor:
            here.update(part_of[index] for index in graph.consumers[name])
    free = sorted(set(part_of) - here)
    found = []
    for choice in range(1, 2 ** len(free)) if len(free) <= MOST_FREE_PARTS else (2 ** len(free) - 1,):
        there = {part for bit, part in enumerate(free) if choice >> bit & 1}
        device = frozenset(index for index, part in enumerate(part_of) if part not in there)
        if is_legal(graph, device) and (cut := make_cut(graph, device)).crossing == (tensor,):
            found.append(cut)
    return tuple(found)


def _parts(graph: ModelGraph, tensor: str) -> list[int]:
    """The part of each layer, when layers that share a tensor other than this one belong together."""
    part_of = list(range(len(graph.layers)))

    def root(index: int) -> int:
        while part_of[index] != index:
            part_of[index] = part_of[part_of[index]]
            index = part_of[index]
        return index

    for name, made_by in graph.producer.items():
        if name != tensor:
            for reader in graph.consumers[name]:
                part_of[root(reader)] = root(made_by)
    return [root(index) for index in range(len(part_of))]


def prefix_cuts(graph: ModelGraph) -> Iterator[Cut]:
    """The cuts between consecutive layers of the topological order: N layers give N + 1 cuts.

    These are the paper's candidates (Kang et al., ASPLOS 2017) carried over to graphs that are not chains: a
    prefix of a topological order is always closed under predecessors, and may have several crossing tensors.
    """
    rank = {tensor.name: index for index, tensor in enumerate(graph.tensors)}
    waiting = {name: len(layers) for name, layers in graph.consumers.items()}
    crossing = {name for name in graph.inputs if waiting[name]}
    returning = [name for name in graph.outputs if name in graph.producer]
    for length in range(len(graph.layers) + 1):
        if length:
            layer = graph.layers[length - 1]
            crossing.update(name for name in layer.outputs if waiting[name])
            returning = [name for name in returning if name not in layer.outputs]
            for name in layer.inputs:
                waiting[name] -= 1
                if not waiting[name]:
                    crossing.discard(name)
        yield Cut(
            device=frozenset(range(length)),
            crossing=tuple(sorted(crossing, key=rank.__getitem__)),
            returning=tuple(returning),
        )
