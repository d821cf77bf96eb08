"""What each ONNX operator is and what it costs: its layer kind and its floating-point operations.

One FLOP is one multiply or one add, so a multiply-accumulate is two. A convolution or matrix product counts two for
each weight applied, with or without a bias (the bias takes the place of the sum's missing last add), which is twice
the published MAC count. Normalisations, softmax and the transcendental activations are counted by their textbook
formula, each elementary function as one; they are small beside the rest. Moving data is free: its cost is bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from offload.graph.model_graph import LayerKind

Shape = tuple[int, ...]

_KINDS: Mapping[LayerKind, str] = {
    "conv": "Conv ConvTranspose ConvInteger QLinearConv DeformConv",
    "matmul": "MatMul Gemm Einsum MatMulInteger QLinearMatMul",
    "attention": "Attention",
    "pool": "MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool MaxRoiPool RoiAlign "
    "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp "
    "ReduceSumSquare",
    "norm": "BatchNormalization InstanceNormalization LayerNormalization GroupNormalization RMSNormalization LRN "
    "LpNormalization MeanVarianceNormalization",
    "activation": "Relu LeakyRelu PRelu ThresholdedRelu Clip Sigmoid HardSigmoid HardSwish Swish Tanh Elu Celu Selu "
    "Softplus Softsign Gelu Mish Erf Shrink",
    "softmax": "Softmax LogSoftmax Hardmax",
    "argmax": "ArgMax ArgMin TopK",
    "elementwise": "Add Sub Mul Div Pow Sqrt Exp Log Neg Abs Reciprocal Sum Mean Max Min Mod Floor Ceil Round Sign Sin "
    "Cos Tan Asin Acos Atan Sinh Cosh And Or Not Xor Equal Greater GreaterOrEqual Less LessOrEqual Where IsNaN IsInf "
    "BitShift BitwiseAnd BitwiseOr BitwiseXor BitwiseNot QuantizeLinear DequantizeLinear DynamicQuantizeLinear CumSum",
    "recurrent": "LSTM GRU RNN",
    "resize": "Resize Upsample GridSample AffineGrid",
    "shape": "Reshape Transpose Concat Split Slice Flatten Squeeze Unsqueeze Expand Tile Pad Identity Cast CastLike "
    "Shape Size Gather GatherElements GatherND ScatterElements ScatterND Scatter DepthToSpace SpaceToDepth Dropout "
    "Range ConstantOfShape Constant Trilu EyeLike OneHot NonZero Compress ReverseSequence CenterCropPad Col2Im",
}
_KIND_OF_OP: Mapping[str, LayerKind] = {op: kind for kind, ops in _KINDS.items() for op in ops.split()}

_WEIGHT_INDEX = {"QLinearConv": 3, "QLinearMatMul": 3}
"""Where the second operand stands when it is not input 1."""

_FLOPS_PER_ELEMENT = {
    "LeakyRelu": 2, "PRelu": 2, "Clip": 2, "Sigmoid": 4, "HardSigmoid": 4, "HardSwish": 5, "Swish": 5, "Tanh": 5,
    "Elu": 3, "Celu": 4, "Selu": 4, "Softplus": 3, "Softsign": 3, "Gelu": 5, "Mish": 9,
    "BatchNormalization": 2, "InstanceNormalization": 7, "LayerNormalization": 7, "GroupNormalization": 7,
    "RMSNormalization": 4, "LpNormalization": 4, "MeanVarianceNormalization": 6,
    "Softmax": 5, "LogSoftmax": 6, "QuantizeLinear": 3, "DequantizeLinear": 2,
}  # fmt: skip
_RECURRENT_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One node, with all that its kind and cost follow from."""

    op: str
    inputs: tuple[Shape | None, ...]
    """Shapes in the operator's order, weights included; None for an input left out or of unknown shape."""
    outputs: tuple[Shape, ...]
    constant: tuple[bool, ...] = ()
    """For each input, whether it is a weight."""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def is_constant(self, index: int) -> bool:
        """Whether input `index` is a weight."""
        return index < len(self.constant) and self.constant[index]

    def shape(self, index: int) -> Shape:
        """Shape of input `index`; empty when it is left out."""
        return (self.inputs[index] if index < len(self.inputs) else None) or ()


