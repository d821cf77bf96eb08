"""From ONNX to the graph that every other part works with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from offload.errors import OffloadError
from offload.graph.model_graph import DTYPE_BYTES, Layer, ModelGraph, Tensor
from offload.models.inputs import Shape
from offload.models.onnx_walk import reads
from offload.models.operators import Operation, flops_of, kind_of

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto, ValueInfoProto

_SHAPE_LIKE_ELEMENTS = 1024
"""Initialisers up to this size may be shapes, which inference must read."""


def graph_of(onnx: bytes) -> ModelGraph:
    """The graph of a serialised model; layer `i` is its node `i`.

    Args:
        onnx: A model with static shapes; canonical ones say the shape of every tensor, others are inferred.

    Raises:
        OffloadError: the bytes are not a model, or a tensor's shape or type is not known.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    try:
        return graph_of_proto(ModelProto.FromString(onnx))
    except DecodeError as error:
        raise OffloadError("the bytes are not an ONNX model", hint="give a model exported to ONNX") from error


def graph_of_proto(model: ModelProto) -> ModelGraph:
    """`graph_of` for a parsed model."""
    from onnx import helper

    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in weights]
    types = _declared_types((*graph.input, *graph.value_info, *graph.output))
    used = {name for node in graph.node for name in reads(node)} | {value.name for value in graph.output}
    if not used <= types.keys() | weights.keys():
        types = infer_types(model)

    tensors: dict[str, Tensor] = {}

    def add(name: str) -> None:
        if name not in types:
            raise OffloadError(f"the shape of tensor {name!r} is not known", hint="export the model with fixed shapes")
        elem_type, shape = types[name]
        dtype = helper.tensor_dtype_to_np_dtype(elem_type).name
        if dtype not in DTYPE_BYTES:
            raise OffloadError(f"tensor {name!r} is of type {dtype}, which cannot be sent", hint="export without it")
        tensors[name] = Tensor(name=name, shape=shape, dtype=dtype)

    for name in inputs:
        add(name)
    layers = []
    for node in graph.node:
        outputs = tuple(name for name in node.output if name and (name in used or name in types))
        for name in outputs:
            add(name)
        read = reads(node)
        constants = [weights[name] for name in read if name in weights]
        operation = Operation(
            op=node.op_type,
            inputs=tuple(
                tuple(weights[name].dims) if name in weights else types[name][1] if name in types else None
                for name in node.input
            ),
            outputs=tuple(tensors[name].shape for name in outputs),
            constant=tuple(name in weights for name in node.input),
            attributes={attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute},
        )
        layers.append(
            Layer(
                name=node.name or node.output[0],
                kind=kind_of(operation),
                op=node.op_type,
                inputs=tuple(name for name in read if name not in weights),
                outputs=outputs,
                flops=flops_of(operation),
                weight_bytes=sum(map(_weight_bytes, constants)),
            )
        )
    ends = tuple(value.name for value in graph.output)
    for name in ends:  # an output that folded to a constant has no producer
        if name not in tensors:
            add(name)
    return ModelGraph(tensors=tuple(tensors.values()), layers=tuple(layers), inputs=tuple(inputs), outputs=ends)


def infer_types(model: ModelProto) -> dict[str, tuple[int, Shape]]:
    """ONNX element type and static shape of each tensor for which both can be inferred from the inputs'."""
    import onnx

    # Large weights are replaced by their type, since inference copies the model several times.
    skeleton = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = skeleton.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    for value in model.graph.output:
        kept = graph.output.add()
        kept.name = value.name
        kept.type.tensor_type.elem_type = value.type.tensor_type.elem_type
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _SHAPE_LIKE_ELEMENTS:
            graph.initializer.add().CopyFrom(tensor)
        else:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True).graph
    types = _declared_types((*inferred.input, *inferred.value_info, *inferred.output))
    types |= {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in model.graph.initializer}
    return types


def _declared_types(values: tuple[ValueInfoProto, ...]) -> dict[str, tuple[int, Shape]]:
    types = {}
    for value in values:
        tensor = value.type.tensor_type
        dims = tensor.shape.dim
        if tensor.elem_type and tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            types[value.name] = (int(tensor.elem_type), tuple(int(dim.dim_value) for dim in dims))
    return types


def _weight_bytes(tensor: TensorProto) -> int:
    from onnx import helper

    return math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
