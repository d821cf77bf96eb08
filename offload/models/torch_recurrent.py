"""Recurrent operators of ONNX step by step: any activation and clip, gradients, and any number of examples at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from offload.models.torch_operators import unknown
from offload.models.torch_weighted import Compute, Node, Translation, WeightedModule

_ACTIVATIONS: Mapping[bytes, Callable[[Tensor], Tensor]] = {
    b"Tanh": torch.tanh, b"Relu": torch.relu, b"Sigmoid": torch.sigmoid,
}  # fmt: skip
_USUAL: Mapping[str, Sequence[bytes]] = {
    "RNN": (b"Tanh",), "GRU": (b"Sigmoid", b"Tanh"), "LSTM": (b"Sigmoid", b"Tanh", b"Tanh"),
}  # fmt: skip
_BIAS, _LENGTHS, _STATE, _CELL, _PEEPHOLES = 3, 4, 5, 6, 7
"""Places among a node's inputs."""

Step = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From what is driven at one time (batch, gates), state, cell, recurrent weights and recurrent bias to the next state
and cell."""


def _recurrent(network: WeightedModule, node: Node) -> Compute:
    """One layer of one direction or both that starts from zeros; shapes are ONNX's, `layout` 0."""
    if any(len(node.inputs) > place and node.inputs[place] for place in (_LENGTHS, _PEEPHOLES)):
        raise unknown(node, "with lengths or peepholes")
    for place in (_STATE, _CELL):
        name = node.inputs[place] if len(node.inputs) > place else ""
        if name and (not network.is_constant(name) or network.values_of(name).any()):
            raise unknown(node, "that starts from a given state")
    if node.attributes.get("layout"):
        raise unknown(node, "of batch-first layout")
    into, back = (network.weight(network.values_of(name)) for name in node.inputs[1:3])
    given = len(node.inputs) > _BIAS and node.inputs[_BIAS]
    biases = network.weight(network.values_of(node.inputs[_BIAS])) if given else None
    way = node.attributes.get("direction", b"forward")
    backwards = {b"forward": (False,), b"reverse": (True,), b"bidirectional": (False, True)}[way]
    step = _step_of(node, len(backwards))
    results = [bool(name) for name in node.outputs]

    def compute(x: Tensor, *_: Tensor) -> list[Tensor]:
        every, states, cells = [], [], []
        for index, turned in enumerate(backwards):
            weight, recurrent = into()[index], back()[index]
            both = biases()[index] if biases is not None else weight.new_zeros(2 * weight.shape[0])
            bias, recurrent_bias = both.chunk(2)
            made, state, cell = _run(x.flip(0) if turned else x, weight, bias, recurrent, recurrent_bias, step)
            every.append(made.flip(0) if turned else made)
            states.append(state)
            cells.append(cell)
        found = [torch.stack(every, dim=1), torch.stack(states), torch.stack(cells)]
        return [found[place] for place, _ in enumerate(results)]

    return compute


def _run(
    x: Tensor, weight: Tensor, bias: Tensor, recurrent: Tensor, recurrent_bias: Tensor, step: Step
) -> tuple[Tensor, Tensor, Tensor]:
    driven = x @ weight.T + bias
    state = cell = driven.new_zeros(()).expand(x.shape[1], recurrent.shape[1])
    made = []
    for now in driven.unbind(0):
        state, cell = step(now, state, cell, recurrent, recurrent_bias)
        made.append(state)
    return torch.stack(made), state, cell


def _step_of(node: Node, ways: int) -> Step:
    names = list(node.attributes.get("activations") or _USUAL[node.op])
    wanted = names[: len(_USUAL[node.op])]
    if any(name not in _ACTIVATIONS for name in wanted) or names not in (wanted, wanted * ways):
        raise unknown(node, "with such activations")
    calls = [_ACTIVATIONS[name] for name in wanted]
    clip = node.attributes.get("clip")

    def clipped(x: Tensor) -> Tensor:
        return x if clip is None else x.clamp(-clip, clip)

    def simple(now: Tensor, state: Tensor, cell: Tensor, recurrent: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        return calls[0](clipped(now + state @ recurrent.T + bias)), cell

    def long_short(now: Tensor, state: Tensor, cell: Tensor, recurrent: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        gate_in, out, forget, new = clipped(now + state @ recurrent.T + bias).chunk(4, dim=-1)
        cell = calls[0](forget) * cell + calls[0](gate_in) * calls[1](new)
        return calls[0](out) * calls[2](cell), cell

    reset_after = bool(node.attributes.get("linear_before_reset", 0))

    def gated(now: Tensor, state: Tensor, cell: Tensor, recurrent: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        hidden = recurrent.shape[1]
        update, reset = (
            calls[0](clipped(one))
            for one in (now[:, : 2 * hidden] + state @ recurrent[: 2 * hidden].T + bias[: 2 * hidden]).chunk(2, dim=-1)
        )
        last, last_bias = recurrent[2 * hidden :], bias[2 * hidden :]
        back = reset * (state @ last.T + last_bias) if reset_after else (reset * state) @ last.T + last_bias
        new = calls[1](clipped(now[:, 2 * hidden :] + back))
        return (1 - update) * new + update * state, cell

    return {"RNN": simple, "LSTM": long_short, "GRU": gated}[node.op]


RECURRENT_OPERATORS: Mapping[str, Translation] = dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent)
"""By the name of the operator."""
