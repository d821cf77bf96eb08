"""Walking ONNX protos: what a node reads, and every tensor stored in a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

MAX_PROTO_BYTES = 2**31 - 1
"""Protobuf cannot hold more in one message."""


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The bodies of a control-flow node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _captured(graph: GraphProto) -> list[str]:
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    names: list[str] = []
    for node in graph.node:
        names += [name for name in reads(node) if name not in known]
        known.update(node.output)
    return names + [value.name for value in graph.output if value.name not in known]


def captured(node: NodeProto) -> list[str]:
    """Tensors that the bodies of a control-flow node read from outside, each once."""
    return list(dict.fromkeys(name for body in subgraphs(node) for name in _captured(body)))


def reads(node: NodeProto) -> list[str]:
    """Every tensor a node reads, each once: its inputs and what its bodies capture."""
    return list(dict.fromkeys([name for name in node.input if name] + captured(node)))


def _tensors_of_nodes(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
        for body in subgraphs(node):
            yield from body.initializer
            yield from _tensors_of_nodes(body.node)


def stored_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor a model stores: initialisers, attributes, and those of bodies and functions."""
    yield from model.graph.initializer
    yield from _tensors_of_nodes(model.graph.node)
    for function in model.functions:
        yield from _tensors_of_nodes(function.node)


def all_nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Nodes and, depth first, the nodes of their bodies."""
    for node in nodes:
        yield node
        for body in subgraphs(node):
            yield from all_nodes(body.node)
