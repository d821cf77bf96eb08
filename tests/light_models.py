"""The nine real topologies inside the onnx package, with weights.

The package stores them without weights: `ConstantOfShape` nodes stand in, which would fold whole layers into constants.
Here each becomes a seeded random initialiser of a scale that keeps signals finite and alive through the network.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

LIGHT_MODELS = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)
LARGE = ("bvlc_alexnet", "vgg19", "zfnet512")
"""Those of 244 MB and more."""


def light_model(name: str, *, seed: int = 0) -> bytes:
    """The model called `name` in LIGHT_MODELS, with random weights, serialised."""
    model = onnx.load(Path(onnx.__file__).parent / "backend/test/data/light" / f"light_{name}.onnx")
    _materialise(model, np.random.default_rng(seed))
    return model.SerializeToString()


def light_model_path(name: str, folder: Path, *, seed: int = 0) -> Path:
    """The same as a file in `folder`, written once."""
    path = folder / f"{name}.onnx" if not seed else folder / f"{name}-{seed}.onnx"
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(light_model(name, seed=seed))
        temporary.replace(path)
    return path


def _materialise(model: ModelProto, generator: np.random.Generator) -> None:
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, list[tuple[NodeProto, int]]] = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            readers.setdefault(name, []).append((node, index))
    fillers = [node for node in graph.node if node.op_type == "ConstantOfShape"]
    kept = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    for filler in fillers:
        shape = tuple(int(size) for size in numpy_helper.to_array(weights[filler.input[0]]))
        values = _draw(filler.output[0], shape, readers, generator)
        graph.initializer.append(numpy_helper.from_array(values, filler.output[0]))
    shapes = {node.input[0] for node in fillers}
    initialisers = [tensor for tensor in graph.initializer if tensor.name not in shapes]
    inputs = [value for value in graph.input if value.name not in shapes]
    del graph.node[:], graph.initializer[:], graph.input[:]
    graph.node.extend(kept)
    graph.initializer.extend(initialisers)
    graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)


def _draw(
    name: str,
    shape: tuple[int, ...],
    readers: dict[str, list[tuple[NodeProto, int]]],
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    node, index = readers[name][0]
    while node.op_type == "Unsqueeze":
        node, index = readers[node.output[0]][0]
    low, high = -0.05, 0.05
    if node.op_type in ("Conv", "Gemm") and index == 1:
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        fan_in = shape[0] if node.op_type == "Gemm" and not transposed else math.prod(shape[1:])
        bound = math.sqrt(6 / fan_in)
        low, high = -bound, bound
    elif node.op_type == "Mul" or (node.op_type == "BatchNormalization" and index in (1, 4)):
        low, high = 0.9, 1.1
        ends_branch = any(reader.op_type == "Sum" for reader, _ in readers.get(node.output[0], ()))
        if node.op_type == "BatchNormalization" and index == 1 and ends_branch:
            low, high = 0.3, 0.5  # sums of many branches would grow with depth
    return generator.random(shape, dtype=np.float32) * np.float32(high - low) + np.float32(low)
