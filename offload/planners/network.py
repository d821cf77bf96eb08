"""The legal cut that costs least, among all of them at once: a minimum cut of a flow network.

The source stands for the device, the sink for the server. A block has an arc from the source that costs what it takes
on the server (with the outputs that would come back) and one to the sink that costs what it takes on the device. A
tensor read by other blocks has one arc that costs sending it, from its maker (a model input: from the source) to its
reader; if it has several readers, to a node of its own that infinite arcs bind to all of them, so that it is paid once.
Infinite arcs from each block to those that it reads from forbid returns in the middle of the model. What is paid once
when anything runs on the server is an arc from the source to a node bound to every last block; what is paid once when
anything runs on the device, one to the sink from a node to which every first block is bound. What is paid once when
something runs on both is paid on either arc, and once too often by every cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from offload.planners.costs import LinearCosts
from offload.planners.flow import FlowNetwork
from offload.planners.legality import Legality

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class CutNetwork:
    """Finds least cuts of one problem under any costs.

    Args:
        legal: The blocks and where they may run.
    """

    def __init__(self, legal: Legality) -> None:
        import numpy as np

        self._legal, graph = legal, legal.graph
        blocks = self._blocks = len(legal.before)
        source, sink = blocks, blocks + 1
        last = [block for block, after in enumerate(legal.after) if not after]
        bound_to: list[list[int]] = [last]
        sending: list[tuple[int, int]] = [(source, sink + 1)]
        arc_of: dict[tuple[int, tuple[int, ...]], int] = {}
        self._tensors: list[tuple[str, int]] = []
        for name, readers in graph.consumers.items():
            maker = legal.block_of[graph.producer[name]] if name in graph.producer else source
            others = tuple(sorted({legal.block_of[reader] for reader in readers} - {maker}))
            if not others:
                continue
            if (maker, others) not in arc_of:
                arc_of[maker, others] = len(sending)
                if len(others) == 1:
                    sending.append((maker, others[0]))
                else:
                    sending.append((maker, sink + 1 + len(bound_to)))
                    bound_to.append(list(others))
            self._tensors.append((name, arc_of[maker, others]))
        self._sending = len(sending)
        self._starting = sink + 1 + len(bound_to)
        self._first = [block for block, needed in enumerate(legal.before) if not needed]
        self._binding = [(sink + 1 + node, block) for node, to in enumerate(bound_to) for block in to]
        needing = [(block, other) for block, needed in enumerate(legal.before) for other in needed]
        arcs = [
            *((source, block) for block in range(blocks)),
            *((block, sink) for block in range(blocks)),
            *sending,
            (self._starting, sink),
            *self._binding,
            *((block, self._starting) for block in self._first),
            *needing,
        ]
        self._tail, self._head = np.array(arcs, dtype=np.int64).reshape(-1, 2).T
        self._nodes = self._starting + 1
        self._flow = FlowNetwork(self._tail, self._head, source=source, sink=sink)

    @property
    def arcs(self) -> int:
        """The size of the network: what a search costs grows with it."""
        return len(self._tail)

    def least(self, costs: LinearCosts) -> frozenset[int]:
        """The layers on the device in the cut that costs least; of several, in the one with most there.

        Args:
            costs: What to minimise; its units are those of the problem.
        """
        return self._least(costs, self._legal.device, self._legal.server)

    def least_with(
        self, costs: LinearCosts, *, device: Iterable[int] = (), server: Iterable[int] = ()
    ) -> frozenset[int] | None:
        """The same among the cuts that have further blocks on a side; None when there is none.

        Args:
            costs: What to minimise.
            device: Blocks that must be on the device, besides those held there.
            server: Blocks that must be on the server, likewise.
        """
        here = self._legal.device | self._legal.needed_by(device)
        there = self._legal.server | self._legal.needing(server)
        return None if here & there else self._least(costs, here, there)

    def _least(self, costs: LinearCosts, here: frozenset[int], there: frozenset[int]) -> frozenset[int]:
        import numpy as np

        legal, blocks = self._legal, self._blocks
        finite = np.zeros(2 * blocks + self._sending + 1)
        on_server, on_device, sending, starting = np.split(finite, [blocks, 2 * blocks, 2 * blocks + self._sending])
        np.add.at(on_server, list(legal.block_of), costs.server)
        np.add.at(on_device, list(legal.block_of), costs.device)
        for name in legal.graph.outputs:
            if name in legal.graph.producer:
                on_server[legal.block_of[legal.graph.producer[name]]] += costs.down[name]
        common = np.minimum(on_server, on_device)
        on_server -= common
        on_device -= common
        sending[0] = costs.offload_fixed + costs.divided_fixed
        starting[0] = costs.device_fixed + costs.divided_fixed
        np.add.at(sending, [arc for _, arc in self._tensors], [costs.up[name] for name, _ in self._tensors])
        bound = min(self._value(finite, here), self._value(finite, set(range(blocks)) - there))
        on_server[list(here)] = np.inf
        on_device[list(there)] = np.inf
        infinite = np.full(len(self._tail) - len(finite), np.inf)
        side = self._flow.source_side(np.r_[finite, infinite], bound=bound)
        return legal.layers(np.flatnonzero(side[:blocks]).tolist())

    def _value(self, finite: NDArray[np.float64], device: Iterable[int]) -> float:
        """What the cut with these blocks, closed under predecessors, on the device costs in the network."""
        import numpy as np

        side = np.ones(self._nodes, dtype=np.bool_)
        side[: self._blocks] = False
        side[list(device)] = True
        side[self._blocks + 1] = False
        for node, block in self._binding:
            side[node] &= side[block]
        side[self._starting] = side[self._first].any()
        count = len(finite)
        return float(finite[side[self._tail[:count]] & ~side[self._head[:count]]].sum())
