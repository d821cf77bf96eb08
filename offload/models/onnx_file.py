"""Reading a `.onnx` file that may be anything: everything wrong with it is said before it is used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from offload.errors import OffloadError
from offload.models.inputs import Shape, format_shape
from offload.models.onnx_walk import MAX_PROTO_BYTES, all_nodes, stored_tensors

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

STANDARD_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")


def read_onnx(path: Path) -> ModelProto:
    """The model in a file, with its external data inside it and its functions inlined.

    Raises:
        OffloadError: the file is missing, not ONNX, damaged or too large, reaches for data outside its folder, uses
            operators that are not standard, or has inputs or outputs that are not tensors.
    """
    import onnx
    import onnx.inliner
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise OffloadError(f"{path}: there is no such file", hint="check the path of the model")
    try:
        if path.stat().st_size > MAX_PROTO_BYTES:
            raise _too_large(path)
        data = path.read_bytes()
    except OSError as error:
        raise OffloadError(f"{path}: cannot be read: {error.strerror}", hint="check who may read it") from error
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        # The first field of every exporter's file is the IR version, whose tag is this byte.
        if data.startswith(b"\x08"):
            raise OffloadError(
                f"{path}: the file is truncated or damaged", hint="copy or download it again, or export it again"
            ) from error
        raise OffloadError(f"{path}: not an ONNX file", hint="give a model exported to ONNX") from error
    if not model.graph.node:
        raise OffloadError(f"{path}: not an ONNX model, it has no operators", hint="give a model exported to ONNX")
    if not model.opset_import:
        raise OffloadError(
            f"{path}: the file is truncated or damaged, its opset is missing", hint="copy or download it again"
        )
    _load_external_data(model, path)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    _check_operators(model, path)
    _check_ends(model, path)
    return model


def declared_inputs(model: ModelProto) -> dict[str, tuple[int | str, ...] | None]:
    """Declared shapes of the true inputs, a dynamic dimension by its name or `?`; None where the rank is open."""
    weights = {tensor.name for tensor in model.graph.initializer}
    shapes: dict[str, tuple[int | str, ...] | None] = {}
    for value in model.graph.input:
        if value.name in weights:
            continue
        tensor = value.type.tensor_type
        dims = tuple(
            dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else dim.dim_param or "?"
            for dim in tensor.shape.dim
        )
        shapes[value.name] = dims if tensor.HasField("shape") else None
    return shapes


def static_inputs(model: ModelProto, given: Mapping[str, Shape], *, name: str) -> dict[str, Shape]:
    """A static shape for each true input: declared, or given where a dimension is dynamic.

    Raises:
        OffloadError: a dimension stays dynamic, or a given shape contradicts a declared one.
    """
    shapes: dict[str, Shape] = {}
    for key, declared in declared_inputs(model).items():
        if key in given:
            shape = given[key]
            if declared is not None and (
                len(shape) != len(declared)
                or any(isinstance(want, int) and want != have for want, have in zip(declared, shape, strict=True))
            ):
                raise OffloadError(
                    f"{name}: input {key!r} is {format_shape(declared)} in the model, not {format_shape(shape)}",
                    hint="only dimensions that the model leaves open can be set",
                )
            shapes[key] = shape
        elif declared is None:
            raise OffloadError(
                f"{name}: input {key!r} has no shape", hint=f"give one, for example --input {key}=1x3x224x224"
            )
        elif any(isinstance(dim, str) for dim in declared):
            image = len(declared) == 4
            example = [
                dim if isinstance(dim, int) else 1 if not axis else (1, 3, 224, 224)[axis] if image else 128
                for axis, dim in enumerate(declared)
            ]
            raise OffloadError(
                f"{name}: input {key!r} has dynamic dimensions: {format_shape(declared)}",
                hint=f"fix them, for example --input {key}={format_shape(example)}",
            )
        else:
            shapes[key] = tuple(dim for dim in declared if isinstance(dim, int))
    return shapes


def _too_large(path: Path) -> OffloadError:
    return OffloadError(
        f"{path}: the model is over 2 GB, more than one ONNX message can hold",
        hint="give a smaller model, or one in half precision",
    )


def _load_external_data(model: ModelProto, path: Path) -> None:
    import onnx
    from onnx.external_data_helper import load_external_data_for_tensor

    external = [t for t in stored_tensors(model) if t.data_location == onnx.TensorProto.EXTERNAL]
    folder = path.parent.resolve()
    for tensor in external:
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        target = (folder / location).resolve()
        if not location or Path(location).is_absolute() or not target.is_relative_to(folder):
            raise OffloadError(
                f"{path}: tensor {tensor.name!r} is stored outside the model's folder, in {location!r}",
                hint="put the data file beside the model, and do not use models from people you do not trust",
            )
        if not target.is_file():
            raise OffloadError(f"{path}: its data file {location!r} is missing", hint="put it beside the model")
    if path.stat().st_size + sum(map(_size_bytes, external)) > MAX_PROTO_BYTES:
        raise _too_large(path)
    for tensor in external:
        try:
            load_external_data_for_tensor(tensor, str(folder))
            complete = len(tensor.raw_data) == _size_bytes(tensor)
        except Exception as error:  # onnx raises several kinds for offsets, lengths and links it refuses
            raise OffloadError(
                f"{path}: the external data of tensor {tensor.name!r} cannot be read: {str(error).splitlines()[0]}",
                hint="export the model again, in one file if it is below 2 GiB",
            ) from error
        if not complete:
            raise OffloadError(
                f"{path}: the external data of tensor {tensor.name!r} has the wrong length",
                hint="copy or download the data file again",
            )
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _size_bytes(tensor: TensorProto) -> int:
    from onnx import helper

    bits = {"int4": 4, "uint4": 4, "float4_e2m1fn": 4, "int2": 2, "uint2": 2}
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return math.ceil(math.prod(tensor.dims) * bits.get(dtype.name, 8 * dtype.itemsize) / 8)


def _check_operators(model: ModelProto, path: Path) -> None:
    for node in all_nodes(model.graph.node):
        if node.domain not in STANDARD_DOMAINS:
            raise OffloadError(
                f"{path}: operator {node.op_type!r} is of the custom domain {node.domain!r}",
                hint="export the model with standard ONNX operators only",
            )


def _check_ends(model: ModelProto, path: Path) -> None:
    for what, values in (("input", model.graph.input), ("output", model.graph.output)):
        for value in values:
            if value.type.WhichOneof("value") != "tensor_type":
                raise OffloadError(
                    f"{path}: {what} {value.name!r} is not a tensor", hint="export a model of tensors only"
                )
