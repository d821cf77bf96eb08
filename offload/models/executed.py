"""What ONNX Runtime executes for a model: the kernels of its optimised graph, each with its shapes.

The optimised graph holds operators of ONNX Runtime's own (fused ones, and the blocked NCHWc layout) whose results no
shape inference knows. Most still bear the names of the model's tensors; the rest follows from what the operators do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offload.models.operators import Operation, Shape

if TYPE_CHECKING:
    import onnx

_STANDARD_OF: Mapping[str, str] = {
    "nchwc.Conv": "Conv", "nchwc.MaxPool": "MaxPool", "nchwc.AveragePool": "AveragePool",
    "nchwc.GlobalMaxPool": "GlobalMaxPool", "nchwc.GlobalAveragePool": "GlobalAveragePool",
    "nchwc.Upsample": "Resize", "nchwc.ReorderInput": "Transpose", "nchwc.ReorderOutput": "Transpose",
    "FusedConv": "Conv", "NhwcFusedConv": "Conv", "NhwcMaxPool": "MaxPool",
    "FusedGemm": "Gemm", "FusedMatMul": "MatMul", "TransposeMatMul": "MatMul", "FusedMatMulActivation": "MatMul",
    "QuickGelu": "Swish", "FastGelu": "Gelu", "BiasGelu": "Gelu", "Gelu": "Gelu",
    "SkipLayerNormalization": "LayerNormalization", "EmbedLayerNormalization": "LayerNormalization",
    "SimplifiedLayerNormalization": "RMSNormalization", "SkipSimplifiedLayerNormalization": "RMSNormalization",
    "MultiHeadAttention": "Attention", "Attention": "Attention", "GroupQueryAttention": "Attention",
    "BiasSoftmax": "Softmax",
}  # fmt: skip
_BROADCASTING = frozenset(
    ("Add", "Sub", "Mul", "Div", "Pow", "Sum", "Mean", "Max", "Min", "Where", "And", "Or", "PRelu", "Equal", "Less",
     "Greater")
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One call of the runtime, with all that its cost follows from."""

    name: str
    """Unique in its model; the runtime's profiler reports it under this name."""
    runs: str
    """The runtime's own operator, `nchwc.Conv` for one of the blocked layout."""
    operation: Operation
    """The standard operator that computes the same, with shapes as the runtime lays them out."""
    item_bytes: int
    """Bytes of one element of its largest tensor."""
    position: int = 0
    """Its place in the order of execution."""
    version: int = 0
    """Since which version of ONNX the operator is what it is; 0 for the runtime's own."""


@dataclass(frozen=True, kw_only=True)
class ExecutedBlock:
    """Layers of a model that are executed together, and the kernels that do it."""

    layers: tuple[int, ...]
    """Indices into the graph's layers; each layer is in exactly one block."""
    kernels: tuple[Kernel, ...]


@dataclass(frozen=True, kw_only=True)
class TimedNetwork:
    """A network, its kernels and how long they took."""

    number: int
    """Which one of the random networks."""
    style: str
    reference_s: float
    """The reference kernel meanwhile."""
    empty_call_s: float
    """A call that computes next to nothing, meanwhile."""
    whole_s: tuple[float, ...]
    """The unprofiled network, one sample a round."""
    kernels: tuple[Kernel, ...]
    kernel_s: tuple[tuple[float, ...], ...]
    """Of each kernel, as the runtime's profiler tells it, one sample a round."""


def executed_kernels(optimised: onnx.ModelProto, types: Mapping[str, tuple[int, Shape]]) -> tuple[Kernel, ...]:
    """The kernels of an optimised graph in their order.

    Args:
        optimised: What ONNX Runtime wrote to `optimized_model_filepath`.
        types: ONNX element type and shape of the tensors of the model it was made from.
    """
    from onnx import defs, helper

    opset = max((one.version for one in optimised.opset_import if one.domain in ("", "ai.onnx")), default=0)
    weights = {tensor.name: tensor for tensor in optimised.graph.initializer}
    shapes: dict[str, Shape] = {name: shape for name, (_, shape) in types.items()}
    shapes |= {name: tuple(tensor.dims) for name, tensor in weights.items()}
    elements = {name: kind for name, (kind, _) in types.items()}
    elements |= {name: tensor.data_type for name, tensor in weights.items()}
    found = []
    for number, node in enumerate(optimised.graph.node):
        domain = node.domain.rpartition(".")[2]
        runs = f"nchwc.{node.op_type}" if domain == "nchwc" else node.op_type
        op = _STANDARD_OF.get(runs, node.op_type)
        attributes = {attribute.name: _plain(helper.get_attribute_value(attribute)) for attribute in node.attribute}
        inputs = tuple(shapes.get(name) if name else None for name in node.input)
        missing = [name for name in node.output if name and name not in shapes]
        for name in missing:
            shapes[name] = _result(
                op, inputs, attributes, _integers(weights.get(node.input[1])) if op == "Reshape" else ()
            )
        known = [elements[name] for name in (*node.input, *node.output) if name in elements]
        for name in node.output:
            elements.setdefault(name, known[0] if known else 1)
        largest = max(
            (name for name in (*node.input, *node.output) if name), key=lambda n: math.prod(shapes.get(n, ()))
        )
        found.append(
            Kernel(
                name=node.name or f"{node.op_type}_{number}",
                runs=runs,
                operation=Operation(
                    op=op,
                    inputs=inputs,
                    outputs=tuple(shapes[name] for name in node.output if name),
                    constant=tuple(name in weights for name in node.input),
                    attributes=attributes,
                ),
                item_bytes=helper.tensor_dtype_to_np_dtype(elements.get(largest, 1)).itemsize,
                position=number,
                # Fusion puts operators into a model that its own version of ONNX does not have.
                version=(
                    defs.get_schema(node.op_type, opset).since_version
                    if node.domain in ("", "ai.onnx") and defs.has(node.op_type, opset)
                    else 0
                ),
            )
        )
    return tuple(found)


