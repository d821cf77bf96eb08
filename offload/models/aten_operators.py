"""What each ATen operator is and what it costs, told as the ONNX operator that computes the same.

So one network has the same kinds and FLOPs in both forms; `operators.py` says how they are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    "Add": "add sub rsub mul div pow square sqrt rsqrt exp expm1 log log1p log2 neg abs reciprocal floor ceil round "
    "trunc sign sin cos tan asin acos atan atan2 sinh cosh eq ne gt ge lt le logical_and logical_or logical_not "
    "logical_xor bitwise_and bitwise_or bitwise_xor bitwise_not where masked_fill isnan isinf maximum minimum fmod "
    "remainder floor_divide cumsum addcmul addcdiv lerp exp2",
    "GRU": "gru", "LSTM": "lstm", "RNN": "rnn_tanh rnn_relu",
    "Gather": "embedding embedding_bag",
    "Resize": "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d "
    "upsample_bicubic2d upsample_trilinear3d grid_sampler grid_sampler_2d",
    "Reshape": "alias arange as_strided broadcast_to cat channel_shuffle chunk clone col2im constant_pad_nd contiguous "
    "copy detach diagonal empty expand expand_as fill flatten flip full full_like gather im2col index index_put "
    "index_select lift_fresh_copy movedim narrow native_channel_shuffle one_hot ones ones_like pad permute "
    "pixel_shuffle pixel_unshuffle repeat repeat_interleave reshape roll scatter scatter_add select select_scatter "
    "slice slice_scatter split split_with_sizes squeeze stack swapaxes t tensor_split tile to _to_copy transpose tril "
    "triu type_as unbind unflatten unfold unsqueeze view view_as zeros zeros_like",
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
    return kind_of(_operations(name, args, outputs)[0])


def flops_of_aten(name: str, args: Sequence[Any], outputs: Sequence[Shape]) -> int:
    """Floating-point operations of an ATen call, arguments as for `kind_of_aten`."""
    return sum(map(flops_of, _operations(name, args, outputs)))


def _operations(name: str, args: Sequence[Any], outputs: Sequence[Shape]) -> list[Operation]:
    """The ONNX operations that compute the same; several for a recurrent network of several layers."""
    onnx = "MatMul" if name in _ADDS_PRODUCT else _ONNX_OF_ATEN.get(name, name)
    given = list(args[1:] if name in _ADDS_PRODUCT else args)
    attributes: dict[str, Any] = {}
    if onnx in ("GRU", "LSTM", "RNN"):
        return _recurrent(onnx, args, outputs)
    if onnx == "Einsum":
        attributes["equation"] = given[0]
        given = list(given[1])
    elif onnx in ("MaxPool", "AveragePool"):
        sizes = given[1] if isinstance(given[1], list | tuple) else [given[1]]
        dimensions = int(name.partition("pool")[2][0])
        attributes["kernel_shape"] = list(sizes) * (dimensions // len(sizes))
    elif onnx == "Resize":
        attributes["mode"] = next((mode for end, mode in _MODES.items() if name.endswith(end)), b"nearest")
    tensors = [each for each in given if isinstance(each, TensorArgument)]
    return [
        Operation(
            op=onnx,
            inputs=tuple(each.shape for each in tensors),
            outputs=tuple(outputs),
            constant=tuple(each.is_weight for each in tensors),
            attributes=attributes,
        )
    ]


def _recurrent(onnx: str, args: Sequence[Any], outputs: Sequence[Shape]) -> list[Operation]:
    """One ONNX operation a layer: (input, state, weights, has_biases, layers, ..., bidirectional, batch_first)."""
    data, weights, layers = args[0], args[2], args[4]
    first, second = data.shape[0], data.shape[1]
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
