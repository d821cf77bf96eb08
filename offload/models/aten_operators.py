"""What each ATen operator is and what it costs, told as the ONNX operator that computes the same.

So one network has the same kinds and FLOPs in both forms; `operators.py` says how they are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offload.graph.model_graph import LayerKind
from offload.models.operators import Operation, Shape, flops_of, kind_of

_SAME: Mapping[str, str] = {
    "Conv": "conv1d conv2d conv3d convolution",
    "ConvTranspose": "conv_transpose1d conv_transpose2d conv_transpose3d",
    "Gemm": "linear",
    "MatMul": "matmul mm bmm mv dot",
    "Einsum": "einsum",
    "Attention": "scaled_dot_product_attention _native_multi_head_attention _transformer_encoder_layer_fwd",
    "MaxPool": "max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices "
    "max_pool3d_with_indices",
    "AveragePool": "avg_pool1d avg_pool2d avg_pool3d",
    "GlobalAveragePool": "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d mean "
    "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d",
    "ReduceSum": "sum amax amin max min prod var std var_mean linalg_vector_norm norm logsumexp any all",
    "BatchNormalization": "batch_norm _native_batch_norm_legit_no_training native_batch_norm",
    "LayerNormalization": "layer_norm native_layer_norm",
    "GroupNormalization": "group_norm native_group_norm",
    "InstanceNormalization": "instance_norm",
    "RMSNormalization": "rms_norm _fused_rms_norm",
    "Relu": "relu", "LeakyRelu": "leaky_relu", "PRelu": "prelu _prelu_kernel", "ThresholdedRelu": "threshold",
    "Clip": "relu6 hardtanh clamp clamp_min clamp_max", "Sigmoid": "sigmoid log_sigmoid", "Elu": "elu", "Celu": "celu",
    "HardSigmoid": "hardsigmoid", "HardSwish": "hardswish", "Swish": "silu glu", "Tanh": "tanh", "Selu": "selu",
    "Softplus": "softplus", "Softsign": "softsign", "Gelu": "gelu", "Mish": "mish", "Erf": "erf",
    "Softmax": "softmax _softmax", "LogSoftmax": "log_softmax _log_softmax",
    "ArgMax": "argmax argmin topk sort",
    "Add": "add addcmul addcdiv lerp cumsum", "Sub": "sub rsub", "Mul": "mul", "Div": "div floor_divide",
    "Mod": "fmod remainder", "Pow": "pow square", "Sqrt": "sqrt rsqrt", "Exp": "exp expm1 exp2",
    "Log": "log log1p log2", "Neg": "neg", "Abs": "abs", "Reciprocal": "reciprocal", "Floor": "floor", "Ceil": "ceil",
    "Round": "round trunc", "Sign": "sign", "Sin": "sin", "Cos": "cos", "Tan": "tan", "Asin": "asin", "Acos": "acos",
    "Atan": "atan atan2", "Sinh": "sinh", "Cosh": "cosh", "Max": "maximum", "Min": "minimum",
    "Where": "where masked_fill",
    "Equal": "eq ne gt ge lt le logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_xor "
    "bitwise_not isnan isinf",
    "GRU": "gru", "LSTM": "lstm", "RNN": "rnn_tanh rnn_relu",
    "Gather": "embedding embedding_bag index_select index gather",
    "Resize": "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d "
    "upsample_bicubic2d upsample_trilinear3d grid_sampler grid_sampler_2d",
    "Concat": "cat stack",
    "Transpose": "clone contiguous channel_shuffle native_channel_shuffle flip roll pixel_shuffle pixel_unshuffle",
    "Pad": "constant_pad_nd pad", "Tile": "repeat repeat_interleave tile", "Cast": "to _to_copy type_as",
    "Trilu": "tril triu", "OneHot": "one_hot", "Col2Im": "col2im im2col",
    "ConstantOfShape": "arange empty full full_like ones ones_like zeros zeros_like",
    "ScatterElements": "copy fill index_put scatter scatter_add select_scatter slice_scatter",
    "Reshape": "alias as_strided broadcast_to chunk detach diagonal expand expand_as flatten lift_fresh_copy movedim "
    "narrow permute reshape select slice split split_with_sizes squeeze swapaxes t tensor_split transpose unbind "
    "unflatten unfold unsqueeze view view_as",
}  # fmt: skip
_ONNX_OF_ATEN = {aten: onnx for onnx, names in _SAME.items() for aten in names.split()}
_VIEWS = (
    "alias broadcast_to chunk detach diagonal expand expand_as flatten movedim narrow permute reshape select slice "
    "split split_with_sizes squeeze swapaxes t tensor_split transpose unbind unflatten unfold unsqueeze view"
)
_MODES = {"linear1d": b"linear", "bilinear2d": b"linear", "trilinear3d": b"linear", "bicubic2d": b"cubic"}
_ADDS_PRODUCT = frozenset(("addmm", "baddbmm", "addbmm", "addmv"))


@dataclass(frozen=True, kw_only=True)
class TensorArgument:
    """A tensor that an operator takes."""

    shape: Shape
    is_weight: bool


def is_view(name: str) -> bool:
    """Whether an operator (by its name without `aten::`) usually only looks at its input in another way."""
    return name in _VIEWS.split()


def kind_of_aten(name: str, args: Sequence[Any], outputs: Sequence[Shape]) -> LayerKind:
    """The layer kind of an ATen call; `other` for an operator that is not known.

    Args:
        name: The operator's name without `aten::` and overload.
        args: Its positional arguments, tensors as `TensorArgument`.
        outputs: Shapes of its results.
    """
    return kind_of(operations_of_aten(name, args, outputs)[0])


def flops_of_aten(name: str, args: Sequence[Any], outputs: Sequence[Shape]) -> int:
    """Floating-point operations of an ATen call, arguments as for `kind_of_aten`."""
    return sum(map(flops_of, operations_of_aten(name, args, outputs)))


def operations_of_aten(name: str, args: Sequence[Any], outputs: Sequence[Shape]) -> list[Operation]:
    """The ONNX operations that compute the same; several for a recurrent network of several layers.

    They have the attributes that their cost follows from, and those alone. Arguments are as for `kind_of_aten`.
    """
    onnx = "MatMul" if name in _ADDS_PRODUCT else _ONNX_OF_ATEN.get(name, name)
    given = list(args[1:] if name in _ADDS_PRODUCT else args)
    attributes: dict[str, Any] = {}
    if onnx in ("GRU", "LSTM", "RNN"):
        return _recurrent(onnx, args, outputs)
    if onnx == "Einsum":
        attributes["equation"] = given[0]
        given = list(given[1])
    elif onnx in ("MaxPool", "AveragePool"):
        rank = int(name.partition("pool")[2][0])
        attributes["kernel_shape"] = _sizes(given, 1, rank)
        attributes["strides"] = _sizes(given, 2, rank, left_out=attributes["kernel_shape"])
    elif onnx in ("Conv", "ConvTranspose"):
        attributes |= _convolution(name, given)
    elif onnx == "Gemm":
        attributes["transB"] = 1
    elif onnx == "Concat" or name == "index_select":
        attributes["axis"] = given[1] if len(given) > 1 else 0
    elif onnx == "Resize":
        attributes["mode"] = next((mode for end, mode in _MODES.items() if name.endswith(end)), b"nearest")
    tensors = list(_tensors(given))
    return [
        Operation(
            op=onnx,
            inputs=tuple(each.shape for each in tensors),
            outputs=tuple(outputs),
            constant=tuple(each.is_weight for each in tensors),
            attributes=attributes,
        )
    ]


def _tensors(arguments: Sequence[Any]) -> Iterator[TensorArgument]:
    """The tensors among some arguments, also those in lists."""
    for each in arguments:
        if isinstance(each, TensorArgument):
            yield each
        elif isinstance(each, list | tuple):
            yield from _tensors(each)


def _sizes(args: Sequence[Any], position: int, rank: int, *, left_out: Sequence[int] = (1,)) -> list[int]:
    """An argument that is one size for each axis, or one for all, or left out."""
    given = args[position] if len(args) > position else ()
    sizes = list(given if isinstance(given, list | tuple) else [given]) or list(left_out)
    return sizes * (rank // len(sizes))


def _convolution(name: str, args: Sequence[Any]) -> dict[str, Any]:
    """(input, weight, bias, stride, ...); what follows is in another order in each."""
    dilation, groups = (7, 6) if name.startswith("conv_transpose") else (5, 8 if name == "convolution" else 6)
    window = list(args[1].shape[2:])
    return {
        "kernel_shape": window,
        "strides": _sizes(args, 3, len(window)),
        "dilations": _sizes(args, dilation, len(window)),
        "group": args[groups] if len(args) > groups else 1,
    }


def _recurrent(onnx: str, args: Sequence[Any], outputs: Sequence[Shape]) -> list[Operation]:
    """An operation a layer, steps first: (input, state, weights, has_biases, layers, ..., both ways, batch first)."""
    data, weights, layers = args[0], args[2], args[4]
    batch_first = len(args) > 8 and bool(args[8])
    first, second = (data.shape[1], data.shape[0]) if batch_first else (data.shape[0], data.shape[1])
    directions = 2 if args[7] else 1
    each = len(weights) // (layers * directions)  # W, R and biases, and with a projection one more
    operations = []
    for layer in range(layers):
        into, back = weights[layer * directions * each], weights[layer * directions * each + 1]
        operations.append(
            Operation(
                op=onnx,
                inputs=((first, second, into.shape[1]), (directions, *into.shape), (directions, *back.shape)),
                outputs=tuple(outputs),
                constant=(False, True, True),
            )
        )
    return operations
