"""Two ONNX models as one, proved by running them apart and together."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from offload.errors import OffloadError
from offload.models.joining import join
from offload.models.segments import OnnxSegment
from offload.runtimes.onnxruntime import OnnxRuntime
from tests.serving_models import floats

Named = tuple[str, tuple[int, ...]]


def segment(
    nodes: list[onnx.NodeProto], read: Named, written: Named, weights: dict[str, np.ndarray], *, opset: int = 17
) -> OnnxSegment:
    graph = helper.make_graph(
        nodes, "g", [floats(read[0], *read[1])], [floats(written[0], *written[1])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return OnnxSegment(onnx=model.SerializeToString(), inputs=(read[0],), outputs=(written[0],))


def decoder(*, opset: int = 17, size: int = 4) -> OnnxSegment:
    """`tensor = payload @ w`; its inner names are the tail's own."""
    weight = np.random.default_rng(1).standard_normal((3, size), dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["payload", "w"], ["h"], name="mul"),
        helper.make_node("Relu", ["h"], ["tensor"]),
    ]
    return segment(nodes, ("payload", (1, 3)), ("tensor", (1, size)), {"w": weight}, opset=opset)


def tail(*, opset: int = 17) -> OnnxSegment:
    """`scores` of `cut`; a tensor is called `payload`, and weights and nodes like the decoder's."""
    weight = np.random.default_rng(2).standard_normal((4, 5), dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["cut", "w"], ["h"], name="mul"),
        helper.make_node("Tanh", ["h"], ["payload"]),
        helper.make_node("ReduceSum" if opset < 13 else "ReduceMean", ["payload"], ["scores"], axes=[1], keepdims=1),
    ]
    return segment(nodes, ("cut", (1, 4)), ("scores", (1, 1)), {"w": weight}, opset=opset)


def run(one: OnnxSegment, array: np.ndarray) -> np.ndarray:
    outputs = OnnxRuntime().load(one, threads=1).run({one.inputs[0]: array})
    return outputs[one.outputs[0]]


@pytest.mark.parametrize(("first", "second"), [(17, 17), (13, 17), (17, 13), (17, 11)])
def test_together_they_compute_what_they_compute_one_after_the_other(first: int, second: int) -> None:
    payload = np.random.default_rng(0).standard_normal((1, 3), dtype=np.float32)
    one, other = decoder(opset=first), tail(opset=second)
    joined = join(one, other)
    assert joined.outputs == ("scores",)
    np.testing.assert_allclose(run(joined, payload), run(other, run(one, payload)), rtol=1e-6)
    model = onnx.ModelProto.FromString(joined.onnx)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == list(joined.inputs)
    assert {entry.version for entry in model.opset_import} == {max(first, second)}
    assert len(model.graph.initializer) >= 2


def test_the_same_two_models_give_the_same_bytes() -> None:
    assert join(decoder(), tail()) == join(decoder(), tail())


def test_a_joined_model_can_be_joined_again() -> None:
    front = segment([helper.make_node("Neg", ["x"], ["y"])], ("x", (1, 3)), ("y", (1, 3)), {})
    payload = np.ones((1, 3), np.float32)
    joined = join(decoder(), tail())
    np.testing.assert_allclose(run(join(front, joined), payload), run(joined, -payload), rtol=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (decoder(size=6), tail(), "'cut' has the shape"),
        (
            OnnxSegment(onnx=decoder().onnx, inputs=("payload",), outputs=("tensor", "tensor")),
            tail(),
            "gives 2 tensors, the second takes 1",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(first: OnnxSegment, second: OnnxSegment, says: str) -> None:
    with pytest.raises(OffloadError, match="cannot be joined") as caught:
        join(first, second)
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_types_must_fit() -> None:
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT32)], "g", [floats("x", 1, 4)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 4])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    first = OnnxSegment(onnx=model.SerializeToString(), inputs=("x",), outputs=("y",))
    with pytest.raises(OffloadError, match="of different types"):
        join(first, tail())
