"""All legal cuts of a problem, one by one, where they are few enough.

A legal cut is a set of blocks closed under predecessors, an ideal of their order. A chain of n has n + 1; networks with
branches have the sum over their branching parts of the products of the branches' lengths; the worst case is 2**n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.plan import Side
from offload.graph.model_graph import ModelGraph
from offload.planners.costs import LinearCosts
from offload.planners.legality import Legality

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_CUTS = 100_000
"""A search visits this many cuts, and takes a bound instead where there are more."""
_MOST_CELLS = 100_000_000
"""Layers times cuts that a table holds, a byte each."""


@dataclass(frozen=True, kw_only=True)
class CutTable:
    """Cuts side by side, so that a figure of all of them is worked out at once."""

    graph: ModelGraph
    inside: NDArray[np.bool_]
    """Whether a layer is on the device; shape (layers, cuts)."""

    @property
    def size(self) -> int:
        """How many cuts there are."""
        return int(self.inside.shape[1])

    def device(self, cut: int) -> frozenset[int]:
        """The layers that one of the cuts runs on the device."""
        return frozenset(self.inside[:, cut].nonzero()[0].tolist())

    def sums(self, costs: LinearCosts) -> NDArray[np.float64]:
        """What each cut costs; shape (cuts,), the unit of the costs."""
        import numpy as np

        device, server = self.inside.any(axis=0), ~self.inside.all(axis=0)
        total = np.zeros(self.size)
        for paid, cost in (
            (device, costs.device_fixed),
            (server, costs.offload_fixed),
            (device & server, costs.divided_fixed),
        ):
            total += np.where(paid, cost, 0.0)
        for inside, here, there in zip(self.inside, costs.device, costs.server, strict=True):
            total += np.where(inside, here, there)
        for name, cost in costs.up.items():
            if cost:
                total += np.where(self._crosses(name), cost, 0.0)
        for name in self.graph.outputs:
            if name in self.graph.producer:
                total += np.where(self._made_here(name), 0.0, costs.down[name])
        return total

    def memory(self, side: Side) -> NDArray[np.float64]:
        """The most bytes that each cut's weights and live tensors occupy on a side; float64, shape (cuts,).

        Layers run in the graph's order. What a side is given stays as long as it runs, for it is the caller's; what
        it gives stays from when it is made; any other tensor goes after the last layer that reads it. A constant
        that several layers read counts for each.
        """
        import numpy as np

        graph = self.graph
        here = self.inside if side == "device" else ~self.inside
        weights = np.zeros(self.size)
        live = np.zeros(self.size)
        for tensor in graph.tensors:
            given = self._crosses(tensor.name)
            if side == "device":
                read_here = np.asarray(self.inside[list(graph.consumers[tensor.name])].any(axis=0))
                given = read_here & (tensor.name in graph.inputs)
            live += np.where(given, float(tensor.size_bytes), 0.0)
        peak = live.copy()
        for index, layer in enumerate(graph.layers):
            weights += np.where(here[index], float(layer.weight_bytes), 0.0)
            made = sum(graph.tensor_by_name[name].size_bytes for name in layer.outputs)
            live += np.where(here[index], float(made), 0.0)
            np.maximum(peak, live, out=peak)
            for name in (*layer.inputs, *layer.outputs):
                if max(graph.consumers[name], default=index) == index and name not in (*graph.inputs, *graph.outputs):
                    whole = self._all(graph.consumers[name]) if side == "device" else ~self._made_here(name)
                    size = float(graph.tensor_by_name[name].size_bytes)
                    live -= np.where(here[index] & whole, size, 0.0)
        return np.asarray(weights + peak, dtype=np.float64)

    def _made_here(self, name: str) -> NDArray[np.bool_]:
        return self._all([self.graph.producer[name]] if name in self.graph.producer else [])

    def _crosses(self, name: str) -> NDArray[np.bool_]:
        return self._made_here(name) & ~self._all(self.graph.consumers[name])

    def _all(self, layers: Sequence[int]) -> NDArray[np.bool_]:
        import numpy as np

        return np.asarray(self.inside[list(layers)].all(axis=0))


def table_of(graph: ModelGraph, cuts: Sequence[frozenset[int]]) -> CutTable:
    """Some cuts, given by the layers they run on the device, side by side."""
    import numpy as np

    inside = np.zeros((len(graph.layers), len(cuts)), dtype=np.bool_)
    for number, device in enumerate(cuts):
        inside[list(device), number] = True
    return CutTable(graph=graph, inside=inside)


def legal_cuts(legal: Legality, *, most: int = MOST_CUTS) -> CutTable | None:
    """All legal cuts, the one with the fewest layers on the device first; None when there are more than `most`."""
    import numpy as np

    layers = len(legal.block_of)
    free = [block for block in range(len(legal.before)) if block not in legal.device and block not in legal.server]
    place = {block: position for position, block in enumerate(free)}
    needs = [[place[other] for other in legal.before[block] if other in place] for block in free]
    masks = ideals(needs, most=min(most, _MOST_CELLS // max(1, layers)))
    if masks is None:
        return None
    width = (len(free) + 7) // 8
    packed = np.frombuffer(b"".join(mask.to_bytes(width, "little") for mask in masks), dtype=np.uint8)
    bits = np.unpackbits(packed.reshape(len(masks), width), axis=1, bitorder="little").astype(np.bool_).T
    inside = np.empty((layers, len(masks)), dtype=np.bool_)
    for layer, block in enumerate(legal.block_of):
        inside[layer] = bits[place[block]] if block in place else block in legal.device
    return CutTable(graph=legal.graph, inside=inside)


def ideals(before: Sequence[Sequence[int]], *, most: int) -> list[int] | None:
    """Every set closed under predecessors, as a bit mask, each once; None when there are more than `most`.

    A set is reached by adding its members in rising order, which is a topological one, so none is met twice and the
    work for each is at most the number of elements that could be added to it.

    Args:
        before: The predecessors of each element; all have lower numbers.
        most: Where to stop.
    """
    after: list[list[int]] = [[] for _ in before]
    for element, needed in enumerate(before):
        for other in needed:
            after[other].append(element)
    needs = [sum(1 << other for other in needed) for needed in before]
    found = [0]
    waiting = [(0, [element for element, needed in enumerate(before) if not needed])]
    while waiting:
        mask, ready = waiting.pop()
        for position, element in enumerate(ready):
            grown = mask | 1 << element
            found.append(grown)
            if len(found) > most:
                return None
            opened = [other for other in after[element] if not needs[other] & ~grown]
            waiting.append((grown, sorted(ready[position + 1 :] + opened)))
    return found
