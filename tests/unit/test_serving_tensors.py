"""Raw and typed contents of requests, by the protocol's rules."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from offload.serving.refusal import RefusalError
from offload.serving.tensors import (
    NUMPY_OF_DATATYPE,
    TensorSpec,
    decode_inputs,
    encode_outputs,
    pack_bytes,
    unpack_bytes,
)


def request(*tensors: tuple[str, str, list[int]], raw: tuple[bytes, ...] = ()) -> service_pb2.ModelInferRequest:
    message = service_pb2.ModelInferRequest(model_name="m", raw_input_contents=raw)
    for name, datatype, shape in tensors:
        message.inputs.add(name=name, datatype=datatype, shape=shape)
    return message


def spec(datatype: str = "FP32", *shape: int, name: str = "x", optional: bool = False) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, shape=shape or (2,), optional=optional)


@pytest.mark.parametrize("datatype", sorted(NUMPY_OF_DATATYPE))
def test_raw_contents_of_every_datatype_are_viewed_in_place(datatype: str) -> None:
    values = np.arange(6).reshape(2, 3).astype(NUMPY_OF_DATATYPE[datatype])
    message = request(("x", datatype, [2, 3]), raw=(values.tobytes(),))
    decoded = decode_inputs(message, [spec(datatype, 2, 3)], "m")["x"]
    np.testing.assert_array_equal(decoded, values)
    assert not decoded.flags.owndata


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("UINT8", "uint_contents", [1, 255]),
        ("UINT64", "uint64_contents", [1, 2**64 - 1]),
        ("INT8", "int_contents", [-128, 127]),
        ("INT64", "int64_contents", [-1, 2**62]),
        ("FP32", "fp32_contents", [0.5, -1.0]),
        ("FP64", "fp64_contents", [0.1, 1e300]),
        ("BYTES", "bytes_contents", [b"", b"abc"]),
    ],
)
def test_typed_contents_are_taken(datatype: str, field: str, values: list[object]) -> None:
    message = request(("x", datatype, [2]))
    getattr(message.inputs[0].contents, field).extend(values)
    assert list(decode_inputs(message, [spec(datatype)], "m")["x"]) == values


def filled(message: service_pb2.ModelInferRequest, **contents: list[object]) -> service_pb2.ModelInferRequest:
    for field, values in contents.items():
        getattr(message.inputs[0].contents, field).extend(values)
    return message


X = ("x", "FP32", [2])
EIGHT = bytes(8)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (request(), "missing required input"),
        (request(X, ("z", "FP32", [2]), raw=(EIGHT, EIGHT)), "unexpected inference input 'z'"),
        (request(X, X, raw=(EIGHT, EIGHT)), "given twice"),
        (request(("x", "INT32", [2]), raw=(EIGHT,)), "expects 'FP32'"),
        (request(("x", "FP32", [3]), raw=(bytes(12),)), "unexpected shape"),
        (request(("x", "FP32", [1, 2]), raw=(EIGHT,)), "unexpected shape"),
        (request(("x", "FP32", [-2]), raw=(EIGHT,)), "unexpected shape"),
        (request(X, raw=(bytes(7),)), "byte size 7"),
        (request(X, raw=(bytes(12),)), "byte size 12"),
        (request(X, raw=(EIGHT, EIGHT)), "raw input contents"),
        (filled(request(X, raw=(EIGHT,)), fp32_contents=[1, 2]), "must not be specified"),
        (filled(request(X), fp64_contents=[1, 2]), "must fill fp32_contents"),
        (filled(request(X), fp32_contents=[1]), "1 elements"),
        (request(X), "0 elements"),
    ],
)
def test_contents_that_do_not_fit_are_invalid(message: service_pb2.ModelInferRequest, says: str) -> None:
    with pytest.raises(RefusalError, match=says) as caught:
        decode_inputs(message, [spec()], "m")
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_typed_values_outside_their_type_are_invalid() -> None:
    with pytest.raises(RefusalError, match="outside UINT8"):
        decode_inputs(filled(request(("x", "UINT8", [1])), uint_contents=[300]), [spec("UINT8", 1)], "m")


def test_half_floats_have_no_typed_contents() -> None:
    with pytest.raises(RefusalError, match="raw_input_contents"):
        decode_inputs(request(("x", "FP16", [2])), [spec("FP16")], "m")


def test_shared_memory_is_refused() -> None:
    message = request(X)
    message.inputs[0].parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(RefusalError, match="shared memory"):
        decode_inputs(message, [spec()], "m")


def test_optional_inputs_may_be_left_out() -> None:
    message = request(X, raw=(EIGHT,))
    assert list(decode_inputs(message, [spec(), spec(name="extra", optional=True)], "m")) == ["x"]


def test_a_dimension_of_minus_one_takes_any_size() -> None:
    assert decode_inputs(request(("x", "FP32", [5]), raw=(bytes(20),)), [spec("FP32", -1)], "m")["x"].shape == (5,)


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_bytes_are_encoded_as_tritonclient_encodes_them(elements: list[bytes]) -> None:
    encoded = pack_bytes(elements)
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    reference = serialize_byte_tensor(array)
    assert encoded == (reference.item() if reference.size else b"")
    assert list(deserialize_bytes_tensor(encoded)) == elements
    assert unpack_bytes(encoded, len(elements), "x") == elements


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4), st.data())
def test_damaged_bytes_are_invalid(elements: list[bytes], data: st.DataObject) -> None:
    encoded = pack_bytes(elements)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    for damaged in (encoded[:cut], encoded + b"x"):
        with pytest.raises(RefusalError):
            unpack_bytes(damaged, len(elements), "x")


def test_outputs_are_written_raw() -> None:
    response = service_pb2.ModelInferResponse()
    strings = np.array([b"a", b"bc"], np.object_)
    outputs = {"n": np.array([[1, 2]], np.int64), "s": strings, "unwanted": np.zeros(1)}
    encode_outputs(response, outputs, ["s", "n"])
    assert [(one.name, one.datatype, list(one.shape)) for one in response.outputs] == [
        ("s", "BYTES", [2]),
        ("n", "INT64", [1, 2]),
    ]
    assert list(response.raw_output_contents) == [pack_bytes([b"a", b"bc"]), outputs["n"].tobytes()]
