"""What torch executes for a model: a kernel for each ATen call, told as the ONNX operator that computes the same.

Torch calls operators as they stand, so that the program is known without running it. Only whether a reshape copies is
not said by the call: it follows from how its input lies in memory, which is traced here without any data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from offload.graph.model_graph import DTYPE_BYTES, Layer
from offload.models.aten_operators import TensorArgument, is_view, operations_of_aten
from offload.models.executed import ExecutedBlock, Kernel
from offload.models.operators import Operation, Shape
from offload.models.torch_program import Call, TorchProgram, Value, Weight, substitute

if TYPE_CHECKING:
    import torch


def executed_layers(program: TorchProgram) -> tuple[ExecutedBlock, ...]:
    """A block for each layer, as they are measured: with a kernel for each layer of a recurrent network of several."""
    calls = zip(program.calls, program.graph.layers, _moves(program), strict=True)
    return tuple(
        ExecutedBlock(layers=(index,), kernels=tuple(_kernels(program, call, layer, index, move)))
        for index, (call, layer, move) in enumerate(calls)
    )


def _kernels(
    program: TorchProgram, call: Call, layer: Layer, position: int, move: Operation | None
) -> Iterator[Kernel]:
    tensors, weights = program.graph.tensor_by_name, program.weights
    sizes = [(math.prod(tensors[name].shape), DTYPE_BYTES[tensors[name].dtype]) for name in call.results]

    def described(leaf: Any) -> Any:
        if isinstance(leaf, Value):
            tensor = tensors[leaf.name]
            sizes.append((math.prod(tensor.shape), DTYPE_BYTES[tensor.dtype]))
            return TensorArgument(shape=tensor.shape, is_weight=False)
        if isinstance(leaf, Weight):
            weight = weights[leaf.name]
            sizes.append((weight.numel(), weight.element_size()))
            return TensorArgument(shape=tuple(weight.shape), is_weight=True)
        return leaf

    outputs = [tensors[name].shape for name in call.results]
    operations = operations_of_aten(layer.op, substitute(call.args, described), outputs)
    _, item_bytes = max(sizes, key=lambda size: size[0])
    for number, operation in enumerate(operations):
        yield Kernel(
            name=layer.name if len(operations) == 1 else f"{layer.name}.{number}",
            runs=f"aten.{layer.op}",
            operation=move or operation,
            item_bytes=item_bytes,
            position=position,
        )


def _moves(program: TorchProgram) -> tuple[Operation | None, ...]:
    """Of each call that changes a shape or a layout, whether it copies and how; None for all others."""
    import torch

    tensors = program.graph.tensor_by_name
    laid = {name: torch.empty(tensors[name].shape, device="meta") for name in program.graph.inputs}

    def concrete(leaf: Any) -> Any:
        if isinstance(leaf, Weight):
            weight = program.weights[leaf.name]
            return torch.empty_strided(weight.size(), weight.stride(), device="meta")
        return laid[leaf.name] if isinstance(leaf, Value) else leaf

    found: list[Operation | None] = []
    with torch.no_grad():  # in inference mode a tensor does not tell whose view it is
        for call, layer in zip(program.calls, program.graph.layers, strict=True):
            args = substitute(call.args, concrete)
            shapes = tuple(tensors[name].shape for name in call.results)
            if not is_view(layer.op):
                found.append(_copy(args[0], shapes) if layer.op in ("clone", "contiguous") else None)
                laid |= {name: _result(call, layer, tensors[name].shape, laid) for name in call.results}
                continue
            made: Any = call.operator(*args, **{key: substitute(value, concrete) for key, value in call.kwargs.items()})
            results = {name: made if place is None else made[place] for name, place in call.results.items()}
            looks = all(result._is_view() for result in results.values())
            found.append(
                Operation(op="Reshape", inputs=(tuple(args[0].shape),), outputs=shapes)
                if looks
                else _copy(args[0], shapes)
            )
            laid |= results
    return tuple(found)


def _copy(tensor: torch.Tensor, shapes: tuple[Shape, ...]) -> Operation:
    """A tensor brought into the order of its dimensions: a transpose of what lies in memory."""
    strides = tensor.stride()
    order = sorted(range(tensor.dim()), key=lambda axis: -strides[axis])
    return Operation(
        op="Transpose",
        inputs=(tuple(tensor.shape[axis] for axis in order),),
        outputs=shapes,
        constant=(False,),
        attributes={"perm": [order.index(axis) for axis in range(tensor.dim())]},
    )


def _result(call: Call, layer: Layer, shape: Shape, laid: dict[str, torch.Tensor]) -> torch.Tensor:
    """How the result of a call that computes something lies in memory, as torch's kernels leave it."""
    import torch

    inputs = [laid[name] for name in layer.inputs]
    alike = next((each for each in inputs if tuple(each.shape) == shape), None)
    if layer.kind in ("elementwise", "activation") and alike is not None:
        return torch.empty_like(alike)
    if layer.kind == "attention" and len(shape) == 4:  # made with the heads inside, which is handed out turned
        batch, heads, length, size = shape
        return torch.empty((batch, length, heads, size), device="meta").transpose(1, 2)
    if layer.kind == "recurrent" and len(shape) == 3 and len(call.args) > 8 and call.args[8]:  # batch first
        return torch.empty((shape[1], shape[0], shape[2]), device="meta").transpose(0, 1)
    keeps = layer.kind in ("conv", "pool", "resize") and len(shape) == 4
    if keeps and inputs and inputs[0].dim() == 4 and _channels_last(inputs[0]):
        return torch.empty(shape, device="meta", memory_format=torch.channels_last)
    return torch.empty(shape, device="meta")


def _channels_last(tensor: torch.Tensor) -> bool:
    import torch

    return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()
