"""Operators of ONNX that move values without computing, as calls of torch; all shapes are those of the document."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from offload.models.torch_operators import unknown
from offload.models.torch_weighted import Compute, Node, Translation, WeightedModule, operand

_INTERPOLATIONS: Mapping[tuple[str, int], str] = {("linear", 1): "linear", ("linear", 2): "bilinear"}
"""Torch's name, by ONNX's and the number of spatial axes."""


def listed(network: WeightedModule, node: Node, attribute: str, place: int) -> list[Any] | None:
    """What older ONNX has as an attribute and newer as a constant input; None where it is left out."""
    if attribute in node.attributes:
        found = node.attributes[attribute]
        return list(found) if isinstance(found, Sequence) else [found]
    if len(node.inputs) <= place or not node.inputs[place]:
        return None
    if not network.is_constant(node.inputs[place]):
        raise unknown(node, "that depends on the data")
    return list(network.values_of(node.inputs[place]).reshape(-1).tolist())


def _reshape(network: WeightedModule, node: Node) -> Compute:
    shape = network.shape_of(node.outputs[0])
    return lambda x: x.reshape(shape)


def _transpose(network: WeightedModule, node: Node) -> Compute:
    order = list(node.attributes.get("perm") or reversed(range(len(network.shape_of(node.inputs[0])))))
    return lambda x: x.permute(order)


def _expand(network: WeightedModule, node: Node) -> Compute:
    shape = network.shape_of(node.outputs[0])
    return lambda x: x.expand(shape)


def concat(network: WeightedModule, node: Node) -> Compute:
    """Flowing tensors and constants side by side."""
    axis = int(node.attributes["axis"])
    operands = [operand(network, name) for name in node.inputs]

    def joined(*flowing: Tensor) -> Tensor:
        values = iter(flowing)
        return torch.cat([next(values) if held is None else held() for held in operands], axis)  # type: ignore[misc]

    return joined


def split(network: WeightedModule, node: Node) -> Compute:
    """One size for all parts but the last, where they are alike, as torch's networks call it."""
    axis = int(node.attributes.get("axis", 0))
    sizes = [network.shape_of(name)[axis] for name in node.outputs]
    one = sizes[0]
    if all(size == one for size in sizes[:-1]) and sizes[-1] <= one:
        return lambda x: torch.split(x, one, axis)
    return lambda x: torch.split(x, sizes, axis)


def _slice(network: WeightedModule, node: Node) -> Compute:
    into = network.shape_of(node.inputs[0])
    starts, ends = (listed(network, node, name, place) or [] for place, name in ((1, "starts"), (2, "ends")))
    axes = listed(network, node, "axes", 3) or list(range(len(starts)))
    steps = listed(network, node, "steps", 4) or [1] * len(starts)
    backwards = [axis for axis, step in zip(axes, steps, strict=True) if step < 0]
    if any(step < -1 for step in steps):
        raise unknown(node, "that steps backwards")
    picks: list[slice] = [slice(None)] * len(into)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = into[axis]
        if step < 0:  # torch takes no negative step: turned first, then sliced from the other end
            first, last = _within(start, size) if start < size else size - 1, -1 if end < -size else _within(end, size)
            picks[axis] = slice(size - 1 - first, size - 1 - last)
        else:
            picks[axis] = slice(_within(start, size), _within(end, size), step)
    index = tuple(picks)
    return lambda x: (x.flip(backwards) if backwards else x)[index]


def _within(place: int, size: int) -> int:
    return max(0, min(size, place + size if place < 0 else place))


def _gather(network: WeightedModule, node: Node) -> Compute:
    axis = int(node.attributes.get("axis", 0))
    if network.is_constant(node.inputs[0]):
        table = network.weight(network.values_of(node.inputs[0]))
        if axis:
            raise unknown(node, "of a table's columns")
        return lambda tokens: functional.embedding(tokens.long(), table())
    if not network.is_constant(node.inputs[1]):
        raise unknown(node, "at places that depend on the data")
    places = network.values_of(node.inputs[1])
    axis %= len(network.shape_of(node.inputs[0]))
    places = places % network.shape_of(node.inputs[0])[axis]
    if not places.shape:
        place = int(places)
        return lambda x: x.select(axis, place)
    index, shape = network.weight(places.reshape(-1)), network.shape_of(node.outputs[0])
    return lambda x: x.index_select(axis, index()).reshape(shape)


def _pad(network: WeightedModule, node: Node) -> Compute:
    rank = len(network.shape_of(node.inputs[0]))
    pads = listed(network, node, "pads", 1) or []
    axes = listed(network, node, "axes", 3) or list(range(rank))
    mode = node.attributes.get("mode", b"constant").decode()
    fill = listed(network, node, "value", 2) or [0.0]
    around = [0] * (2 * rank)
    for number, axis in enumerate(axes):
        place = 2 * (rank - 1 - axis % rank)
        around[place : place + 2] = [pads[number], pads[number + len(axes)]]
    if mode == "constant":
        return lambda x: functional.pad(x, around, value=float(fill[0]))
    form = {"edge": "replicate", "reflect": "reflect"}.get(mode)
    spatial = 2 * (rank - 2)
    if form is None or any(around[spatial:]):
        raise unknown(node, f"in mode {mode}")
    return lambda x: functional.pad(x, around[:spatial], mode=form)


def _resize(network: WeightedModule, node: Node) -> Compute:
    mode = node.attributes.get("mode", b"nearest").decode()
    places = node.attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    into, out = network.shape_of(node.inputs[0]), network.shape_of(node.outputs[0])
    size = list(out[2:])
    if mode == "nearest":
        rounded = node.attributes.get("nearest_mode", b"round_prefer_floor").decode()
        whole = all(larger % smaller == 0 for larger, smaller in zip(out[2:], into[2:], strict=True))
        if into[:2] == out[:2] and ((places, rounded) == ("asymmetric", "floor") or node.op == "Upsample" or whole):
            return lambda x: functional.interpolate(x, size=size, mode="nearest")
        raise unknown(node, f"in mode {mode}")
    form = _INTERPOLATIONS.get((mode, len(size)))
    if form is None or into[:2] != out[:2] or places not in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        raise unknown(node, f"in mode {mode}")
    corners = places == "align_corners"
    return lambda x: functional.interpolate(x, size=size, mode=form, align_corners=corners)


def _depth_to_space(network: WeightedModule, node: Node) -> Compute:
    block = int(node.attributes["blocksize"])
    batch, channels, height, width = network.shape_of(node.inputs[0])
    if node.attributes.get("mode", b"DCR") == b"CRD":
        return lambda x: functional.pixel_shuffle(x, block)
    shape, out = (batch, block, block, channels // block**2, height, width), network.shape_of(node.outputs[0])
    return lambda x: x.reshape(shape).permute(0, 3, 4, 1, 5, 2).reshape(out)


def _tile(network: WeightedModule, node: Node) -> Compute:
    repeats = listed(network, node, "repeats", 1) or []
    if math.prod(repeats) == 1:
        return lambda x: x
    return lambda x: x.repeat(repeats)


SHAPE_OPERATORS: Mapping[str, Translation] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    "Transpose": _transpose, "Expand": _expand, "Concat": concat, "Split": split, "Slice": _slice, "Gather": _gather,
    "Pad": _pad, "Resize": _resize, "Upsample": _resize, "DepthToSpace": _depth_to_space, "Tile": _tile,
}  # fmt: skip
"""By the name of the operator."""
