"""The random networks as torch modules: they compute what ONNX Runtime computes of the document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from offload.errors import OffloadError
from offload.models.executed import Kernel
from offload.models.loaded import LoadedTorchModel
from offload.models.onnx_graph import graph_of
from offload.models.torch_capture import capture
from offload.models.torch_kernels import executed_layers
from offload.models.torch_program import TorchProgram
from offload.profilers.sampling.draws import activation
from offload.profilers.sampling.networks import SampledNetwork
from offload.profilers.sampling.onnx_builder import OnnxBuilder
from offload.profilers.sampling.torch_networks import torch_model, torch_module
from offload.profilers.sampling.torch_operators import TRANSLATIONS
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.runtimes.torch import TorchRuntime
from tests.drawn import drawn

NUMBERS: Mapping[str, Sequence[int]] = {
    "image": (0, 1, 2, 3, 5, 6, 7, 9, 53, 68, 90, 93),
    "dense": (0, 1, 8),
    "transformer": (0, 1, 2),
    "recurrent": (0, 1, 6),
    "speech": (0, 1, 2),
    "local": (0, 1),
}
"""Of each style; they hold all operators but two."""
TOLERANCE = 2e-4
"""Relative to the largest output."""


@cache
def small_networks() -> Sequence[SampledNetwork]:
    return [drawn(style, number) for style, numbers in NUMBERS.items() for number in numbers]


EXPORTED = (("image", 1), ("dense", 0), ("transformer", 1), ("recurrent", 1), ("speech", 1), ("local", 0))
"""Exporting one for comparison takes long."""


@cache
def exported() -> Sequence[tuple[SampledNetwork, LoadedTorchModel]]:
    return [(network, torch_model(network)) for style, number in EXPORTED for network in [drawn(style, number)]]


def feeds_of(network: SampledNetwork) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(network.number)
    graph = graph_of(network.onnx)
    tensors = [graph.tensor_by_name[name] for name in graph.inputs]
    return {
        tensor.name: generator.integers(60, size=tensor.shape)
        if tensor.dtype == "int64"
        else generator.standard_normal(tensor.shape, dtype=np.float32)
        for tensor in tensors
    }


def check_alike(expected: np.ndarray, found: np.ndarray, what: object) -> None:
    assert found.shape == expected.shape, what
    assert found.dtype == expected.dtype, what
    if expected.dtype.kind == "i":  # the likeliest of two that are almost as likely may be either
        assert (found == expected).mean() > 0.9, what
        return
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * scale, err_msg=str(what))


@pytest.mark.parametrize("style", NUMBERS)
@pytest.mark.parametrize("as_torch_networks_are", [False, True])
def test_modules_compute_what_the_document_says(style: str, as_torch_networks_are: bool) -> None:
    for network in small_networks():
        if network.style != style:
            continue
        feeds = feeds_of(network)
        expected = OnnxRuntime().load_onnx(network.onnx, threads=1).run(feeds)
        module = torch_module(
            network.onnx, batch_norms=as_torch_networks_are, fused_attention=as_torch_networks_are
        ).eval()
        with torch.inference_mode():
            found = module(*(torch.from_numpy(feeds[name]) for name in module.inputs))
        assert len(found) == len(expected)
        for (name, values), made in zip(expected.items(), found, strict=True):
            check_alike(values, made.numpy(), (network.number, name))


def test_the_program_that_is_measured_computes_the_same() -> None:
    assert {network.style for network, _ in exported()} == set(NUMBERS)
    for network, model in exported():
        feeds = feeds_of(network)
        found = TorchRuntime().load(model.whole, threads=1).run(feeds)
        expected = OnnxRuntime().load_onnx(network.onnx, threads=1).run(feeds)
        for values, made in zip(expected.values(), found.values(), strict=True):
            check_alike(values, made, network.number)


def kernels_of(program: TorchProgram) -> list[Kernel]:
    """What is executed, and no names."""
    return [replace(kernel, name="") for block in executed_layers(program) for kernel in block.kernels]


def test_the_program_that_is_measured_is_what_a_model_of_the_same_calls_becomes() -> None:
    for network, model in exported():
        module = torch_module(
            network.onnx, batch_norms=network.style == "image" and network.number % 3 != 0, fused_attention=True
        )
        inputs = {
            name: torch.zeros(shape, dtype=torch.float32 if kind == TensorProto.FLOAT else torch.int64)
            for name, (kind, shape) in module.inputs.items()
        }
        program = capture(module, inputs, name="exported")
        assert kernels_of(model.program) == kernels_of(program), network.style
        assert model.graph.flops == program.graph.flops


def test_every_operator_of_the_random_networks_is_known() -> None:
    used = {node.op_type for network in small_networks() for node in onnx.load_from_string(network.onnx).graph.node}
    assert used <= set(TRANSLATIONS)
    assert set(TRANSLATIONS) - used <= {"Linear", "Attention", "Swish", "PRelu", "Softplus"}


@pytest.mark.parametrize("name", ["PRelu", "Softplus", "Swish", "Clip", "LeakyRelu", "Elu", "HardSwish", "Gelu"])
def test_activations_are_those_of_the_document(name: str) -> None:
    generator = np.random.default_rng(0)
    builder = OnnxBuilder(generator)
    activation(builder, generator, builder.input((2, 6, 5, 4)), name)
    network = SampledNetwork(number=1, style="image", onnx=builder.finish())
    feeds = feeds_of(network)
    (expected,) = OnnxRuntime().load_onnx(network.onnx, threads=1).run(feeds).values()
    (found,) = torch_module(network.onnx)(*map(torch.from_numpy, feeds.values()))
    check_alike(expected, found.numpy(), name)


def test_operators_are_called_as_torch_networks_call_them() -> None:
    called = Counter(
        layer.op for network, model in exported() for layer in model.graph.layers if network.style != "local"
    )
    wanted = {"conv2d", "linear", "scaled_dot_product_attention", "layer_norm", "embedding", "cat"}
    assert wanted <= set(called), wanted - set(called)
    assert any("batch_norm" in name for name in called)
    assert {"lstm", "gru", "rnn_tanh"} & set(called)
    assert called["matmul"] == 0


def test_what_torch_has_one_call_for_is_one_call() -> None:
    generator = np.random.default_rng(0)
    builder = OnnxBuilder(generator)
    x = builder.input((3, 8))
    product = builder.add("MatMul", [x, builder.weight((8, 5))], (3, 5))
    x = builder.add("Add", [product, builder.weight((5,))], (3, 5))
    activation(builder, generator, x, "Swish")
    model = torch_model(SampledNetwork(number=1, style="dense", onnx=builder.finish()))
    assert [layer.op for layer in model.graph.layers] == ["linear", "silu"]


def test_some_transformers_call_attention_as_products_around_a_softmax() -> None:
    network = replace(next(one for one in small_networks() if one.style == "transformer"), number=4)
    ops = [layer.op for layer in torch_model(network).graph.layers]
    assert ops.count("matmul") == 2 * ops.count("softmax") > 0
    assert "scaled_dot_product_attention" not in ops


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", "float16"), ("bf16", "bfloat16")])
def test_half_precision_casts_weights_and_tensors(precision: str, dtype: str) -> None:
    network = next(one for one in small_networks() if one.style == "dense")
    model = torch_model(network, precision=precision)  # type: ignore[arg-type]
    assert {model.graph.tensor_by_name[name].dtype for name in model.graph.inputs} == {dtype}
    assert model.precision == precision
    assert {str(weight.dtype) for weight in model.program.weights.values()} == {f"torch.{dtype}"}


def test_an_unknown_operator_is_named() -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Mish", ["x"], ["y"])], "g", ends[:1], ends[1:])
    document = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()
    with pytest.raises(OffloadError, match="operator Mish"):
        torch_module(document)
