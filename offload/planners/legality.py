"""Which cuts a problem allows: closed under predecessors, tearing no kernel, keeping to pins and privacy.

Layers that every such cut keeps on one side are one block: the kernels of both sides, and what lies on a path out of
a kernel and back into it. The blocks form a directed acyclic graph, and the allowed cuts are its sets closed under
predecessors that contain the blocks held on the device and none of those held on the server.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter

from offload.errors import OffloadError
from offload.graph.model_graph import ModelGraph
from offload.planners.base import Problem


@dataclass(frozen=True, kw_only=True)
class Legality:
    """The blocks of a problem and where they may run."""

    graph: ModelGraph
    block_of: tuple[int, ...]
    """The block of each layer; blocks are numbered in a topological order."""
    before: tuple[tuple[int, ...], ...]
    """The blocks that each block reads from, in order."""
    device: frozenset[int] = frozenset()
    """Blocks held on the device, with all that they need."""
    server: frozenset[int] = frozenset()
    """Blocks held on the server, with all that needs them."""
    notes: tuple[str, ...] = ()
    """Pins that took further layers along."""

    @cached_property
    def after(self) -> tuple[tuple[int, ...], ...]:
        """The blocks that read from each block, in order."""
        found: list[list[int]] = [[] for _ in self.before]
        for block, needed in enumerate(self.before):
            for other in needed:
                found[other].append(block)
        return tuple(tuple(blocks) for blocks in found)

    def needed_by(self, blocks: Iterable[int]) -> frozenset[int]:
        """The blocks and all that they depend on."""
        return _reachable(blocks, self.before)

    def needing(self, blocks: Iterable[int]) -> frozenset[int]:
        """The blocks and all that depends on them."""
        return _reachable(blocks, self.after)

    def layers(self, blocks: Iterable[int]) -> frozenset[int]:
        """The layers of some blocks."""
        wanted = set(blocks)
        return frozenset(layer for layer, block in enumerate(self.block_of) if block in wanted)

    def prefix_lengths(self) -> list[int]:
        """How many layers, in the graph's order, the allowed cuts have that run the first so many on the device."""
        end_of = [0] * len(self.before)
        for layer, block in enumerate(self.block_of):
            end_of[block] = layer + 1
        least = max((end_of[block] for block in self.device), default=0)
        most = next((layer for layer, block in enumerate(self.block_of) if block in self.server), len(self.block_of))
        ends = itertools.accumulate((end_of[block] for block in self.block_of), max, initial=0)
        return [length for length, end in enumerate(ends) if end <= length and least <= length <= most]

    def allows(self, device: frozenset[int]) -> bool:
        """Whether the cut that runs these layers on the device is one of those allowed."""
        inside = {self.block_of[layer] for layer in device}
        outside = {block for layer, block in enumerate(self.block_of) if layer not in device}
        return (
            not inside & outside
            and self.device <= inside
            and self.server <= outside
            and all(other in inside for block in inside for other in self.before[block])
        )


def legality(problem: Problem) -> Legality:
    """The blocks of a problem.

    Raises:
        OffloadError: pins and privacy contradict one another, or name no layer.
    """
    constraints, graph = problem.constraints, problem.graph
    depth = constraints.private_depth
    for index in (*constraints.pins, *(() if depth is None else (depth,))):
        if not 0 <= index < len(graph.layers):
            raise OffloadError(f"there is no layer {index}: the model has {len(graph.layers)} layers")
    free = _condensed(graph, [group.layers for profile in (problem.device, problem.server) for group in profile.groups])
    private = [] if depth is None else _private_layers(graph, depth)
    pinned = {side: [index for index, at in constraints.pins.items() if at == side] for side in ("device", "server")}
    held = free.needed_by(free.block_of[index] for index in (*pinned["device"], *private))
    for there in pinned["server"]:
        if free.block_of[there] in held:
            raise _contradiction(free, there, pinned["device"], depth)
    return Legality(
        graph=graph,
        block_of=free.block_of,
        before=free.before,
        device=held,
        server=free.needing(free.block_of[index] for index in pinned["server"]),
        notes=tuple(_followers(free, constraints.pins)),
    )


def _condensed(graph: ModelGraph, kernels: Iterable[tuple[int, ...]]) -> Legality:
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    reads = [
        (index, graph.producer[name])
        for index, layer in enumerate(graph.layers)
        for name in layer.inputs
        if name in graph.producer
    ]
    circles = [pair for layers in kernels for pair in zip(layers, (*layers[1:], layers[0]), strict=True)]
    tail, head = np.array([*reads, *circles], dtype=np.int64).reshape(-1, 2).T
    size = len(graph.layers)
    _, labels = connected_components(
        coo_array((np.ones(len(tail)), (tail, head)), shape=(size, size)), directed=True, connection="strong"
    )
    label_of = [int(label) for label in labels]
    needs: dict[int, set[int]] = {label: set() for label in label_of}
    for reader, maker in reads:
        if label_of[reader] != label_of[maker]:
            needs[label_of[reader]].add(label_of[maker])
    number = {label: block for block, label in enumerate(TopologicalSorter(needs).static_order())}
    before: list[tuple[int, ...]] = [()] * len(number)
    for label, needed in needs.items():
        before[number[label]] = tuple(sorted(number[other] for other in needed))
    return Legality(graph=graph, block_of=tuple(number[label] for label in label_of), before=tuple(before))


def _private_layers(graph: ModelGraph, depth: int) -> list[int]:
    """Layers that must run on the device so that no tensor above the output of layer `depth` leaves it.

    Above are the model's inputs and the outputs of all layers before it in the graph's order, on whatever branch:
    what has seen less of the network than was asked for stays.
    """
    above = {*graph.inputs, *(name for layer in graph.layers[:depth] for name in layer.outputs)}
    return [
        index
        for index, layer in enumerate(graph.layers)
        if index == depth or any(name in above for name in layer.inputs)
    ]


def _contradiction(free: Legality, there: int, pinned: Sequence[int], depth: int | None) -> OffloadError:
    names = [layer.name for layer in free.graph.layers]
    for here in pinned:
        if free.block_of[here] == free.block_of[there]:
            return OffloadError(
                f"{names[here]} is pinned to the device and {names[there]} to the server, "
                "but the two are executed as one kernel",
                hint="pin both to one side, or leave one of the pins out",
            )
        if free.block_of[there] in free.needed_by([free.block_of[here]]):
            return OffloadError(
                f"{names[here]} is pinned to the device but comes after {names[there]}, which is pinned to the server",
                hint="nothing returns to the device in the middle of a model: leave one of the pins out",
            )
    deepest = "" if depth is None else names[depth]
    return OffloadError(
        f"{names[there]} is pinned to the server, but --private-depth {deepest} keeps it on the device",
        hint="leave the pin out, or choose a private depth above it",
    )


def _followers(free: Legality, pins: Iterable[int]) -> Iterator[str]:
    """Pins of layers whose kernel has others: they follow."""
    names = [layer.name for layer in free.graph.layers]
    for pinned in pins:
        others = [names[i] for i, block in enumerate(free.block_of) if block == free.block_of[pinned] and i != pinned]
        if others:
            listed = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
            yield f"the pin of {names[pinned]} holds for {listed} as well: they are executed as one kernel"


def _reachable(blocks: Iterable[int], steps: Sequence[Sequence[int]]) -> frozenset[int]:
    found = set(blocks)
    waiting = list(found)
    while waiting:
        new = [other for other in steps[waiting.pop()] if other not in found]
        found.update(new)
        waiting += new
    return frozenset(found)
