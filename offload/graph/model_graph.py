"""The one picture of a network that every part shares: tensors, layers and how they connect."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

LayerKind = Literal[
    "conv", "local", "linear", "matmul", "attention", "pool", "norm", "activation", "softmax", "argmax",
    "elementwise", "recurrent", "embedding", "resize", "shape", "other",
]  # fmt: skip
LAYER_KINDS: tuple[LayerKind, ...] = get_args(LayerKind)

DTYPE_BYTES: Mapping[str, int] = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint64": 8, "uint32": 4, "uint16": 2, "uint8": 1, "bool": 1,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A value that flows between layers (weights are not tensors here)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """A NumPy type name, one of DTYPE_BYTES."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the dense tensor, without any header."""
        return math.prod(self.shape) * DTYPE_BYTES[self.dtype]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One operation of the network as its author wrote it (after constant and batch-norm folding)."""

    name: str
    """Unique in its graph."""
    kind: LayerKind
    op: str
    """The operator's own name, for example `Conv`."""
    inputs: tuple[str, ...]
    """Tensors read: model inputs or other layers' outputs, each once; weights are not listed."""
    outputs: tuple[str, ...]
    """Tensors produced."""
    flops: int
    """Operations of one run; a multiply or an add is one, so a multiply-accumulate is two."""
    weight_bytes: int
    """Bytes of the constants the layer reads."""


@dataclass(frozen=True, kw_only=True)
class ModelGraph:
    """A network as a directed acyclic graph; `layers` are in a topological order."""

    tensors: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @cached_property
    def tensor_by_name(self) -> Mapping[str, Tensor]:
        """Tensors by name."""
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def producer(self) -> Mapping[str, int]:
        """Index of the layer that produces each tensor; model inputs are absent."""
        return {name: index for index, layer in enumerate(self.layers) for name in layer.outputs}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[int, ...]]:
        """Indices of the layers that read each tensor, in order."""
        found: dict[str, list[int]] = {tensor.name: [] for tensor in self.tensors}
        for index, layer in enumerate(self.layers):
            for name in layer.inputs:
                found[name].append(index)
        return {name: tuple(indices) for name, indices in found.items()}

    @property
    def flops(self) -> int:
        """Operations of one run of the whole network (a multiply-accumulate is two)."""
        return sum(layer.flops for layer in self.layers)
