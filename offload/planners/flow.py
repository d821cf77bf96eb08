"""Exact minimum cuts of directed networks with float capacities.

SciPy's Dinic is fast but counts in 32-bit integers. Capacity scaling (Ahuja, Magnanti, Orlin, Network Flows, 1993,
section 7.3) makes it exact to 2**-58 of the bound: capacities become 60-bit integers, a maximum flow of their high
bits is found first, and the flow that remains in the residual network, which is small, with ever lower bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BITS = 58
"""The bound on the cut is this power of two."""
_ROUND_BITS = 29
"""A round's flow stays below this power of two, so that capacities and residuals fit 32 bits."""
_MOST = 2 ** (_ROUND_BITS + 1) - 1
_LEAST = 1e-200
"""What a bound counts as at least, so that its fractions are numbers yet."""


class FlowNetwork:
    """Arcs between nodes, of which cuts can be taken under different capacities.

    Args:
        tail: Where each arc begins; int64, shape (arcs,). Nodes are numbered from 0.
        head: Where each arc ends, likewise.
        source: The node on one side of the cut.
        sink: The node on the other side.
    """

    def __init__(self, tail: NDArray[np.int64], head: NDArray[np.int64], *, source: int, sink: int) -> None:
        import numpy as np

        self._nodes = int(max(tail.max(), head.max(), source, sink)) + 1
        pairs, where = np.unique(np.r_[tail * self._nodes + head, head * self._nodes + tail], return_inverse=True)
        self._pairs, self._where = pairs, where[: len(tail)]
        self._columns = (pairs % self._nodes).astype(np.int32)
        self._starts = np.searchsorted(pairs, np.arange(self._nodes + 1) * self._nodes).astype(np.int32)
        self._source, self._sink = source, sink

    def source_side(self, capacity: NDArray[np.float64], *, bound: float) -> NDArray[np.bool_]:
        """The minimum cut with the most nodes on the source's side.

        Args:
            capacity: What each arc costs to cut; at least 0, infinite for arcs that must not be cut; shape (arcs,).
            bound: What some cut costs; what is above it counts as infinite.

        Returns:
            Whether each node is on the source's side; shape (nodes,).
        """
        import numpy as np
        from scipy.sparse import coo_array, csr_array
        from scipy.sparse.csgraph import breadth_first_order, maximum_flow

        left = np.zeros(len(self._pairs), dtype=np.int64)
        unit = max(bound, _LEAST) / 2.0**_BITS
        units = np.minimum(capacity / unit, 2.0 ** (_BITS + 1))
        np.add.at(left, self._where, np.rint(units).astype(np.int64))
        np.minimum(left, 2 ** (_BITS + 1), out=left)
        shape, shift = (self._nodes, self._nodes), _BITS - _ROUND_BITS
        while True:
            coarse = np.minimum(left >> shift, _MOST).astype(np.int32)
            found = maximum_flow(
                csr_array((coarse, self._columns, self._starts), shape=shape), self._source, self._sink, method="dinic"
            )
            flow = found.flow.tocoo()
            moved = np.searchsorted(self._pairs, flow.row.astype(np.int64) * self._nodes + flow.col)
            left[moved] -= flow.data.astype(np.int64) << shift
            if not shift:
                break
            # What remains is less than one unit of this round for each arc of the cut.
            shift = max(0, shift + len(self._where).bit_length() - _ROUND_BITS)
        still_open = self._pairs[left > 0]
        backwards = (still_open % self._nodes, still_open // self._nodes)
        reaching = coo_array((np.ones(len(still_open), dtype=np.int8), backwards), shape=shape).tocsr()
        side = np.ones(self._nodes, dtype=np.bool_)
        side[breadth_first_order(reaching, self._sink, return_predecessors=False)] = False
        return side
