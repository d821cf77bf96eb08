"""Operators of the random networks as calls of torch, each as networks written for torch make it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from offload.models.inputs import Shape
from offload.models.onnx_graph import infer_types

_BATCH_NORM_EPS = 1e-5
_MOMENTUM = 0.1
"""Of no use in inference, but the call takes it."""
_GATES: Mapping[str, Sequence[int]] = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where ONNX has each gate that torch has, in torch's order: of LSTM i, f, g, o; of GRU r, z, n."""

Compute = Callable[..., Tensor | Sequence[Tensor]]


@dataclass(frozen=True, kw_only=True)
class Node:
    """An operator of the network: ONNX's, or one of those that torch has a single call for."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


class WeightedModule(nn.Module):
    """A module whose operators take their weights from an ONNX document, which is let go once they have them."""

    def __init__(self, document: onnx.ModelProto, *, batch_norms: bool) -> None:
        super().__init__()
        self._constants = {tensor.name: tensor for tensor in document.graph.initializer}
        self._types = infer_types(document)
        self.batch_norms = batch_norms
        """Whether biases of convolutions are taken for batch norms."""

    def values_of(self, name: str) -> NDArray[Any]:
        """A constant of the document."""
        return np.array(numpy_helper.to_array(self._constants[name]))

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is one of the document's constants."""
        return name in self._constants

    def shape_of(self, name: str) -> Shape:
        """The shape of any tensor."""
        return tuple(self._constants[name].dims) if name in self._constants else self._types[name][1]

    def weight(self, values: NDArray[Any]) -> Callable[[], Tensor]:
        """Keep a parameter, or a buffer of integers; what is returned hands it out as it is when the network runs."""
        name = f"weight_{len(self._parameters) + len(self._buffers)}"
        tensor = torch.from_numpy(np.ascontiguousarray(values).reshape(values.shape))
        if tensor.is_floating_point():
            self.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
        else:
            self.register_buffer(name, tensor)

        def hand_out() -> Tensor:
            found: Tensor = getattr(self, name)
            return found

        return hand_out


Translation = Callable[[WeightedModule, Node], Compute]


def _operand(network: WeightedModule, name: str) -> Callable[[], Tensor | float] | None:
    """What hands out a constant operand, a plain number where it is one; None for a tensor that flows."""
    if not network.is_constant(name):
        return None
    values = network.values_of(name)
    if not values.shape:
        number = float(values)
        return lambda: number
    return network.weight(values)


def _elementwise(call: Callable[[Any, Any], Tensor]) -> Translation:
    """A call on two operands, either of which may be a constant."""

    def translate(network: WeightedModule, node: Node) -> Compute:
        first, second = (_operand(network, name) for name in node.inputs)
        if first is not None:
            return lambda x: call(first(), x)
        if second is not None:
            return lambda x: call(x, second())
        return call

    return translate


def _unary(call: Callable[[Tensor], Tensor]) -> Translation:
    return lambda network, node: call


def _convolution(network: WeightedModule, node: Node) -> Compute:
    values = network.values_of(node.inputs[1])
    rank = values.ndim - 2
    weight = network.weight(values)
    stride, dilation = _attribute(node, "strides", rank), _attribute(node, "dilations", rank)
    groups = int(node.attributes.get("group", 1))
    before, padding = _padding(node, rank)
    biases = network.values_of(node.inputs[2]) if len(node.inputs) > 2 else None
    call = {1: functional.conv1d, 2: functional.conv2d}[rank]
    # A gate over channels (squeeze and excitation) has one place and keeps its bias.
    places = math.prod(network.shape_of(node.outputs[0])[2:])
    if network.batch_norms and rank == 2 and biases is not None and places > 1:
        ones = np.ones_like(biases)
        mean, shift, scale = network.weight(0 * biases), network.weight(biases), network.weight(ones)
        variance = network.weight(ones - np.float32(_BATCH_NORM_EPS))

        def normed(x: Tensor) -> Tensor:
            y = call(before(x), weight(), None, stride, padding, dilation, groups)
            return _normed(y, scale(), shift(), mean(), variance(), _BATCH_NORM_EPS)

        return normed
    bias = network.weight(biases) if biases is not None else lambda: None
    return lambda x: call(before(x), weight(), bias(), stride, padding, dilation, groups)


def _attribute(node: Node, name: str, rank: int) -> list[int]:
    return list(node.attributes.get(name) or [1] * rank)


def _padding(node: Node, rank: int) -> tuple[Callable[[Tensor], Tensor], list[int]]:
    """What pads before the call, and what the call pads itself: the same on both sides."""
    pads = list(node.attributes.get("pads") or [0] * (2 * rank))
    low, high = pads[:rank], pads[rank:]
    if low == high:
        return (lambda x: x), low
    around = [size for axis in reversed(range(rank)) for size in (low[axis], high[axis])]
    return (lambda x: functional.pad(x, around)), [0] * rank


