"""Operators of the random networks as calls of torch, each as networks written for torch make it.

Most are called as a differentiable form of any model calls them; those here are called so as torch's exporter leaves
them, or are one call for what ONNX has several.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from offload.models.onnx_in_torch import TRANSLATIONS as DIFFERENTIABLE
from offload.models.torch_operators import numbers_along, padding_of
from offload.models.torch_weighted import Compute, Node, Translation, WeightedModule, unary

if TYPE_CHECKING:
    from offload.profilers.sampling.torch_networks import InterpretedNetwork

_BATCH_NORM_EPS = 1e-5
_MOMENTUM = 0.1
"""Of no use in inference, but the call takes it."""
_GATES: Mapping[str, Sequence[int]] = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where ONNX has each gate that torch has, in torch's order: of LSTM i, f, g, o; of GRU r, z, n."""
_AS_ANYWHERE = (
    *("ConvTranspose", "MaxPool", "AveragePool", "ReduceMean", "ReduceSum", "LRN", "LayerNormalization", "Gemm"),
    *("MatMul", "Add", "Sum", "Sub", "Mul", "Max", "Relu", "LeakyRelu", "PRelu", "Elu", "Clip", "Sigmoid"),
    *("HardSigmoid", "HardSwish", "Tanh", "Gelu", "Softplus", "Softmax", "ArgMax", "Concat", "Split", "Transpose"),
)


def _convolution(network: InterpretedNetwork, node: Node) -> Compute:
    values = network.values_of(node.inputs[1])
    rank = values.ndim - 2
    weight = network.weight(values)
    stride, dilation = numbers_along(node, "strides", rank), numbers_along(node, "dilations", rank)
    groups = int(node.attributes.get("group", 1))
    before, padding = padding_of(network, node, values.shape[2:])
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


def _linear(network: WeightedModule, node: Node) -> Compute:
    values = network.values_of(node.inputs[1])
    weight = network.weight(values if node.attributes.get("transB") else values.T)
    bias = network.weight(network.values_of(node.inputs[2])) if len(node.inputs) > 2 else lambda: None
    return lambda x: functional.linear(x, weight(), bias())


def _attention(network: WeightedModule, node: Node) -> Compute:
    """Query, key with its last two axes turned, value."""
    return lambda query, turned, value: functional.scaled_dot_product_attention(query, turned.transpose(-2, -1), value)


def _reshape(network: WeightedModule, node: Node) -> Compute:
    shape = network.shape_of(node.outputs[0])

    def reshaped(x: Tensor) -> Tensor:
        # A copy is a call of its own in what `capture` makes of a reshape.
        return (x if x.is_contiguous() else x.clone(memory_format=torch.contiguous_format)).reshape(shape)

    return reshaped


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
    **{name: DIFFERENTIABLE[name] for name in _AS_ANYWHERE},
    "Conv": _convolution, "BatchNormalization": _batch_norm, "Linear": _linear, "Gemm": _linear,
    "Attention": _attention, "Swish": unary(functional.silu), "Resize": _resize,
    "GlobalAveragePool": unary(lambda x: functional.adaptive_avg_pool2d(x, 1)),
    "Reshape": _reshape, "Flatten": _reshape, "Gather": _gather,
    "LSTM": _recurrent, "GRU": _recurrent, "RNN": _recurrent,
}  # fmt: skip
"""By the name of the operator."""
