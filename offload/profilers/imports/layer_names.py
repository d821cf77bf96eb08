"""From the names that tools give their kernels to layers of a graph.

A tool names a kernel after the ONNX node it came from, or after that node's output, and changes either a little.
torch.onnx names nodes by their module: `/layer1/layer1.0/conv1/Conv` is `layer1.0.conv1` here, and
`/layer1/layer1.0/Add` is `layer1.0.add`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property

from offload.graph.model_graph import ModelGraph

_SUFFIXES = re.compile(r"(_bn_nchwc|_mul_nchwc|_add_nchwc|_nchwc|_myl\d+_\d+|_clone_\d+| copy)$")
_PREFIXES = re.compile(
    r"^(node_of_|reshape_before_|reshape_after_|squeeze_after_|unsqueeze_node_after_|shuffle_before_)"
)
_NO_LETTER = re.compile(r"[^0-9A-Za-z]+")


class LayerNames:
    """Finds layers of one graph."""

    def __init__(self, graph: ModelGraph) -> None:
        self._graph = graph

    @property
    def count(self) -> int:
        """How many layers there are."""
        return len(self._graph.layers)

    def index(self, name: str) -> int | None:
        """The layer that a name stands for; None for none, or when several could be meant."""
        for candidate in _candidates(name):
            found = self._exact.get(candidate)
            if found is not None:
                return found
        return next((self._loose[key] for key in map(_loosened, _candidates(name)) if key in self._loose), None)

    @cached_property
    def _exact(self) -> Mapping[str, int]:
        names = dict(self._graph.producer)
        names.update({layer.name: index for index, layer in enumerate(self._graph.layers)})
        return names

    @cached_property
    def _loose(self) -> Mapping[str, int]:
        """By letters and digits only, as some tools write names; a key that two layers share is left out."""
        meant: dict[str, set[int]] = {}
        for name, index in self._exact.items():
            meant.setdefault(_loosened(name), set()).add(index)
        return {key: indices.pop() for key, indices in meant.items() if key and len(indices) == 1}


def _candidates(name: str) -> Iterator[str]:
    """The name, what it is without a tool's additions, and the module path of either."""
    bare = name
    for _ in range(4):
        yield bare
        yield from _module_paths(bare)
        shorter = _SUFFIXES.sub("", _PREFIXES.sub("", bare))
        if shorter == bare:
            return
        bare = shorter


def _module_paths(name: str) -> Iterator[str]:
    if not name.startswith("/"):
        return
    *modules, operator = name[1:].split("/")
    path: list[str] = []
    for module in modules:
        if path and module.startswith(path[-1] + "."):
            path.pop()
        path.append(module)
    yield ".".join(path)
    yield ".".join([*path, operator.lower()])


def _loosened(name: str) -> str:
    return _NO_LETTER.sub("_", name).strip("_").lower()
