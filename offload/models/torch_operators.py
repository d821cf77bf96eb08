"""Operators of ONNX that compute, as calls of torch through which gradients flow."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from offload.errors import OffloadError
from offload.models.torch_weighted import Compute, Node, Translation, WeightedModule, elementwise, operand, unary

_CONVOLUTIONS: Mapping[int, Callable[..., Tensor]] = {
    1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d,
}  # fmt: skip
_TRANSPOSED: Mapping[int, Callable[..., Tensor]] = {
    1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d,
}  # fmt: skip
_MAX_POOLS: Mapping[int, Callable[..., Tensor]] = {
    1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d,
}  # fmt: skip
_MEAN_POOLS: Mapping[int, Callable[..., Tensor]] = {
    1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d,
}  # fmt: skip


def numbers_along(node: Node, name: str, rank: int) -> list[int]:
    """An attribute that has a number for each spatial axis; 1 for each where it is left out."""
    return list(node.attributes.get(name) or [1] * rank)


def padding_of(
    network: WeightedModule, node: Node, kernel: Sequence[int], *, value: float = 0.0
) -> tuple[Callable[[Tensor], Tensor], list[int]]:
    """What pads before the call, and what the call pads itself: the same on both sides, at most half the kernel."""
    rank = len(kernel)
    low, high = _pads(network, node, kernel)
    if low == high:
        return (lambda x: x), low
    around = [size for axis in reversed(range(rank)) for size in (low[axis], high[axis])]
    return (lambda x: functional.pad(x, around, value=value)), [0] * rank


def _pads(network: WeightedModule, node: Node, kernel: Sequence[int]) -> tuple[list[int], list[int]]:
    rank = len(kernel)
    wanted = node.attributes.get("auto_pad", b"NOTSET")
    if wanted not in (b"SAME_UPPER", b"SAME_LOWER"):
        pads = list(node.attributes.get("pads") or [0] * (2 * rank))
        return pads[:rank], pads[rank:]
    strides, dilations = numbers_along(node, "strides", rank), numbers_along(node, "dilations", rank)
    into, out = network.shape_of(node.inputs[0])[2:], network.shape_of(node.outputs[0])[2:]
    both = [
        max(0, (out[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1 - into[axis])
        for axis in range(rank)
    ]
    less = [pad // 2 for pad in both]
    more = [pad - half for pad, half in zip(both, less, strict=True)]
    return (less, more) if wanted == b"SAME_UPPER" else (more, less)


def _convolution(network: WeightedModule, node: Node) -> Compute:
    values = network.values_of(node.inputs[1])
    rank = values.ndim - 2
    weight = network.weight(values)
    bias = network.weight(network.values_of(node.inputs[2])) if len(node.inputs) > 2 else lambda: None
    stride, dilation = numbers_along(node, "strides", rank), numbers_along(node, "dilations", rank)
    groups = int(node.attributes.get("group", 1))
    before, padding = padding_of(network, node, values.shape[2:])
    call = _CONVOLUTIONS[rank]
    return lambda x: call(before(x), weight(), bias(), stride, padding, dilation, groups)


def _transposed_convolution(network: WeightedModule, node: Node) -> Compute:
    values = network.values_of(node.inputs[1])
    rank = values.ndim - 2
    weight = network.weight(values)
    bias = network.weight(network.values_of(node.inputs[2])) if len(node.inputs) > 2 else lambda: None
    stride, dilation = numbers_along(node, "strides", rank), numbers_along(node, "dilations", rank)
    pads = list(node.attributes.get("pads") or [0] * (2 * rank))
    extra = list(node.attributes.get("output_padding") or [0] * rank)
    if pads[:rank] != pads[rank:] or node.attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise unknown(node, "padded unequally")
    groups, call = int(node.attributes.get("group", 1)), _TRANSPOSED[rank]
    return lambda x: call(x, weight(), bias(), stride, pads[:rank], extra, groups, dilation)


def _pool(network: WeightedModule, node: Node) -> Compute:
    kernel = list(node.attributes["kernel_shape"])
    rank = len(kernel)
    stride, ceil = numbers_along(node, "strides", rank), bool(node.attributes.get("ceil_mode", 0))
    if node.op == "MaxPool":
        before, padding = padding_of(network, node, kernel, value=-math.inf)
        dilation, most = numbers_along(node, "dilations", rank), _MAX_POOLS[rank]
        return lambda x: most(before(x), kernel, stride, padding, dilation, ceil_mode=ceil)
    counted = bool(node.attributes.get("count_include_pad", 0))
    before, padding = padding_of(network, node, kernel)
    low, high = _pads(network, node, kernel)
    if low != high and not counted:
        raise unknown(node, "padded unequally")
    mean = _MEAN_POOLS[rank]
    return lambda x: mean(before(x), kernel, stride, padding, ceil_mode=ceil, count_include_pad=counted)


def _global(reduce: Callable[[Tensor, list[int]], Tensor]) -> Translation:
    def translate(network: WeightedModule, node: Node) -> Compute:
        axes = list(range(2, len(network.shape_of(node.inputs[0]))))
        return lambda x: reduce(x, axes)

    return translate


_REDUCTIONS: Mapping[str, Callable[[Tensor, list[int], bool], Tensor]] = {
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keepdim=keep),
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keepdim=keep),
    "ReduceMax": lambda x, axes, keep: x.amax(axes, keepdim=keep),
    "ReduceMin": lambda x, axes, keep: x.amin(axes, keepdim=keep),
    "ReduceL2": lambda x, axes, keep: torch.linalg.vector_norm(x, dim=axes, keepdim=keep),
    "ReduceSumSquare": lambda x, axes, keep: x.square().sum(axes, keepdim=keep),
}


def _reduced(network: WeightedModule, node: Node) -> Compute:
    axes = list(node.attributes.get("axes") or [])
    if len(node.inputs) > 1 and node.inputs[1]:
        axes = network.values_of(node.inputs[1]).tolist()
    if not axes:
        if node.attributes.get("noop_with_empty_axes"):
            return lambda x: x
        axes = list(range(len(network.shape_of(node.inputs[0]))))
    keep, reduce = bool(node.attributes.get("keepdims", 1)), _REDUCTIONS[node.op]
    return lambda x: reduce(x, axes, keep)


def _batch_norm(network: WeightedModule, node: Node) -> Compute:
    scale, shift, mean, variance = (network.weight(network.values_of(name)) for name in node.inputs[1:])
    eps = float(node.attributes.get("epsilon", 1e-5))
    return lambda x: functional.batch_norm(x, mean(), variance(), scale(), shift(), False, 0.0, eps)


def _instance_norm(network: WeightedModule, node: Node) -> Compute:
    scale, shift = (network.weight(network.values_of(name)) for name in node.inputs[1:])
    eps = float(node.attributes.get("epsilon", 1e-5))
    return lambda x: functional.instance_norm(x, weight=scale(), bias=shift(), eps=eps)


def _group_norm(network: WeightedModule, node: Node) -> Compute:
    scale, shift = (network.weight(network.values_of(name)) for name in node.inputs[1:])
    eps, groups = float(node.attributes.get("epsilon", 1e-5)), int(node.attributes["num_groups"])
    return lambda x: functional.group_norm(x, groups, scale(), shift(), eps)


def _response_norm(network: WeightedModule, node: Node) -> Compute:
    size, alpha = int(node.attributes["size"]), float(node.attributes.get("alpha", 1e-4))
    beta, bias = float(node.attributes.get("beta", 0.75)), float(node.attributes.get("bias", 1.0))
    return lambda x: functional.local_response_norm(x, size, alpha, beta, bias)


def _layer_norm(network: WeightedModule, node: Node) -> Compute:
    scale = network.weight(network.values_of(node.inputs[1]))
    shift = network.weight(network.values_of(node.inputs[2])) if len(node.inputs) > 2 else lambda: None
    shape = list(network.shape_of(node.inputs[1]))
    eps = float(node.attributes.get("epsilon", 1e-5))
    return lambda x: functional.layer_norm(x, shape, scale(), shift(), eps)


def _gemm(network: WeightedModule, node: Node) -> Compute:
    alpha, beta = (float(node.attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    if not network.is_constant(node.inputs[1]) or node.attributes.get("transA"):
        raise unknown(node, "of two tensors")
    values = network.values_of(node.inputs[1])
    weight = network.weight(np.float32(alpha) * (values if node.attributes.get("transB") else values.T))
    if len(node.inputs) == 2 or not node.inputs[2]:
        return lambda x: functional.linear(x, weight())
    if not network.is_constant(node.inputs[2]):
        raise unknown(node, "of two tensors")
    bias = network.weight(np.float32(beta) * network.values_of(node.inputs[2]))
    return lambda x: functional.linear(x, weight()) + bias()


def _clip(network: WeightedModule, node: Node) -> Compute:
    low, high = (node.attributes.get(name) for name in ("min", "max"))
    ends = [
        float(network.values_of(node.inputs[place])) if len(node.inputs) > place and node.inputs[place] else end
        for place, end in ((1, low), (2, high))
    ]
    if ends == [0.0, 6.0]:
        return functional.relu6
    return lambda x: torch.clamp(x, *ends)


def _leaky_relu(network: WeightedModule, node: Node) -> Compute:
    slope = float(node.attributes.get("alpha", 0.01))
    return lambda x: functional.leaky_relu(x, slope)


def _elu(network: WeightedModule, node: Node) -> Compute:
    alpha = float(node.attributes.get("alpha", 1.0))
    return lambda x: functional.elu(x, alpha)


def _prelu(network: WeightedModule, node: Node) -> Compute:
    slope = network.weight(network.values_of(node.inputs[1]).reshape(-1))
    return lambda x: functional.prelu(x, slope())


def _hard_sigmoid(network: WeightedModule, node: Node) -> Compute:
    alpha, beta = float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
    if math.isclose(alpha, 1 / 6, rel_tol=1e-5) and beta == 0.5:
        return functional.hardsigmoid
    return lambda x: torch.clamp(alpha * x + beta, 0, 1)


def _gelu(network: WeightedModule, node: Node) -> Compute:
    form = node.attributes.get("approximate", b"none").decode()
    return lambda x: functional.gelu(x, approximate=form)


def _softmax(network: WeightedModule, node: Node) -> Compute:
    axis = int(node.attributes.get("axis", -1))
    call = functional.log_softmax if node.op == "LogSoftmax" else functional.softmax
    return lambda x: call(x, axis)


def _argmax(network: WeightedModule, node: Node) -> Compute:
    axis, keep = int(node.attributes.get("axis", 0)), bool(node.attributes.get("keepdims", 1))
    return lambda x: torch.argmax(x, axis, keepdim=keep)


def _folded(call: Callable[[Any, Any], Tensor]) -> Translation:
    """A call on two, for an operator that takes any number."""

    def translate(network: WeightedModule, node: Node) -> Compute:
        held = [_tensor_operand(network, name) for name in node.inputs]

        def compute(*flowing: Tensor) -> Tensor:
            values = iter(flowing)
            return functools.reduce(call, [next(values) if one is None else one() for one in held])

        return compute

    return translate


def _tensor_operand(network: WeightedModule, name: str) -> Callable[[], Tensor] | None:
    return network.weight(network.values_of(name)) if network.is_constant(name) else None


def _mean(network: WeightedModule, node: Node) -> Compute:
    total, count = _folded(torch.add)(network, node), len(node.inputs)
    return lambda *flowing: torch.as_tensor(total(*flowing)) / count


def _where(network: WeightedModule, node: Node) -> Compute:
    held = [operand(network, name) for name in node.inputs]

    def compute(*flowing: Tensor) -> Tensor:
        values = iter(flowing)
        condition, yes, no = (next(values) if one is None else one() for one in held)
        return torch.where(condition.bool(), yes, no)  # type: ignore[union-attr]

    return compute


def _cast(network: WeightedModule, node: Node) -> Compute:
    from onnx import helper

    dtype = torch.from_numpy(np.empty(0, helper.tensor_dtype_to_np_dtype(node.attributes["to"]))).dtype
    return lambda x: x.to(dtype)


def unknown(node: Node, how: str = "") -> OffloadError:
    """What is said of an operator that has no translation, or not in this form."""
    form = f" {how}" if how else ""
    return OffloadError(
        f"the operator {node.op}{form} ({node.outputs[0]}) has no differentiable form here",
        hint="choose a later cut, behind that layer, or export the model without it",
    )


OPERATORS: Mapping[str, Translation] = {
    "Conv": _convolution, "ConvTranspose": _transposed_convolution, "MaxPool": _pool, "AveragePool": _pool,
    "GlobalAveragePool": _global(lambda x, axes: x.mean(axes, keepdim=True)),
    "GlobalMaxPool": _global(lambda x, axes: x.amax(axes, keepdim=True)),
    **dict.fromkeys(_REDUCTIONS, _reduced),
    "BatchNormalization": _batch_norm, "InstanceNormalization": _instance_norm, "GroupNormalization": _group_norm,
    "LRN": _response_norm, "LayerNormalization": _layer_norm,
    "Gemm": _gemm, "MatMul": elementwise(torch.matmul),
    "Add": elementwise(operator.add), "Sub": elementwise(operator.sub), "Mul": elementwise(operator.mul),
    "Div": elementwise(operator.truediv), "Pow": elementwise(operator.pow),
    "Sum": _folded(torch.add), "Max": _folded(torch.maximum), "Min": _folded(torch.minimum), "Mean": _mean,
    "Relu": unary(functional.relu), "LeakyRelu": _leaky_relu, "PRelu": _prelu, "Elu": _elu, "Clip": _clip,
    "Selu": unary(functional.selu), "Softsign": unary(functional.softsign), "Mish": unary(functional.mish),
    "Sigmoid": unary(torch.sigmoid), "HardSigmoid": _hard_sigmoid, "HardSwish": unary(functional.hardswish),
    "Tanh": unary(torch.tanh), "Gelu": _gelu, "Softplus": unary(functional.softplus),
    "Exp": unary(torch.exp), "Log": unary(torch.log), "Sqrt": unary(torch.sqrt), "Abs": unary(torch.abs),
    "Neg": unary(torch.neg), "Reciprocal": unary(torch.reciprocal), "Erf": unary(torch.erf),
    "Sin": unary(torch.sin), "Cos": unary(torch.cos), "Floor": unary(torch.floor),
    "Softmax": _softmax, "LogSoftmax": _softmax, "ArgMax": _argmax, "Where": _where, "Cast": _cast,
    "Identity": unary(lambda x: x), "Dropout": unary(lambda x: x),
    "Equal": elementwise(operator.eq), "Greater": elementwise(operator.gt), "Less": elementwise(operator.lt),
}  # fmt: skip
"""By the name of the operator."""
