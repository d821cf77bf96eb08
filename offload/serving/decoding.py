"""Tensors that reach the server coded: what a client announces with its upload, and decoding them before inference.

The upload's `config` carries the parameter PARAMETER, JSON: for each coded input of the model the codec's text, the
tensor's shape and dtype, and the tables of a range coder. The served model then takes that input as UINT8 [-1].
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.codecs.catalogue import make_codec
from offload.codecs.text import LONGEST_TEXT
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor
from offload.serving.refusal import invalid
from offload.serving.tensors import NUMPY_OF_DATATYPE, TensorSpec

if TYPE_CHECKING:
    from offload.codecs.base import Codec
    from offload.runtimes.base import Array

PARAMETER = "offload_decode"
_KEYS = frozenset({"codec", "shape", "dtype", "tables"})


@dataclass(frozen=True, kw_only=True)
class Coded:
    """One input that is to arrive coded."""

    codec: str
    """What makes the codec again."""
    tensor: Tensor
    """What it decodes to."""
    tables: Sequence[Sequence[int]] = ()
    """Frequencies of a range coder."""


def announcement(inputs: Mapping[str, Coded]) -> str:
    """What to write into PARAMETER for these inputs, by name."""
    return json.dumps(
        {
            name: {
                "codec": one.codec,
                "shape": list(one.tensor.shape),
                "dtype": one.tensor.dtype,
                "tables": [list(table) for table in one.tables],
            }
            for name, one in inputs.items()
        }
    )


def announced_codecs(text: str, inputs: Sequence[TensorSpec]) -> dict[str, Codec]:
    """The codecs of an upload's coded inputs, by name; none where nothing is announced.

    How much it can hold is limited with the whole config's length.

    Args:
        text: What came in PARAMETER; empty when nothing did.
        inputs: What the model itself takes.

    Raises:
        RefusalError: INVALID_ARGUMENT, when the announcement is not understood or not about this model.
    """
    if not text:
        return {}
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise invalid(f"{PARAMETER} is not JSON") from None
    if not isinstance(told, dict):
        raise invalid(f"{PARAMETER} must be an object of inputs")
    by_name = {spec.name: spec for spec in inputs}
    for key in told:
        if key not in by_name:
            raise invalid(f"{PARAMETER} names {key[:LONGEST_TEXT]!r}, which is no input of the model")
    return {key: _codec(fields, by_name[key], f"{PARAMETER} of '{key}' ") for key, fields in told.items()}


def _codec(fields: object, spec: TensorSpec, problem: str) -> Codec:
    if not isinstance(fields, dict) or set(fields) != _KEYS:
        raise invalid(f"{problem}must be an object of {', '.join(sorted(_KEYS))}")
    text, shape, dtype, tables = (fields[key] for key in ("codec", "shape", "dtype", "tables"))
    if not isinstance(text, str) or not text or len(text) > LONGEST_TEXT:
        raise invalid(f"{problem}must name a codec in at most {LONGEST_TEXT} characters")
    if not isinstance(shape, list) or any(type(size) is not int for size in shape) or tuple(shape) != spec.shape:
        raise invalid(f"{problem}has the shape {str(shape)[:LONGEST_TEXT]}, the model takes {list(spec.shape)}")
    if not isinstance(dtype, str) or dtype != NUMPY_OF_DATATYPE.get(spec.datatype):
        raise invalid(f"{problem}has the dtype {str(dtype)[:LONGEST_TEXT]}, the model takes {spec.datatype}")
    if not isinstance(tables, list) or any(not isinstance(table, list) for table in tables):
        raise invalid(f"{problem}has tables that are not lists of numbers")
    if any(type(number) is not int for table in tables for number in table):
        raise invalid(f"{problem}has tables that are not lists of whole numbers")
    try:
        return make_codec(text, Tensor(name=spec.name, shape=spec.shape, dtype=dtype), tables=tables)
    except OffloadError as error:
        raise invalid(problem + "cannot be decoded here: " + error.message) from error


def coded_inputs(inputs: Sequence[TensorSpec], codecs: Mapping[str, Codec]) -> tuple[TensorSpec, ...]:
    """What a request must bring: bytes where an input is coded."""
    return tuple(
        TensorSpec(name=spec.name, datatype="UINT8", shape=(-1,)) if spec.name in codecs else spec for spec in inputs
    )


def decode_payloads(inputs: Mapping[str, Array], codecs: Mapping[str, Codec]) -> Mapping[str, Array]:
    """The inputs with payloads decoded.

    Raises:
        RefusalError: INVALID_ARGUMENT, when a payload is damaged, too long, or was made by another codec.
    """
    if not codecs:
        return inputs
    decoded = dict(inputs)
    for name, codec in codecs.items():
        size = inputs[name].size
        if size > codec.max_bytes:
            raise invalid(f"input '{name}' holds {size} bytes, a payload of {codec.text} at most {codec.max_bytes}")
        try:
            decoded[name] = codec.decode(inputs[name].tobytes())
        except OffloadError as error:
            raise invalid(f"input '{name}' cannot be decoded: {error.message}") from error
    return decoded
