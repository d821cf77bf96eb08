"""Segments of models as differentiable functions: what ONNX Runtime computes, for any number of examples at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from offload.errors import OffloadError
from offload.graph.cuts import Cut, prefix_cuts
from offload.models.load import load_model
from offload.models.loaded import LoadedOnnxModel
from offload.models.onnx_in_torch import DifferentiableSegment
from offload.models.segments import OnnxSegment
from offload.runtimes.onnxruntime import OnnxRuntime

Load = Callable[[str], LoadedOnnxModel]
EXAMPLES = 3
TOLERANCE = 1e-4
"""Relative to the largest value."""
MODELS = ("mnist", "resnet18", "gru_tagger")
LARGER = ("deepspeech", "transformer_encoder", "unet", "mobilenet_v2", "efficientnet_b0", "vit_s_16")


@pytest.fixture(scope="module")
def loaded(cache: Path) -> Load:
    return functools.cache(functools.partial(load_model, cache=cache))


def single_cuts(model: LoadedOnnxModel) -> list[Cut]:
    """Cuts where one float tensor crosses, those with something on both sides."""
    graph = model.graph
    return [
        cut
        for cut in prefix_cuts(graph)
        if len(cut.crossing) == 1
        and graph.tensor_by_name[cut.crossing[0]].dtype == "float32"
        and 0 < len(cut.device) < len(graph.layers)
    ]


def inputs_of(model: LoadedOnnxModel) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    graph = model.graph
    return {
        name: generator.integers(20, size=(EXAMPLES, *graph.tensor_by_name[name].shape))
        if graph.tensor_by_name[name].dtype == "int64"
        else generator.standard_normal((EXAMPLES, *graph.tensor_by_name[name].shape), dtype=np.float32)
        for name in graph.inputs
    }


def by_onnxruntime(segment: OnnxSegment, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = OnnxRuntime().load(segment, threads=1)
    each = [session.run({name: values[row] for name, values in feeds.items()}) for row in range(EXAMPLES)]
    return [np.stack([one[name] for one in each]) for name in segment.outputs]


def in_torch(segment: OnnxSegment, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    module = DifferentiableSegment(segment)
    with torch.no_grad():
        return [one.numpy() for one in module(*(torch.from_numpy(feeds[name]) for name in segment.inputs))]


def check_alike(expected: list[np.ndarray], found: list[np.ndarray]) -> None:
    for want, have in zip(expected, found, strict=True):
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, rtol=0, atol=TOLERANCE * max(1e-6, float(np.abs(want).max())))


@pytest.mark.parametrize("name", [*MODELS, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGER)])
def test_heads_and_tails_compute_what_onnx_runtime_computes(loaded: Load, name: str) -> None:
    model = loaded(name)
    cuts = single_cuts(model)
    for cut in (cuts[0], cuts[len(cuts) // 2], cuts[-1]):
        divided = model.divide(cut)
        feeds = inputs_of(model)
        assert isinstance(divided.head, OnnxSegment)
        assert isinstance(divided.tail, OnnxSegment)
        crossing = by_onnxruntime(divided.head, feeds)
        check_alike(crossing, in_torch(divided.head, feeds))
        sent = dict(zip(divided.head.outputs, crossing, strict=True))
        check_alike(by_onnxruntime(divided.tail, sent), in_torch(divided.tail, sent))


@pytest.mark.parametrize("name", ["mnist", "gru_tagger", "digits_deepspeech"])
def test_gradients_flow_to_the_tensor_that_crosses_and_to_no_weight(loaded: Load, name: str) -> None:
    model = loaded(name)
    cut = single_cuts(model)[0]
    tail = model.divide(cut).tail
    assert isinstance(tail, OnnxSegment)
    module = DifferentiableSegment(tail)
    shape = model.graph.tensor_by_name[cut.crossing[0]].shape
    torch.manual_seed(0)
    x = torch.randn(2, *shape, dtype=torch.float64, requires_grad=True)
    module.double()
    (gradient,) = torch.autograd.grad(module(x)[0].square().sum(), x)
    assert gradient.abs().max() > 0
    direction = torch.randn_like(x)
    step = 1e-6
    with torch.no_grad():
        ahead, behind = (module(x + sign * step * direction)[0].square().sum() for sign in (1, -1))
    slope = float((ahead - behind) / (2 * step))
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=2e-2)
    assert not any(weight.requires_grad for weight in module.parameters())


def test_any_tensor_inside_can_be_asked_for(loaded: Load) -> None:
    model = loaded("mnist")
    name = model.graph.layers[3].outputs[0]
    feeds = inputs_of(model)
    module = DifferentiableSegment(model.whole, results=(name, *model.graph.outputs))
    first, last, *_ = module(torch.from_numpy(feeds[model.graph.inputs[0]]))
    assert first.shape == (EXAMPLES, *model.graph.tensor_by_name[name].shape)
    assert last.shape == (EXAMPLES, *model.graph.tensor_by_name[model.graph.outputs[0]].shape)


def test_an_operator_without_a_differentiable_form_is_named() -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Det", ["x"], ["y"])], "g", ends[:1], ends[1:])
    document = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()
    with pytest.raises(OffloadError, match="the operator Det") as caught:
        DifferentiableSegment(OnnxSegment(onnx=document, inputs=("x",), outputs=("y",)))
    assert caught.value.hint


def one_node(op: str, shape: tuple[int, ...], out: tuple[int, ...], constants: dict[str, np.ndarray] | None = None,
             inputs: tuple[str, ...] = ("x",), **attributes: object) -> OnnxSegment:  # fmt: skip
    """A model of one node."""
    from onnx import numpy_helper

    held = constants or {}
    graph = helper.make_graph(
        [helper.make_node(op, [*inputs, *(name for name in held if name not in inputs)], ["y"], **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(values, name) for name, values in held.items()],
    )
    document = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return OnnxSegment(onnx=document.SerializeToString(), inputs=("x",), outputs=("y",))


def of(*values: float, dtype: type = np.int64) -> np.ndarray:
    return np.array(values, dtype)


WEIGHTS = np.random.default_rng(5)


@pytest.mark.parametrize(
    "segment",
    [
        one_node("Conv", (1, 3, 9), (1, 4, 5), {"w": WEIGHTS.random((4, 3, 3), np.float32)}, strides=[2], pads=[1, 1]),
        one_node("Conv", (1, 3, 9, 8), (1, 4, 5, 4), {"w": WEIGHTS.random((4, 3, 3, 3), np.float32)}, strides=[2, 2],
                 auto_pad="SAME_UPPER"),
        one_node("Conv", (1, 2, 5, 5), (1, 4, 5, 5), {"w": WEIGHTS.random((4, 1, 3, 3), np.float32)}, group=2,
                 pads=[2, 0, 0, 2]),
        one_node("ConvTranspose", (1, 3, 5), (1, 4, 10), {"w": WEIGHTS.random((3, 4, 4), np.float32)}, strides=[2],
                 pads=[1, 1]),
        one_node("MaxPool", (1, 2, 5, 5), (1, 2, 3, 3), kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 2, 2]),
        one_node("AveragePool", (1, 2, 6), (1, 2, 3), kernel_shape=[2], strides=[2]),
        one_node("Gemm", (2, 3), (2, 4), {"w": WEIGHTS.random((3, 4), np.float32), "b": of(1, dtype=np.float32)},
                 alpha=0.5, beta=2.0),
        one_node("Slice", (1, 6, 5), (1, 3, 4), {"s": of(1, 0), "e": of(6, -1), "a": of(1, 2), "t": of(2, 1)}),
        one_node("Slice", (1, 6, 5), (1, 4, 5), {"s": of(4), "e": of(0), "a": of(1), "t": of(-1)}),
        one_node("Slice", (1, 6, 5), (1, 6, 5), {"s": of(-1), "e": of(-99), "a": of(1), "t": of(-1)}),
        one_node("Pad", (1, 2, 4), (1, 2, 7), {"p": of(0, 0, 1, 0, 0, 2), "v": np.float32(3)}),
        one_node("Pad", (1, 2, 4), (1, 2, 7), {"p": of(0, 0, 1, 0, 0, 2)}, mode="reflect"),
        one_node("Gather", (1, 5, 3), (1, 2, 2, 3), {"i": np.array([[0, -1], [2, 2]])}, axis=1),
        one_node("Expand", (1, 1, 3), (1, 4, 3), {"s": of(1, 4, 3)}),
        one_node("ReduceMax", (1, 5, 3), (1, 3), {"a": of(1)}, keepdims=0),
        one_node("Pow", (1, 4), (1, 4), {"e": np.float32(2)}),
        one_node("Sub", (1, 4), (1, 4), {"one": np.float32(1)}, inputs=("one", "x")),
        one_node("Div", (1, 4), (1, 4), {"by": of(2, 4, 8, 16, dtype=np.float32)}),
        one_node("Mul", (1, 4), (1, 4), inputs=("x", "x")),
        one_node("DepthToSpace", (1, 8, 2, 2), (1, 2, 4, 4), blocksize=2),
        one_node("HardSigmoid", (1, 4), (1, 4)),
        one_node("LogSoftmax", (1, 4), (1, 4)),
        one_node("InstanceNormalization", (1, 2, 5), (1, 2, 5),
                 {"s": of(1, 2, dtype=np.float32), "b": of(0, 1, dtype=np.float32)}),
        one_node("Erf", (1, 4), (1, 4)),
        one_node("Clip", (1, 4), (1, 4), {"low": np.float32(-0.5)}),
    ],
    ids=lambda segment: onnx_op(segment),
)  # fmt: skip
def test_single_operators_compute_what_onnx_runtime_computes(segment: OnnxSegment) -> None:
    import onnx

    (entry,) = onnx.load_from_string(segment.onnx).graph.input
    shape = [size.dim_value for size in entry.type.tensor_type.shape.dim]
    feeds = {"x": np.random.default_rng(3).standard_normal((EXAMPLES, *shape), dtype=np.float32)}
    check_alike(by_onnxruntime(segment, feeds), in_torch(segment, feeds))


def onnx_op(segment: OnnxSegment) -> str:
    import onnx

    return onnx.load_from_string(segment.onnx).graph.node[0].op_type
