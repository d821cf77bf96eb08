"""A torch module as calls of ATen operators: which are measured, divided and run where they are."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from offload.artifacts.profile import Precision
from offload.graph.model_graph import ModelGraph

if TYPE_CHECKING:
    import torch
    from torch import fx

    from offload.models.segments import TorchSegment


@dataclass(frozen=True)
class Value:
    """A tensor of the graph, where a call takes it."""

    name: str


@dataclass(frozen=True)
class Weight:
    """A parameter, buffer or constant, where a call takes it."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of an ATen operator: what one layer computes."""

    operator: torch._ops.OpOverload[Any, Any]
    args: tuple[Any, ...]
    """As the operator takes them, with `Value` and `Weight` in place of tensors, also inside lists."""
    kwargs: Mapping[str, Any]
    results: Mapping[str, int | None]
    """Tensors that are used, by name: which of the operator's results each is, None for its only one."""


@dataclass(frozen=True, kw_only=True)
class TorchProgram:
    """A module in inference form, without side effects; `calls[i]` computes layer `i` of the graph."""

    graph: ModelGraph
    calls: tuple[Call, ...]
    weights: Mapping[str, torch.Tensor]
    """On the CPU, by name."""

    @cached_property
    def hash(self) -> str:
        """SHA-256 of everything it computes with: operators, their arguments, weights, shapes and types."""
        import torch

        digest = hashlib.sha256()

        def add(*parts: bytes) -> None:
            for part in parts:
                digest.update(len(part).to_bytes(8, "little"))
                digest.update(part)

        for name in (*self.graph.inputs, *self.graph.outputs):
            tensor = self.graph.tensor_by_name[name]
            add(b"end", repr((tensor.name, tensor.shape, tensor.dtype)).encode())
        for call in self.calls:
            arguments = (call.args, sorted(call.kwargs.items()), list(call.results.items()))
            add(b"call", str(call.operator).encode(), repr(arguments).encode())
        for name, weight in sorted(self.weights.items()):
            data = weight.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
            add(b"weight", name.encode(), repr((tuple(weight.shape), weight.dtype)).encode(), data.tobytes())
        return digest.hexdigest()


def torch_dtype(precision: Precision) -> torch.dtype:
    """What weights and floating-point tensors are of."""
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


def substitute(argument: Any, replace: Callable[[Any], Any]) -> Any:
    """An argument of a call with every leaf replaced, lists and tuples kept."""
    if isinstance(argument, list | tuple):
        replaced = [substitute(each, replace) for each in argument]
        return tuple(replaced) if isinstance(argument, tuple) else replaced
    return replace(argument)


def segment_module(
    segment: TorchSegment,
    *,
    device: torch.device,
    convert: Callable[[torch.Tensor], torch.Tensor],
) -> fx.GraphModule:
    """A module that runs a segment's calls: its inputs in order to a tuple of its outputs.

    A value is freed after its last use.

    Args:
        segment: What to run.
        device: Where new tensors are made.
        convert: Brings a weight to the device.
    """
    import torch
    from torch import fx

    root = torch.nn.Module()
    graph = fx.Graph()
    nodes: dict[Value | Weight, fx.Node] = {
        Value(name): graph.placeholder(f"input_{i}") for i, name in enumerate(segment.inputs)
    }

    def replace(leaf: Any) -> Any:
        if isinstance(leaf, Weight) and leaf not in nodes:
            attribute = f"weight_{sum(isinstance(key, Weight) for key in nodes)}"
            root.register_buffer(attribute, convert(segment.program.weights[leaf.name]))
            nodes[leaf] = graph.get_attr(attribute)
        if isinstance(leaf, torch.device):
            return device
        return nodes[leaf] if isinstance(leaf, Value | Weight) else leaf

    for index in segment.layers:
        call = segment.program.calls[index]
        kwargs = {key: substitute(value, replace) for key, value in call.kwargs.items()}
        made = graph.call_function(call.operator, substitute(call.args, replace), kwargs)
        for name, position in call.results.items():
            nodes[Value(name)] = made if position is None else graph.call_function(operator.getitem, (made, position))
    graph.output(tuple(nodes[Value(name)] for name in segment.outputs))
    module = fx.GraphModule(root, graph)
    # Else each would hold the other, and the device's memory stay taken until the garbage collector comes by.
    module.graph.owning_module = None
    return module
