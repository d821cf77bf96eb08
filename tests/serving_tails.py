"""A model of a server's own that needs no torch: a small graph and its arithmetic in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from offload.errors import OffloadError
from offload.graph.cuts import Cut
from offload.graph.model_graph import Layer, ModelGraph, Tensor
from offload.serving.own_models import OwnModel

HASH = "5e" * 32


def diamond(dtype: str = "float32") -> ModelGraph:
    """`double = 2x`, `plus = double + 1`, `minus = double - 1`, `product = plus * minus`; the last two are outputs."""

    def layer(name: str, *inputs: str) -> Layer:
        return Layer(name=name, kind="elementwise", op="op", inputs=inputs, outputs=(name,), flops=4, weight_bytes=1000)

    tensors = ("x", "double", "plus", "minus", "product")
    return ModelGraph(
        tensors=tuple(Tensor(name=name, shape=(1, 4), dtype=dtype) for name in tensors),
        layers=(
            layer("double", "x"),
            layer("plus", "double"),
            layer("minus", "double"),
            layer("product", "plus", "minus"),
        ),
        inputs=("x",),
        outputs=("minus", "product"),
    )


ARITHMETIC: Mapping[str, Callable[..., np.ndarray]] = {
    "double": lambda x: x + x,
    "plus": lambda double: double + np.ones_like(double),
    "minus": lambda double: double - np.ones_like(double),
    "product": lambda plus, minus: plus * minus,
}


@dataclass
class Tail:
    """The layers of one side, run one after another."""

    graph: ModelGraph
    cut: Cut
    runs: list[frozenset[str]]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.runs.append(frozenset(feeds))
        values = dict(feeds)
        for index, layer in enumerate(self.graph.layers):
            if index not in self.cut.device:
                values[layer.name] = ARITHMETIC[layer.name](*(values[name] for name in layer.inputs))
        return {name: values[name] for name in self.cut.returning}


@dataclass
class Diamond:
    """A `TailSource` over the diamond; `failing` is raised where a tail is to be loaded."""

    own: OwnModel = field(default_factory=lambda: OwnModel(spec="diamond"))
    name: str = "diamond"
    hash: str = HASH
    graph: ModelGraph = field(default_factory=diamond)
    failing: Exception | None = None
    runs: list[frozenset[str]] = field(default_factory=list)

    def load_tail(self, cut: Cut) -> Tail:
        if self.failing is not None:
            raise self.failing
        return Tail(self.graph, cut, self.runs)


BROKEN: tuple[tuple[Exception, str, str], ...] = (
    (OffloadError("no kernel for it"), "INTERNAL", "no kernel for it"),
    (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nmore"), "RESOURCE_EXHAUSTED", "out of memory"),
    (MemoryError(), "RESOURCE_EXHAUSTED", "MemoryError"),
)
"""What loading may raise, the status that makes, and what it says."""