def _transposed_convolution(network: WeightedModule, node: Node) -> Compute:
    weight, bias = (network.weight(network.values_of(name)) for name in node.inputs[1:])
    stride = _attribute(node, "strides", 2)
    _, padding = _padding(node, 2)
    return lambda x: functional.conv_transpose2d(x, weight(), bias(), stride, padding)


def _pool(network: WeightedModule, node: Node) -> Compute:
    rank = len(node.attributes["kernel_shape"])
    kernel, stride = list(node.attributes["kernel_shape"]), _attribute(node, "strides", rank)
    _, padding = _padding(node, rank)
    ceil = bool(node.attributes.get("ceil_mode", 0))
    if node.op == "MaxPool":
        return lambda x: functional.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil)
    return lambda x: functional.avg_pool2d(x, kernel, stride, padding, ceil_mode=ceil, count_include_pad=False)


def _reduced(network: WeightedModule, node: Node) -> Compute:
    axes = network.values_of(node.inputs[1]).tolist()
    keep = bool(node.attributes.get("keepdims", 1))
    if node.op == "ReduceMean":
        return lambda x: x.mean(axes, keepdim=keep)
    return lambda x: x.sum(axes, keepdim=keep)


def _batch_norm(network: WeightedModule, node: Node) -> Compute:
    scale, shift, mean, variance = (network.weight(network.values_of(name)) for name in node.inputs[1:])
    eps = float(node.attributes.get("epsilon", 1e-5))
    return lambda x: _normed(x, scale(), shift(), mean(), variance(), eps)


def _normed(x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    """A batch norm in inference, as `capture` leaves it."""
    normed: Tensor = torch.ops.aten._native_batch_norm_legit_no_training(
        x, scale, shift, mean, variance, _MOMENTUM, eps
    )[0]
    return normed


def _response_norm(network: WeightedModule, node: Node) -> Compute:
    size, alpha = int(node.attributes["size"]), float(node.attributes["alpha"])
    beta, bias = float(node.attributes["beta"]), float(node.attributes["bias"])
    return lambda x: functional.local_response_norm(x, size, alpha, beta, bias)


def _layer_norm(network: WeightedModule, node: Node) -> Compute:
    scale, shift = (network.weight(network.values_of(name)) for name in node.inputs[1:])
    shape = list(network.shape_of(node.inputs[1]))
    eps = float(node.attributes.get("epsilon", 1e-5))
    return lambda x: functional.layer_norm(x, shape, scale(), shift(), eps)


def _linear(network: WeightedModule, node: Node) -> Compute:
    values = network.values_of(node.inputs[1])
    weight = network.weight(values if node.attributes.get("transB") else values.T)
    bias = network.weight(network.values_of(node.inputs[2])) if len(node.inputs) > 2 else lambda: None
    return lambda x: functional.linear(x, weight(), bias())


def _attention(network: WeightedModule, node: Node) -> Compute:
    """Query, key with its last two axes turned, value."""
    return lambda query, turned, value: functional.scaled_dot_product_attention(query, turned.transpose(-2, -1), value)


def _clip(network: WeightedModule, node: Node) -> Compute:
    low, high = (float(network.values_of(name)) for name in node.inputs[1:])
    return functional.relu6 if (low, high) == (0, 6) else lambda x: torch.clamp(x, low, high)


def _leaky_relu(network: WeightedModule, node: Node) -> Compute:
    slope = float(node.attributes.get("alpha", 0.01))
    return lambda x: functional.leaky_relu(x, slope)


def _elu(network: WeightedModule, node: Node) -> Compute:
    alpha = float(node.attributes.get("alpha", 1.0))
    return lambda x: functional.elu(x, alpha)


def _prelu(network: WeightedModule, node: Node) -> Compute:
    slope = network.weight(network.values_of(node.inputs[1]).reshape(-1))
    return lambda x: functional.prelu(x, slope())


def _softmax(network: WeightedModule, node: Node) -> Compute:
    axis = int(node.attributes.get("axis", -1))
    return lambda x: functional.softmax(x, axis)


def _argmax(network: WeightedModule, node: Node) -> Compute:
    axis, keep = int(node.attributes.get("axis", 0)), bool(node.attributes.get("keepdims", 1))
    return lambda x: torch.argmax(x, axis, keepdim=keep)


def _concat(network: WeightedModule, node: Node) -> Compute:
    axis = int(node.attributes["axis"])
    operands = [_operand(network, name) for name in node.inputs]

    def joined(*flowing: Tensor) -> Tensor:
        values = iter(flowing)
        return torch.cat([next(values) if operand is None else operand() for operand in operands], axis)  # type: ignore[misc]

    return joined


def _split(network: WeightedModule, node: Node) -> Compute:
    axis = int(node.attributes.get("axis", 0))
    size = network.shape_of(node.outputs[0])[axis]
    return lambda x: torch.split(x, size, axis)


def _reshape(network: WeightedModule, node: Node) -> Compute:
    shape = network.shape_of(node.outputs[0])

    def reshaped(x: Tensor) -> Tensor:
        # A copy is a call of its own in what `capture` makes of a reshape.
        return (x if x.is_contiguous() else x.clone(memory_format=torch.contiguous_format)).reshape(shape)

    return reshaped


def _transpose(network: WeightedModule, node: Node) -> Compute:
    order = list(node.attributes["perm"])
    return lambda x: x.permute(order)


def _gather(network: WeightedModule, node: Node) -> Compute:
    """Vectors of tokens from a table; one slice, which torch looks at in place; or places of a tensor."""
    axis = int(node.attributes.get("axis", 0))
    if network.is_constant(node.inputs[0]):
        table = network.weight(network.values_of(node.inputs[0]))
        return lambda tokens: functional.embedding(tokens, table())
    places = network.values_of(node.inputs[1])
    if places.size == 1:
        start = int(places.reshape(-1)[0])
        return lambda x: torch.ops.aten.slice.Tensor(x, axis, start, start + 1)
    index = network.weight(places)
    return lambda x: x.index_select(axis, index())


def _resize(network: WeightedModule, node: Node) -> Compute:
    scale = float(network.values_of(node.inputs[2])[-1])
    if node.attributes["mode"] == b"nearest":
        return lambda x: functional.interpolate(x, scale_factor=scale, mode="nearest")
    return lambda x: functional.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def _recurrent(network: WeightedModule, node: Node) -> Compute:
    """One layer, both ways or one, that starts from zeros; ONNX has (steps, ways, batch, hidden)."""
    into, back, biases = (network.values_of(name) for name in node.inputs[1:4])
    ways, hidden, width = into.shape[0], int(node.attributes["hidden_size"]), into.shape[2]
    module = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}[node.op](width, hidden, bidirectional=ways == 2)
    gates = _GATES[node.op]

    def in_torchs_order(values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.concatenate([values[gate * hidden : (gate + 1) * hidden] for gate in gates]))

    held: dict[str, Tensor] = {}
    for way, suffix in enumerate(("", "_reverse")[:ways]):
        both = np.split(biases[way], 2)
        held |= {
            f"weight_ih_l0{suffix}": in_torchs_order(into[way]),
            f"weight_hh_l0{suffix}": in_torchs_order(back[way]),
            f"bias_ih_l0{suffix}": in_torchs_order(both[0]),
            f"bias_hh_l0{suffix}": in_torchs_order(both[1]),
        }
    module.load_state_dict(held)
    name = f"recurrent_{len(network._modules)}"
    network.add_module(name, module)

    def run(x: Tensor) -> Tensor:
        steps, batch, _ = x.shape
        y: Tensor = getattr(network, name)(x)[0]
        return y.reshape(steps, batch, ways, hidden).permute(0, 2, 1, 3)

    return run


