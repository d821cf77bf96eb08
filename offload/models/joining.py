"""Joining two ONNX models into one: what gives tensors in front of what takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.errors import OffloadError
from offload.models.onnx_walk import all_nodes
from offload.models.segments import OnnxSegment

if TYPE_CHECKING:
    from onnx import ModelProto

_PREFIX = "decoder"


def join(first: OnnxSegment, second: OnnxSegment) -> OnnxSegment:
    """One model that runs `first` and then `second`, whose inputs are the first's outputs, in this order.

    It takes the first's inputs, whose names get a prefix that no name of the second begins with, and gives the second's
    outputs. Of two opsets the lower is converted to the higher. The same two models give the same bytes.

    Raises:
        OffloadError: the tensors do not fit, the opsets cannot be reconciled, or together they are over 2 GB.
    """
    import onnx.compose
    from google.protobuf.message import EncodeError
    from onnx import ModelProto

    front, back = _same_opsets(ModelProto.FromString(first.onnx), ModelProto.FromString(second.onnx))
    prefix = _fresh_prefix(back)
    front = onnx.compose.add_prefix(front, prefix)
    given = [f"{prefix}{name}" for name in first.outputs]
    _check_fit(front, given, back, second.inputs)
    front.ir_version = back.ir_version = max(front.ir_version, back.ir_version)
    try:
        joined = onnx.compose.merge_models(
            front, back, io_map=list(zip(given, second.inputs, strict=True)), outputs=list(second.outputs)
        )
    except (ValueError, onnx.checker.ValidationError) as error:
        raise _unjoinable(str(error).splitlines()[0]) from error
    joined.graph.name = back.graph.name
    try:
        data = joined.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise _unjoinable("together they are over 2 GB, more than one ONNX message can hold") from error
    return OnnxSegment(onnx=data, inputs=tuple(f"{prefix}{name}" for name in first.inputs), outputs=second.outputs)


def _same_opsets(front: ModelProto, back: ModelProto) -> tuple[ModelProto, ModelProto]:
    """Both at the higher of their opsets: converting down is not possible for most operators."""
    import onnx.version_converter

    versions = [_opsets(model) for model in (front, back)]
    for domain in set(versions[0]) & set(versions[1]) - {""}:
        if versions[0][domain] != versions[1][domain]:
            raise _unjoinable(f"they use versions {versions[0][domain]} and {versions[1][domain]} of {domain}")
    target = max(each.get("", 0) for each in versions)
    converted = []
    for model, have in zip((front, back), versions, strict=True):
        if have.get("", target) == target:
            converted.append(model)
            continue
        try:
            converted.append(onnx.version_converter.convert_version(model, target))
        except Exception as error:  # the converter raises RuntimeError and errors of its own C++ classes
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise _unjoinable(f"opset {have['']} cannot be converted to {target}: {reason}") from error
    return converted[0], converted[1]


def _opsets(model: ModelProto) -> dict[str, int]:
    return {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in model.opset_import}


def _fresh_prefix(model: ModelProto) -> str:
    names = {value.name for value in model.graph.input} | {tensor.name for tensor in model.graph.initializer}
    for node in all_nodes(model.graph.node):
        names |= {node.name, *node.output}
    prefix = f"{_PREFIX}/"
    while any(name.startswith(prefix) for name in names):
        prefix = f"_{prefix}"
    return prefix


def _check_fit(front: ModelProto, given: list[str], back: ModelProto, taken: tuple[str, ...]) -> None:
    if len(given) != len(taken):
        raise _unjoinable(f"the first gives {len(given)} tensors, the second takes {len(taken)}")
    gives = {value.name: value.type.tensor_type for value in front.graph.output}
    takes = {value.name: value.type.tensor_type for value in back.graph.input}
    for left, right in zip(given, taken, strict=True):
        one, other = gives[left], takes[right]
        shapes = [[dim.dim_value for dim in each.shape.dim] for each in (one, other)]
        if shapes[0] != shapes[1]:
            raise _unjoinable(f"{right!r} has the shape {shapes[1]}, what is given for it {shapes[0]}")
        if one.elem_type != other.elem_type:
            raise _unjoinable(f"{right!r} and what is given for it are of different types")


def _unjoinable(reason: str) -> OffloadError:
    return OffloadError(
        f"a decoder and a model cannot be joined: {reason}", hint="train the codec again for this model and cut"
    )
