"""Tensors of the Open Inference Protocol: from requests to NumPy and back, copied as little as possible."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes  # noqa: F401  gives NumPy the dtype bfloat16
import numpy as np

from offload.serving.refusal import invalid

if TYPE_CHECKING:
    from offload.runtimes.base import Array

NUMPY_OF_DATATYPE: Mapping[str, str] = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "FP16": "float16", "BF16": "bfloat16", "FP32": "float32", "FP64": "float64",
}  # fmt: skip
"""NumPy dtype of each datatype with a fixed element size; BYTES is handled apart."""
DATATYPE_OF_NUMPY: Mapping[str, str] = {dtype: datatype for datatype, dtype in NUMPY_OF_DATATYPE.items()}

_TYPED_FIELD: Mapping[str, str] = {
    "BOOL": "bool_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One input or output of a served model."""

    name: str
    datatype: str
    """Protocol datatype, for example FP32."""
    shape: tuple[int, ...]
    """Dimensions; -1 takes any size."""
    optional: bool = False
    """An input that a request may leave out."""


def decode_inputs(request: Any, specs: Sequence[TensorSpec], model_name: str) -> dict[str, Array]:
    """The tensors of a `ModelInferRequest`, checked against the model's inputs.

    Arrays over raw contents are read-only views.

    Raises:
        RefusalError: INVALID_ARGUMENT, when names, datatypes, shapes or contents do not fit.
    """
    by_name = {spec.name: spec for spec in specs}
    tensors, raw = request.inputs, request.raw_input_contents
    if raw and len(raw) != len(tensors):
        raise invalid(f"expected {len(tensors)} raw input contents for model '{model_name}', got {len(raw)}")
    decoded: dict[str, Array] = {}
    for index, tensor in enumerate(tensors):
        spec = by_name.get(tensor.name)
        if spec is None:
            raise invalid(f"unexpected inference input '{tensor.name}' for model '{model_name}'")
        if tensor.name in decoded:
            raise invalid(f"input '{tensor.name}' is given twice for model '{model_name}'")
        if raw and tensor.HasField("contents"):
            raise invalid(f"contents field must not be specified when using raw_input_contents for '{tensor.name}'")
        if "shared_memory_region" in tensor.parameters:
            raise invalid(f"input '{tensor.name}' asks for shared memory, which this server does not offer")
        shape = _checked_shape(tensor, spec, model_name)
        values = _from_raw(raw[index], spec, shape) if raw else _from_typed(tensor, spec, shape)
        decoded[tensor.name] = values
    missing = [spec.name for spec in specs if spec.name not in decoded and not spec.optional]
    if missing:
        raise invalid(
            f"expected {len(specs)} inputs but got {len(decoded)} inputs for model '{model_name}'. "
            f"Got input(s) {list(decoded)}, but missing required input(s) {missing}"
        )
    return decoded


def encode_outputs(response: Any, outputs: Mapping[str, Array], names: Iterable[str]) -> None:
    """Append the named outputs to a `ModelInferResponse` as raw contents."""
    for name in names:
        array = np.asarray(outputs[name])
        tensor = response.outputs.add()
        tensor.name = name
        tensor.shape.extend(array.shape)
        if array.dtype == np.object_:
            tensor.datatype = "BYTES"
            response.raw_output_contents.append(pack_bytes(array.ravel()))
        else:
            tensor.datatype = DATATYPE_OF_NUMPY[array.dtype.name]
            response.raw_output_contents.append(array.tobytes())


def pack_bytes(elements: Iterable[bytes]) -> bytes:
    """BYTES elements in the protocol's encoding: each led by its length in four little-endian bytes."""
    return b"".join(part for element in elements for part in (struct.pack("<I", len(element)), element))


def unpack_bytes(data: bytes, count: int, name: str) -> list[bytes]:
    """The `count` elements of an encoded BYTES tensor.

    Raises:
        RefusalError: INVALID_ARGUMENT, when lengths and data do not fit together.
    """
    view, offset, elements = memoryview(data), 0, []
    for _ in range(count):
        if offset + 4 > len(view):
            raise invalid(f"input '{name}' holds fewer than {count} BYTES elements")
        (length,) = struct.unpack_from("<I", view, offset)
        offset += 4
        if offset + length > len(view):
            raise invalid(f"input '{name}' has a BYTES element that is longer than its data")
        elements.append(bytes(view[offset : offset + length]))
        offset += length
    if offset != len(view):
        raise invalid(f"input '{name}' has {len(view) - offset} bytes after its {count} BYTES elements")
    return elements


def _checked_shape(tensor: Any, spec: TensorSpec, model_name: str) -> tuple[int, ...]:
    if tensor.datatype != spec.datatype:
        raise invalid(
            f"inference input '{spec.name}' data-type is '{tensor.datatype}', "
            f"but model '{model_name}' expects '{spec.datatype}'"
        )
    shape = tuple(tensor.shape)
    fits = len(shape) == len(spec.shape) and all(
        given >= 0 and expected in (-1, given) for given, expected in zip(shape, spec.shape, strict=True)
    )
    if not fits:
        raise invalid(
            f"unexpected shape for input '{spec.name}' for model '{model_name}'. "
            f"Expected {list(spec.shape)}, got {list(shape)}"
        )
    return shape


def _element_count(shape: tuple[int, ...]) -> int:
    count = 1
    for dimension in shape:
        count *= dimension
    return count


def _from_raw(data: bytes, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    if spec.datatype == "BYTES":
        return _object_array(unpack_bytes(data, _element_count(shape), spec.name), shape)
    dtype = np.dtype(NUMPY_OF_DATATYPE[spec.datatype])
    expected = _element_count(shape) * dtype.itemsize
    if len(data) != expected:
        raise invalid(
            f"unexpected total byte size {len(data)} for input '{spec.name}', expecting {expected} for {list(shape)}"
        )
    return np.frombuffer(data, dtype).reshape(shape)


def _from_typed(tensor: Any, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    field = _TYPED_FIELD.get(spec.datatype)
    if field is None:
        raise invalid(f"input '{spec.name}' of datatype {spec.datatype} must be sent as raw_input_contents")
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if filled not in ([field], []):
        raise invalid(f"input '{spec.name}' of datatype {spec.datatype} must fill {field}, not {', '.join(filled)}")
    values = getattr(tensor.contents, field)
    if len(values) != _element_count(shape):
        raise invalid(
            f"input '{spec.name}' holds {len(values)} elements, expecting {_element_count(shape)} for {list(shape)}"
        )
    if spec.datatype == "BYTES":
        return _object_array(list(values), shape)
    try:
        return np.array(values, dtype=NUMPY_OF_DATATYPE[spec.datatype]).reshape(shape)
    except OverflowError:
        raise invalid(f"input '{spec.name}' holds a value outside {spec.datatype}") from None


def _object_array(elements: list[bytes], shape: tuple[int, ...]) -> Array:
    array = np.empty(len(elements), dtype=np.object_)
    array[:] = elements
    return array.reshape(shape)
