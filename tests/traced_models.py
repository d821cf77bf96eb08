"""A small ONNX file whose nodes are named as torch.onnx names them, and traces that ONNX Runtime and torch record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn
from torch.profiler import ProfilerActivity, profile, schedule

TRTEXEC_PROFILE = Path(__file__).parent / "data" / "trtexec_profile.json"
"""Of `two_branches`, written by hand after published files of trtexec: spacing, fields, kinds of names."""


def two_branches(*, channels: int = 8, size: int = 16, batch: int = 1) -> ModelProto:
    """conv1, act1, left and right side by side, a SiLU on the left, add, pool, flatten, head."""
    generator = np.random.default_rng(0)
    names = [
        ("conv1", "Conv", ["x", "conv1.weight"], {"pads": [1] * 4}),
        ("act1", "Relu", ["conv1"], {}),
        ("left", "Conv", ["act1", "left.weight"], {"pads": [1] * 4}),
        ("right", "Conv", ["act1", "right.weight"], {"pads": [1] * 4}),
        ("act2", "Sigmoid", ["left"], {}),
        ("act2_mul", "Mul", ["left", "act2"], {}),
        ("add", "Add", ["act2_mul", "right"], {}),
        ("pool", "GlobalAveragePool", ["add"], {}),
        ("flatten", "Flatten", ["pool"], {}),
        ("head", "Gemm", ["flatten", "head.weight", "head.bias"], {}),
    ]
    paths = {"add": "/Add", "flatten": "/Flatten", "act2_mul": "/act2/Mul"}
    nodes = [
        helper.make_node(op, inputs, [name], name=paths.get(name, f"/{name}/{op}"), **attributes)
        for name, op, inputs, attributes in names
    ]
    shapes = {
        "conv1.weight": (channels, 3, 3, 3),
        "left.weight": (channels, channels, 3, 3),
        "right.weight": (channels, channels, 3, 3),
        "head.weight": (channels, 5),
        "head.bias": (5,),
    }
    weights = [
        numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    graph = helper.make_graph(
        nodes,
        "two_branches",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, 3, size, size))],
        [helper.make_tensor_value_info("head", TensorProto.FLOAT, (batch, 5))],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def onnxruntime_trace(
    model: ModelProto, folder: Path, *, runs: int = 4, level: str = "ORT_ENABLE_ALL", threads: int = 1
) -> Path:
    """The file that ONNX Runtime's profiler writes of a session."""
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "trace")
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {each.name: np.zeros(each.shape, np.float32) for each in session.get_inputs()}
    for _ in range(runs):
        session.run(None, feeds)
    return Path(session.end_profiling())


def torch_trace(
    module: nn.Module, shape: tuple[int, ...], folder: Path, *, runs: int = 3, steps: bool = True, shapes: bool = False
) -> Path:
    """The file that torch.profiler exports of some runs, after a warm-up where it has steps."""
    path = folder / "trace.json"
    data = torch.rand(shape)
    timing = schedule(wait=0, warmup=1, active=runs, repeat=1) if steps else None
    with (
        torch.inference_mode(),
        profile(
            activities=[ProfilerActivity.CPU],
            schedule=timing,
            record_shapes=shapes,
            on_trace_ready=lambda done: done.export_chrome_trace(str(path)),
        ) as profiler,
    ):
        for _ in range(runs + steps):
            module(data)
            if steps:
                profiler.step()
    return path
