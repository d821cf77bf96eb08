"""Shapes of what ONNX Runtime executes, against what its own trace tells of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from offload.models.executed import executed_kernels
from offload.models.onnx_graph import graph_of, infer_types
from offload.profilers.kernels import KernelTimer
from offload.profilers.layers import random_feeds
from offload.runtimes.onnxruntime import OnnxRuntime
from tests.drawn import drawn_each
from tests.fitted import executed
from tests.light_models import light_model

VERSIONS: dict[str, Any] = {"opset_imports": [helper.make_opsetid("", 20)], "ir_version": 10}
PADDED = ("nchwc.ReorderInput", "nchwc.ReorderOutput")
"""Their blocked side holds whole blocks of channels, which may be more than there are."""


def traced(model: bytes, folder: Path) -> dict[str, list[tuple[int, ...]]]:
    """Shapes of the results of each kernel, by its name, as the profiler tells them."""
    timer = KernelTimer(model, OnnxRuntime(device="cpu"), threads=1, folder=folder)
    timer.run(random_feeds(graph_of(model)))
    events: list[dict[str, Any]] = json.loads(Path(timer._session.end_profiling()).read_text(encoding="utf-8"))
    return {
        event["name"].removesuffix("_kernel_time"): [
            tuple(shape) for each in event["args"]["output_type_shape"] for shape in each.values()
        ]
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    }


def compare(model: bytes, folder: Path) -> tuple[int, int]:
    """How many kernels were compared, of how many; the profiler names some of those without a name otherwise."""
    told = traced(model, folder)
    kernels = executed(model)
    assert len(kernels) == len(told)
    compared = 0
    for kernel in kernels:
        if kernel.name in told and kernel.runs not in PADDED:
            # Results that nothing reads have no shape in either.
            shapes = [shape for shape in told[kernel.name] if shape]
            ours = [shape for shape in kernel.operation.outputs if shape]
            assert ours[: len(shapes)] == shapes[: len(ours)], (kernel.name, kernel.runs)
            compared += 1
    return compared, sum(kernel.runs not in PADDED for kernel in kernels)


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "resnet50", "inception_v1", "densenet121"])
def test_shapes_of_real_topologies(name: str, tmp_path: Path) -> None:
    compared, of = compare(light_model(name), tmp_path)
    assert compared >= 0.9 * of


@pytest.mark.parametrize("style", ["image", "dense", "transformer", "recurrent", "speech", "local"])
def test_shapes_of_random_networks(style: str, tmp_path: Path) -> None:
    networks = drawn_each({style: 12 if style == "image" else 3}, scale=0.3)
    compared, of = (sum(counts) for counts in zip(*(compare(one.onnx, tmp_path) for one in networks), strict=True))
    assert compared >= 0.9 * of


def test_nodes_without_names_are_kernels_of_their_own() -> None:
    nodes = [helper.make_node("MatMul", [f"t{i}", f"w{i}"], [f"t{i + 1}"]) for i in range(3)]
    weights = [helper.make_tensor(f"w{i}", TensorProto.FLOAT, (4, 4), [0.1] * 16) for i in range(3)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (2, 4)) for name in ("t0", "t3")]
    model = helper.make_model(helper.make_graph(nodes, "unnamed", ends[:1], ends[1:], weights), **VERSIONS)
    kernels = executed_kernels(model, infer_types(model))
    assert len({kernel.name for kernel in kernels}) == 3
    assert [kernel.operation.outputs for kernel in kernels] == [((2, 4),)] * 3
    assert all(kernel.operation.constant == (False, True) for kernel in kernels)
    assert len(executed(model.SerializeToString())) == 3


def test_results_of_the_runtimes_own_making_have_shapes() -> None:
    """Of names no model has: as the optimiser leaves them, blocked and fused."""
    nodes = [
        helper.make_node("ReorderInput", ["x"], ["a"], name="in", domain="com.microsoft.nchwc"),
        helper.make_node(
            "Conv", ["a", "w"], ["b"], name="c", domain="com.microsoft.nchwc", strides=[2, 2], pads=[1, 1, 1, 1],
            kernel_shape=[3, 3], activation="Relu",
        ),
        helper.make_node(
            "MaxPool", ["b"], ["c"], name="p", domain="com.microsoft.nchwc", kernel_shape=[3, 3], strides=[2, 2],
            ceil_mode=1,
        ),
        helper.make_node("GlobalAveragePool", ["c"], ["d"], name="g", domain="com.microsoft.nchwc"),
        helper.make_node("ReorderOutput", ["d"], ["y"], name="out", domain="com.microsoft.nchwc"),
        helper.make_node("FusedMatMul", ["q", "k"], ["s"], name="m", domain="com.microsoft", transB=1),
    ]  # fmt: skip
    shapes = {"x": (1, 8, 56, 56), "w": (16, 8, 3, 3), "q": (2, 5, 4), "k": (2, 7, 4)}
    graph = helper.make_graph(nodes, "optimised", [], [], [helper.make_tensor("w", 1, (16, 8, 3, 3), [0.0] * 1152)])
    found = executed_kernels(helper.make_model(graph), {name: (1, shape) for name, shape in shapes.items()})
    assert [(kernel.operation.op, kernel.operation.outputs[0]) for kernel in found] == [
        ("Transpose", (1, 8, 56, 56)),
        ("Conv", (1, 16, 28, 28)),
        ("MaxPool", (1, 16, 14, 14)),
        ("GlobalAveragePool", (1, 16, 1, 1)),
        ("Transpose", (1, 16, 1, 1)),
        ("MatMul", (2, 5, 7)),
    ]
    assert found[1].runs == "nchwc.Conv"
    assert found[1].operation.attributes["activation"] == "Relu"


def test_element_types_are_those_of_the_largest_tensor() -> None:
    nodes = [helper.make_node("Gather", ["w", "i"], ["y"], name="lookup")]
    graph = helper.make_graph(nodes, "g", [], [], [helper.make_tensor("w", TensorProto.FLOAT, (9, 4), [0.0] * 36)])
    (kernel,) = executed_kernels(helper.make_model(graph), {"i": (TensorProto.INT64, (3,)), "y": (1, (3, 4))})
    assert kernel.item_bytes == 4


@pytest.mark.parametrize(("opset", "version"), [(9, 7), (18, 11), (20, 19)])
def test_kernels_say_since_when_their_operator_is_what_it_is(opset: int, version: int) -> None:
    pool = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2])
    own = helper.make_node("QuickGelu", ["y"], ["z"], domain="com.microsoft")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 5, side, side])
        for name, side in zip("xz", (9, 4), strict=True)
    ]
    graph = helper.make_graph([pool, own], "versions", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    found = executed_kernels(helper.make_model(graph, opset_imports=opsets), {"x": (1, (1, 5, 9, 9))})
    assert [kernel.version for kernel in found] == [version, 0]


def test_an_operator_that_fusion_puts_into_an_older_model_has_no_version(tmp_path: Path) -> None:
    width = 32
    constants = {"two": [2.0], "eps": [1e-5], "scale": [1.0] * width, "shift": [0.5] * width}
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[-1]),
        helper.make_node("Sub", ["x", "mean"], ["off"]),
        helper.make_node("Pow", ["off", "two"], ["square"]),
        helper.make_node("ReduceMean", ["square"], ["variance"], axes=[-1]),
        helper.make_node("Add", ["variance", "eps"], ["above"]),
        helper.make_node("Sqrt", ["above"], ["deviation"]),
        helper.make_node("Div", ["off", "deviation"], ["normed"]),
        helper.make_node("Mul", ["normed", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, width]) for name in "xy"]
    weights = [helper.make_tensor(name, TensorProto.FLOAT, [len(v)], v) for name, v in constants.items()]
    graph = helper.make_graph(nodes, "norm", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    timer = KernelTimer(model.SerializeToString(), OnnxRuntime(device="cpu"), threads=1, folder=tmp_path)
    optimised = timer.optimised()
    timer.finish(())
    found = executed_kernels(optimised, infer_types(model))
    assert [(kernel.runs, kernel.version) for kernel in found] == [("LayerNormalization", 0)]