def kind_of(operation: Operation) -> LayerKind:
    """The layer kind; `other` for an operator that is not known."""
    kind = _KIND_OF_OP.get(operation.op, "other")
    if kind == "matmul" and (operation.is_constant(0) or operation.is_constant(_WEIGHT_INDEX.get(operation.op, 1))):
        # A stack of matrices, each met by its own part of the other operand: filters untied from place to place.
        constant = operation.shape(0 if operation.is_constant(0) else _WEIGHT_INDEX.get(operation.op, 1))
        return "local" if operation.op == "MatMul" and math.prod(constant[:-2]) > 1 else "linear"
    if operation.op == "Gather" and operation.is_constant(0) and len(operation.shape(0)) == 2:
        return "embedding"
    return kind


def flops_of(operation: Operation) -> int:
    """Floating-point operations of one run; 0 where nothing is computed or the operator is not known."""
    op, attributes = operation.op, operation.attributes
    elements_in = math.prod(operation.shape(0))
    elements_out = math.prod(operation.outputs[0]) if operation.outputs else 0
    match _KIND_OF_OP.get(op, "other"):
        case "conv" if op == "ConvTranspose":
            return 2 * elements_in * math.prod(operation.shape(1)[1:])
        case "conv":
            return 2 * elements_out * math.prod(operation.shape(_WEIGHT_INDEX.get(op, 1))[1:])
        case "matmul" if op == "Einsum":
            return _einsum_flops(_text(attributes.get("equation")), operation.inputs)
        case "matmul":
            reduced = operation.shape(0)[0 if attributes.get("transA") else -1] if operation.shape(0) else 0
            return 2 * elements_out * reduced
        case "attention":
            return _attention_flops(operation)
        case "pool" if "kernel_shape" in attributes:
            return elements_out * int(math.prod(attributes["kernel_shape"]))
        case "pool" | "argmax":
            return elements_in
        case "norm" if op == "LRN":
            return elements_in * (int(attributes.get("size", 1)) + 5)
        case "elementwise" if op in ("Sum", "Mean", "Max", "Min"):
            return elements_out * max(len(operation.inputs) - (op != "Mean"), 0)
        case "norm" | "activation" | "softmax" | "elementwise":
            return elements_out * _FLOPS_PER_ELEMENT.get(op, 1)
        case "recurrent":
            steps_and_batch = math.prod(operation.shape(0)[:2])
            weights = math.prod(operation.shape(1)) + math.prod(operation.shape(2))
            hidden = math.prod(operation.shape(2)[::2]) if operation.shape(2) else 0
            return steps_and_batch * (2 * weights + 8 * _RECURRENT_GATES[op] * hidden)
        case "resize":
            axes = sum(a != b for a, b in zip(operation.shape(0), operation.outputs[0], strict=False))
            taps = {"linear": 2, "cubic": 4, "bilinear": 2, "bicubic": 4}.get(_text(attributes.get("mode")), 0)
            return 2 * elements_out * taps**axes if taps else 0
    return 0


def _text(value: Any) -> str:
    """An attribute of text, which ONNX gives as bytes."""
    return value.decode() if isinstance(value, bytes) else value or ""


def _einsum_flops(equation: str, shapes: Sequence[Shape | None]) -> int:
    sizes: dict[str, int] = {}
    for term, shape in zip(equation.replace(" ", "").split("->")[0].split(","), shapes, strict=False):
        before, _, after = term.partition("...")
        shape = shape or ()
        broadcast = shape[len(before) : len(shape) - len(after)]
        sizes |= dict(zip(before, shape, strict=False)) | dict(zip(reversed(after), reversed(shape), strict=False))
        for position, size in enumerate(reversed(broadcast)):
            key = f".{position}"
            sizes[key] = max(size, sizes.get(key, 1))
    return 2 * math.prod(sizes.values())


def _attention_flops(operation: Operation) -> int:
    query, key, value = operation.shape(0), operation.shape(1), operation.shape(2)
    if len(query) == 4:  # batch, heads, length, head size
        pairs = math.prod(query[:3]) * key[2]
        return pairs * (2 * query[3] + 2 * value[3] + 5)
    if len(query) == 3:  # batch, length, heads · head size
        pairs = query[0] * query[1] * key[1]
        key_heads = int(operation.attributes.get("kv_num_heads", 1))
        heads = int(operation.attributes.get("q_num_heads", 1))
        return pairs * (2 * query[2] + 2 * value[2] * heads // key_heads + 5 * heads)
    return 0
