"""What translations of ONNX operators into torch work with: a node, and the module that holds its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from offload.models.inputs import Shape
from offload.models.onnx_graph import infer_types

Compute = Callable[..., Tensor | Sequence[Tensor]]
"""Takes the tensors that flow into a node, without its constants; gives its outputs."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """An operator of the network: ONNX's, or one of those that torch has a single call for."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


def nodes_of(document: onnx.ModelProto) -> list[Node]:
    """The nodes of an ONNX document in its order."""
    return [
        Node(
            op=node.op_type,
            inputs=tuple(node.input),
            outputs=tuple(node.output),
            attributes={attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute},
        )
        for node in document.graph.node
    ]


class WeightedModule(nn.Module):
    """A module whose operators take their weights from an ONNX document, which is let go once they have them."""

    def __init__(self, document: onnx.ModelProto) -> None:
        super().__init__()
        self._constants = {tensor.name: tensor for tensor in document.graph.initializer}
        self._types = infer_types(document)

    def values_of(self, name: str) -> NDArray[Any]:
        """A constant of the document."""
        return np.array(numpy_helper.to_array(self._constants[name]))

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is one of the document's constants."""
        return name in self._constants

    def shape_of(self, name: str) -> Shape:
        """The shape of any tensor."""
        return tuple(self._constants[name].dims) if name in self._constants else self._types[name][1]

    def weight(self, values: NDArray[Any]) -> Callable[[], Tensor]:
        """Keep a parameter, or a buffer of integers; what is returned hands it out as it is when the network runs."""
        name = f"weight_{len(self._parameters) + len(self._buffers)}"
        tensor = torch.from_numpy(np.ascontiguousarray(values).reshape(values.shape))
        if tensor.is_floating_point():
            self.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
        else:
            self.register_buffer(name, tensor)

        def hand_out() -> Tensor:
            found: Tensor = getattr(self, name)
            return found

        return hand_out


Translation = Callable[[Any, Node], Compute]
"""From the module that is built and a node to what computes it; the module takes the node's weights."""


def operand(network: WeightedModule, name: str) -> Callable[[], Tensor | float] | None:
    """What hands out a constant operand, a plain number where it is one; None for a tensor that flows."""
    if not network.is_constant(name):
        return None
    values = network.values_of(name)
    if not values.shape:
        number = values.item()
        return lambda: number
    return network.weight(values)


def elementwise(call: Callable[[Any, Any], Tensor]) -> Translation:
    """A call on two operands, either of which may be a constant."""

    def translate(network: WeightedModule, node: Node) -> Compute:
        first, second = (operand(network, name) for name in node.inputs)
        if first is not None:
            return lambda x: call(first(), x)
        if second is not None:
            return lambda x: call(x, second())
        return call

    return translate


def unary(call: Callable[[Tensor], Tensor]) -> Translation:
    """A call on one tensor, without weights."""
    return lambda network, node: call