def _plain(value: Any) -> Any:
    """An attribute as numbers, text and lists of them; None for what is neither, such as a tensor."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if isinstance(value, (int, float, str)) else None


def _integers(tensor: onnx.TensorProto | None) -> Shape:
    from onnx import numpy_helper

    return () if tensor is None else tuple(int(size) for size in numpy_helper.to_array(tensor))


def _result(op: str, inputs: Sequence[Shape | None], attributes: Mapping[str, Any], wanted: Shape) -> Shape:
    """The shape of a result that bears no name of the model's: of what ONNX Runtime puts in by itself.

    Args:
        op: The standard operator.
        inputs: Their shapes, as far as known.
        attributes: By name.
        wanted: The shape that a Reshape is given.
    """
    first = (inputs[0] if inputs else None) or ()
    if wanted:
        sizes = [first[axis] if size == 0 and axis < len(first) else size for axis, size in enumerate(wanted)]
        known = math.prod(size for size in sizes if size > 0)
        return tuple(math.prod(first) // max(known, 1) if size < 0 else size for size in sizes)
    if op == "Gemm" and len(inputs) > 1 and inputs[1]:
        return (first[-1 if attributes.get("transA") else 0], inputs[1][0 if attributes.get("transB") else -1])
    if op == "MatMul" and len(inputs) > 1 and inputs[1]:
        return (*first[:-1], inputs[1][-2 if attributes.get("transB") else -1])
    if op in ("Conv", "MaxPool", "AveragePool") and len(first) > 2:
        channels = (inputs[1] or first[1:])[0] if op == "Conv" and len(inputs) > 1 else first[1]
        return (first[0], channels, *_windows(first[2:], attributes, (inputs[1] or ())[2:] if op == "Conv" else ()))
    if op in ("GlobalAveragePool", "GlobalMaxPool"):
        return (*first[:2], *(1 for _ in first[2:]))
    if op == "Resize" and "scales" in attributes:
        return tuple(round(size * scale) for size, scale in zip(first, attributes["scales"], strict=False))
    if op == "Concat":
        axis = int(attributes.get("axis", 0)) % max(len(first), 1)
        return (*first[:axis], sum((shape or first)[axis] for shape in inputs), *first[axis + 1 :]) if first else ()
    if op == "Transpose" and "perm" in attributes:
        return tuple(first[axis] for axis in attributes["perm"])
    if op in _BROADCASTING:
        return max((shape for shape in inputs if shape), key=math.prod, default=())
    return first


def _windows(sizes: Shape, attributes: Mapping[str, Any], kernel: Shape) -> Shape:
    """Places that a window takes along each axis."""
    rank = len(sizes)
    kernel = tuple(attributes.get("kernel_shape") or kernel or (1,) * rank)
    strides = tuple(attributes.get("strides") or (1,) * rank)
    dilations = tuple(attributes.get("dilations") or (1,) * rank)
    if attributes.get("auto_pad") in ("SAME_UPPER", "SAME_LOWER"):
        return tuple(-(-size // stride) for size, stride in zip(sizes, strides, strict=True))
    pads = tuple(attributes.get("pads") or (0,) * (2 * rank))
    round_up = bool(attributes.get("ceil_mode"))
    found = []
    for axis, size in enumerate(sizes):
        free = size + pads[axis] + pads[axis + rank] - dilations[axis] * (kernel[axis] - 1) - 1
        found.append((-(-free // strides[axis]) if round_up else free // strides[axis]) + 1)
    return tuple(found)
