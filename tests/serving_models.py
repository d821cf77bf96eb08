"""Tiny ONNX models for the serving tests."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

WIDTHS = (3, 16, 32, 32)


def model_bytes(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    initializers: Sequence[TensorProto] = (),
    domains: Sequence[str] = ("",),
) -> bytes:
    graph = helper.make_graph(list(nodes), "test", list(inputs), list(outputs), list(initializers))
    opsets = [helper.make_opsetid(domain, 1 if domain else 17) for domain in domains]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def floats(name: str, *shape: int | str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def scale(factor: float = 2.0, size: int = 4) -> bytes:
    """`y = factor * x`, FP32 [1, size]."""
    constant = helper.make_tensor("k", TensorProto.FLOAT, [], [factor])
    return model_bytes(
        [helper.make_node("Mul", ["x", "k"], ["y"])], [floats("x", 1, size)], [floats("y", 1, size)], [constant]
    )


def add_and_subtract() -> bytes:
    """`sum = a + b`, `difference = a - b`, FP32 [2, 3]."""
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["difference"])]
    return model_bytes(nodes, [floats("a", 2, 3), floats("b", 2, 3)], [floats("sum", 2, 3), floats("difference", 2, 3)])


def cast_to(onnx_type: int, shape: Sequence[int] = (2,)) -> bytes:
    """`y = x` in one element type."""
    value = [helper.make_tensor_value_info(name, onnx_type, shape) for name in ("x", "y")]
    return model_bytes([helper.make_node("Identity", ["x"], ["y"])], value[:1], value[1:])


def slow(products: int = 40, size: int = 1024) -> bytes:
    """About a second of matrix products of one FP32 [size, size] input."""
    names = ["x", *(f"h{index}" for index in range(products - 1)), "y"]
    nodes = [helper.make_node("MatMul", [name, "x"], [following]) for name, following in itertools.pairwise(names)]
    return model_bytes(nodes, [floats("x", size, size)], [floats("y", size, size)])


def hungry(elements: int) -> bytes:
    """A small file that makes `elements` floats when it runs."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [1], [elements])
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["large"]),
        helper.make_node("ReduceMax", ["large"], ["y"], axes=[0], keepdims=1),
    ]
    return model_bytes(nodes, [floats("x", 1)], [floats("y", 1)], [shape])


def foreign_domain() -> bytes:
    """A model with an operator of another domain."""
    node = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    return model_bytes([node], [floats("x", 1)], [floats("y", 1)], domains=("", "com.microsoft"))


def foreign_domain_in_branch() -> bytes:
    """The same, hidden in a branch."""
    inner = helper.make_graph(
        [helper.make_node("Gelu", ["x"], ["b"], domain="com.microsoft")], "branch", [], [floats("b", 1)]
    )
    condition = helper.make_tensor("c", TensorProto.BOOL, [], [True])
    node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    return model_bytes([node], [floats("x", 1)], [floats("y", 1)], [condition], domains=("", "com.microsoft"))


def external_data() -> bytes:
    """A model whose weight is said to lie in another file."""
    weight = TensorProto(name="k", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="/etc/passwd")
    return model_bytes([helper.make_node("Mul", ["x", "k"], ["y"])], [floats("x", 1)], [floats("y", 1)], [weight])


def endless() -> bytes:
    """A loop as long as its input says."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Add", ["s", "s"], ["t"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            floats("s", 1),
        ],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, []), floats("t", 1)],
    )
    trips = helper.make_tensor_value_info("n", TensorProto.INT64, [])
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)
    return model_bytes([node], [trips, floats("x", 1)], [floats("y", 1)])


def row(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def small_network(seed: int = 0) -> bytes:
    """Three strided convolutions with ReLUs and a classifier; the first layers shrink the data."""
    generator = np.random.default_rng(seed)
    nodes, weights, value = [], [], "image"
    for number, (read, written) in enumerate(itertools.pairwise(WIDTHS)):
        weight = generator.standard_normal((written, read, 3, 3), dtype=np.float32) / read
        weights.append(numpy_helper.from_array(weight, f"w{number}"))
        nodes.append(
            helper.make_node(
                "Conv", [value, f"w{number}"], [f"c{number}"], name=f"conv{number}", strides=[2, 2], pads=[1, 1, 1, 1]
            )
        )
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"], name=f"relu{number}"))
        value = f"r{number}"
    weights.append(numpy_helper.from_array(generator.standard_normal((32, 10), dtype=np.float32), "wf"))
    nodes += [
        helper.make_node("GlobalAveragePool", [value], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("MatMul", ["f", "wf"], ["scores"], name="classifier"),
    ]
    return model_bytes(nodes, [floats("image", 1, 3, 64, 64)], [floats("scores", 1, 10)], weights)