TRANSLATIONS: Mapping[str, Translation] = {
    "Conv": _convolution, "ConvTranspose": _transposed_convolution, "MaxPool": _pool, "AveragePool": _pool,
    "GlobalAveragePool": _unary(lambda x: functional.adaptive_avg_pool2d(x, 1)),
    "ReduceMean": _reduced, "ReduceSum": _reduced,
    "BatchNormalization": _batch_norm, "LRN": _response_norm, "LayerNormalization": _layer_norm,
    "Gemm": _linear, "Linear": _linear, "MatMul": _elementwise(torch.matmul), "Attention": _attention,
    "Add": _elementwise(torch.add), "Sum": _elementwise(torch.add), "Sub": _elementwise(torch.sub),
    "Mul": _elementwise(torch.mul), "Max": _elementwise(torch.maximum),
    "Relu": _unary(functional.relu), "LeakyRelu": _leaky_relu, "PRelu": _prelu, "Elu": _elu, "Clip": _clip,
    "Sigmoid": _unary(torch.sigmoid), "HardSigmoid": _unary(functional.hardsigmoid),
    "HardSwish": _unary(functional.hardswish), "Swish": _unary(functional.silu), "Tanh": _unary(torch.tanh),
    "Gelu": _unary(functional.gelu), "Softplus": _unary(functional.softplus),
    "Softmax": _softmax, "ArgMax": _argmax, "Concat": _concat, "Split": _split, "Reshape": _reshape,
    "Flatten": _reshape, "Transpose": _transpose, "Gather": _gather, "Resize": _resize,
    "LSTM": _recurrent, "GRU": _recurrent, "RNN": _recurrent,
}  # fmt: skip
"""By the name of the operator."""
