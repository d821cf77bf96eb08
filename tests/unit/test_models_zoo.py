"""The built-in networks: their size, their cost, their weights, their export."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from offload.errors import OffloadError
from offload.graph.model_graph import ModelGraph
from offload.models.canonical import canonicalise
from offload.models.load import graph_of, load_model
from offload.models.torch_export import export, sample_inputs
from offload.models.zoo.alexnet import CrossChannelNorm
from offload.models.zoo.catalogue import CATALOGUE
from offload.models.zoo.deepspeech import ClippedRecurrence
from offload.models.zoo.initialisation import initialise
from offload.models.zoo.local import LocalConvolution
from tests.zoo_networks import ALL

PARAMETERS = {
    # Published counts: torchvision's model documentation, timm's for vit_s_16, Caffe's for its AlexNet and LeNet.
    "alexnet": 60_965_224,
    "mnist": 431_080,
    "vgg19": 143_667_240,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "mobilenet_v2": 3_504_872,
    "efficientnet_b0": 5_288_548,
    "densenet121": 7_978_856,
    "vit_s_16": 22_050_664,
    # torchvision's 27,161,264, less its auxiliary head: 768 to 128, 5x5 to 768, 1000 classes.
    "inception_v3": 27_161_264 - (768 * 128 + 2 * 128) - (128 * 25 * 768 + 2 * 768) - 769 * 1000,
    # By hand from the sizes in `neurosurgeon.py`, weights plus biases: nobody published these.
    "deepface": (32 * (3 * 121 + 1) + 16 * (32 * 81 + 1))
    + 16 * (55**2 * (16 * 81 + 1) + 25**2 * (16 * 49 + 1) + 21**2 * (16 * 25 + 1))
    + 4096 * (16 * 21**2 + 1)
    + 83 * 4097,
    "kaldi_asr": 2048 * 441 + 5 * 2048 * 2049 + 1706 * 2049,
    "senna_pos": 300 * 301 + 45 * 301,
    "senna_chk": 300 * 301 + 42 * 301,
    "senna_ner": 300 * 376 + 17 * 301,
    # By hand: the dense layers, and W and b once for both directions with R for each.
    "deepspeech": 2048 * (81 * 19 + 1) + 2 * 2048 * 2049 + (2048 * 2049 + 2 * 2048**2) + 2048 * 2049 + 29 * 2049,
    "gru_tagger": 10_000 * 128 + 3 * 256 * (128 + 256 + 2) + 3 * 256 * (256 + 256 + 2) + 45 * 257,
}
WEIGHT_FILES = {"tiny_yolo": (63_471_556, 16), "yolov3": (248_007_048, 20)}
"""Bytes of `tiny-yolo-voc.weights` and `yolov3.weights` as distributed, and of their headers; batch norms' statistics
are in them."""
PUBLISHED_GMAC = {
    "alexnet": 0.72,
    # torchvision's model documentation.
    "vgg19": 19.63,
    "resnet18": 1.81,
    "resnet50": 4.09,
    "mobilenet_v2": 0.30,
    "efficientnet_b0": 0.39,
    "densenet121": 2.83,
    "inception_v3": 5.71,
    "vit_s_16": 4.6,  # Touvron et al., ICML 2021, table 5
    # The authors' site, 416x416: 34.90, 6.97 and 65.86 billion operations, two for a multiply-accumulate.
    "big_yolo": 34.90 / 2,
    "tiny_yolo": 6.97 / 2,
    "yolov3": 65.86 / 2,
}
PAPER_LAYERS = {
    "alexnet": 24, "vgg19": 46, "deepface": 10, "mnist": 9, "kaldi_asr": 13, "senna_pos": 3, "senna_chk": 3,
    "senna_ner": 3,
}  # fmt: skip
"""How many layers Neurosurgeon says its networks have."""
WEIGHTED = ("conv", "local", "linear", "matmul", "recurrent")


def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return CATALOGUE[name].build().eval()


def sample(name: str, *, count: int = 1, device: str = "cpu") -> Tensor:
    entry = CATALOGUE[name]
    shape = (count, *entry.input_shape)
    generator = torch.Generator().manual_seed(0)
    if entry.vocabulary is not None:
        return torch.randint(entry.vocabulary, shape, generator=generator).to(device)
    return torch.randn(shape, generator=generator).to(device)


def counted_by_torch(name: str) -> int:
    counter = FlopCounterMode(display=False)
    with counter:
        on_meta(name)(sample(name, device="meta"))
    total: int = counter.get_total_flops()
    # The module applies W once for both directions, and R to no first step.
    for recurrence, steps, width in (("deepspeech", 100, 2048), ("digits_deepspeech", 64, 128)):
        total += (name == recurrence) * (steps + 2) * 2 * width**2
    return total


def weighted_flops(graph: ModelGraph) -> int:
    return sum(layer.flops for layer in graph.layers if layer.kind in WEIGHTED)


@pytest.mark.parametrize("name", CATALOGUE)
def test_parameters_and_flops(name: str) -> None:
    entry, module = CATALOGUE[name], on_meta(name)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    assert parameters == entry.parameters
    assert parameters == PARAMETERS.get(name, parameters)
    if name in WEIGHT_FILES:
        total, header = WEIGHT_FILES[name]
        statistics = sum(2 * each.num_features for each in module.modules() if isinstance(each, nn.BatchNorm2d))
        assert 4 * (parameters + statistics) + header == total
    counted = counted_by_torch(name)
    assert counted <= entry.flops <= 1.05 * counted  # activations and the like are counted by us only
    if name in PUBLISHED_GMAC:
        assert counted / 2e9 == pytest.approx(PUBLISHED_GMAC[name], rel=0.02)


@pytest.mark.parametrize("name", ALL)
def test_graph(name: str, cache: Path) -> None:
    entry, model = CATALOGUE[name], load_model(name, cache=cache)
    graph = model.graph
    assert (len(graph.layers), graph.flops) == (entry.layers, entry.flops)
    assert weighted_flops(graph) == pytest.approx(counted_by_torch(name), rel=0.01)
    assert graph.tensor_by_name["input"].shape == (1, *entry.input_shape)
    assert graph.tensor_by_name["input"].dtype == entry.input_dtype
    told = (False, "trained, built in") if entry.trained else (True, "untrained, seed 0")
    assert (model.batch, model.untrained, model.weights) == (1, *told)
    assert not any(layer.kind == "other" for layer in graph.layers)
    if name in PAPER_LAYERS:
        dropped = sum(isinstance(each, nn.Dropout) for each in on_meta(name).modules())
        named = {layer.name.partition(".")[0] for layer in graph.layers} - {"flatten", "view"}
        assert len(named) + dropped == PAPER_LAYERS[name]


@pytest.mark.parametrize("name", PAPER_LAYERS)
def test_neurosurgeons_networks_have_the_papers_layers(name: str) -> None:
    """Dropout is a layer of the paper, flattening is none; argmax is a function, the last layer of classifiers."""
    module = on_meta(name)
    leaves = [each for each in module.modules() if not any(True for _ in each.children())]
    answers = module(sample(name, device="meta"))
    layers = sum(not isinstance(each, nn.Flatten) for each in leaves) + isinstance(answers, tuple)
    assert layers == PAPER_LAYERS[name]


def test_the_layers_that_networks_are_named_for() -> None:
    def convolutions(name: str) -> int:
        return sum(isinstance(each, nn.Conv2d) for each in on_meta(name).modules())

    assert [convolutions(name) for name in ("vgg19", "big_yolo", "tiny_yolo", "yolov3")] == [16, 22, 9, 75]
    # The library's own layer of the same sizes; the rest is two embeddings and a norm.
    block = nn.TransformerEncoderLayer(256, 4, 1024, device="meta")
    of_block = sum(parameter.numel() for parameter in block.parameters())
    assert CATALOGUE["transformer_encoder"].parameters == 4 * of_block + (10_000 + 128 + 2) * 256


def test_sides_of_deepface() -> None:
    sides: list[int] = []
    module = on_meta("deepface")
    for layer in list(module.children())[:6]:
        layer.register_forward_hook(lambda _layer, _inputs, output: sides.append(output.shape[-1]))
    module(sample("deepface", device="meta"))
    assert sides == [142, 71, 63, 55, 25, 21]


def exported(module: nn.Module, x: Tensor) -> tuple[ModelGraph, list[np.ndarray]]:
    """The canonical graph of a module alone, and its answer on `x`."""
    shapes = {"x": tuple(x.shape)}
    proto = canonicalise(export(module, shapes, name="m"), shapes, name="m", tensors_follow_nodes=True)
    data = proto.SerializeToString()
    return graph_of(data), ort.InferenceSession(data).run(None, {"x": x.numpy()})


@pytest.mark.parametrize(("stride", "count"), [(1, 1), (2, 3)])
def test_local_convolution_is_untied(stride: int, count: int) -> None:
    layer = LocalConvolution(3, 4, 5, input_side=12, stride=stride)
    initialise(layer)
    x = sample("mnist", count=count)[..., :12, :12].repeat(1, 3, 1, 1) * torch.tensor([1.0, -2.0, 0.5]).view(3, 1, 1)
    side = (12 - 5) // stride + 1
    expected = torch.empty(count, 4, side, side)
    for row, column in itertools.product(range(side), repeat=2):  # at each place a convolution of its own
        at = row * side + column
        window = x[..., row * stride : row * stride + 5, column * stride : column * stride + 5]
        filters = layer.weight[at].T.reshape(4, 5, 5, 3).permute(0, 3, 1, 2)
        expected[..., row, column] = nn.functional.conv2d(window, filters, layer.bias[at, 0])[..., 0, 0]
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
    graph, (answer,) = exported(layer, x)
    np.testing.assert_allclose(answer, expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    (local,) = [each for each in graph.layers if each.kind == "local"]
    assert local.flops == 2 * count * side * side * 75 * 4
    assert local.weight_bytes == 4 * side * side * 75 * 4


@pytest.mark.parametrize("scale", [1.0, 400.0])
def test_clipped_recurrence(scale: float) -> None:
    layer = ClippedRecurrence(6, 5)
    initialise(layer)
    x = scale * torch.randn(7, 2, 6, generator=torch.Generator().manual_seed(0))
    answered = layer(x).detach()
    expected = torch.zeros(7, 2, 2, 5)
    for direction, order in enumerate((range(7), reversed(range(7)))):
        state = torch.zeros(2, 5)
        for step in order:
            state = layer.weight @ x[step].T + layer.bias[:, None] + layer.recurrent[direction] @ state.T
            state = state.T.clamp(0, 20).detach()
            expected[step, direction] = state
    assert bool((expected == 20).any()) == (scale > 1)
    torch.testing.assert_close(answered, expected, rtol=1e-4, atol=1e-5)
    graph, (answer,) = exported(layer, x)
    assert [each.op for each in graph.layers if each.kind == "recurrent"] == ["RNN"]
    np.testing.assert_allclose(answer, answered.numpy(), rtol=1e-4, atol=1e-5)


def test_flops_of_recurrent_layers(cache: Path) -> None:
    """Two for each weight at each step, counted by hand; the gates' own arithmetic is below one per cent."""

    def recurrent(name: str) -> list[int]:
        return [layer.flops for layer in load_model(name, cache=cache).graph.layers if layer.kind == "recurrent"]

    gates, steps = 3 * 256, 64
    first, second = recurrent("gru_tagger")
    assert first == pytest.approx(2 * steps * gates * (128 + 256), rel=0.02)
    assert second == pytest.approx(2 * steps * gates * (256 + 256), rel=0.02)
    assert recurrent("deepspeech") == [pytest.approx(2 * 100 * 2 * (2048**2 + 2048**2), rel=0.01)]


def test_ids_in(cache: Path) -> None:
    model = load_model("gru_tagger", batch=2, inputs={"": (1, 9)}, cache=cache)
    tensors = model.graph.tensor_by_name
    assert (tensors["input"].shape, tensors["input"].dtype) == ((2, 9), "int64")
    assert tensors["output"].shape == (2, 9, 45)
    kinds = [layer.kind for layer in model.graph.layers if layer.kind != "shape"]
    assert kinds == ["embedding", "recurrent", "recurrent", "linear"]
    ids = sample_inputs({"input": (50, 50)}, 7)["input"]
    assert (ids.dtype, ids.min(), ids.max()) == (np.int64, 0, 6)


def test_alexnet_is_the_papers(cache: Path) -> None:
    graph = load_model("alexnet", cache=cache).graph
    assert " ".join(layer.name for layer in graph.layers) == (
        "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 conv4 relu4 conv5 relu5 pool5 flatten "
        "fc6 relu6 fc7 relu7 fc8 prob argmax"
    )
    assert [layer.op for layer in graph.layers if layer.kind == "norm"] == ["LRN", "LRN"]
    assert graph.tensor_by_name["pool5"].size_bytes == 36_864


def test_names_are_module_paths(cache: Path) -> None:
    names = [layer.name for layer in load_model("resnet50", cache=cache).graph.layers]
    assert len(set(names)) == len(names)
    block = ["conv1", "relu", "conv2", "relu_1", "conv3", "add", "relu_2"]
    assert [name for name in names if name.startswith("layer3.5.")] == [f"layer3.5.{part}" for part in block]
    assert not any("bn" in name for name in names)


def test_lrn_is_torchs_own() -> None:
    layer = CrossChannelNorm(5, 1e-4, 0.75, 1.0).eval()
    x = 30 * torch.randn(2, 12, 5, 5, generator=torch.Generator().manual_seed(0))
    program = torch.onnx.export(layer, (x,), dynamo=True, verbose=False, input_names=["x"])
    assert program is not None
    model = program.model_proto
    assert [node.op_type for node in model.graph.node] == ["LRN"]
    (answer,) = ort.InferenceSession(model.SerializeToString()).run(None, {"x": x.numpy()})
    expected = torch.nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)(x)
    np.testing.assert_allclose(answer, expected.numpy(), rtol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_weights_are_seeded_and_outputs_alive(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    module = CATALOGUE[name].build().eval()
    torch.set_rng_state(before)
    initialise(module)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.inference_mode():
        answers = module(sample(name, count=2))
    for answer in answers if isinstance(answers, tuple) else (answers,):
        if answer.is_floating_point():
            # Along the axis, and in the order, in which the two samples come.
            first, second = answer.unbind(1) if name == "deepspeech" else answer.chunk(2)
            scale = float(first.abs().max())
            assert np.isfinite(scale)
            assert float(first.std()) > 0.01 * scale
            assert float((first - second).abs().max()) > 0.005 * scale


def test_hash_is_the_same_in_another_process(cache: Path) -> None:
    code = "from offload.models.load import load_model; print(load_model('mnist').hash)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == load_model("mnist", cache=cache).hash
    assert other.stderr == ""


def test_batch_and_input_shape(cache: Path) -> None:
    model = load_model("digits_resnet", batch=3, inputs={"": (1, 3, 32, 32)}, cache=cache)
    assert model.batch == 3
    assert model.graph.tensor_by_name["output"].shape == (3, 10)
    with pytest.raises(OffloadError, match="no input 'data'"):
        load_model("digits_resnet", inputs={"data": (1, 3, 32, 32)})
    with pytest.raises(OffloadError, match="does not run on inputs of these shapes"):
        load_model("digits_resnet", inputs={"input": (1, 4, 32, 32)})
    with pytest.raises(OffloadError, match="batch of 0"):
        load_model("digits_resnet", batch=0)


def test_cache_is_used_and_damage_is_mended(tmp_path: Path) -> None:
    first = load_model("mnist", cache=tmp_path)
    (kept,) = tmp_path.iterdir()
    assert kept.suffix == ".onnx"
    onnx.checker.check_model(str(kept))
    stamp = kept.stat().st_mtime_ns
    assert load_model("mnist", cache=tmp_path).hash == first.hash
    assert kept.stat().st_mtime_ns == stamp
    kept.write_bytes(kept.read_bytes()[:-100])
    assert load_model("mnist", cache=tmp_path).hash == first.hash
    (mended,) = tmp_path.iterdir()
    assert mended.read_bytes() == first.onnx


def test_weights_from_a_file(tmp_path: Path) -> None:
    module = CATALOGUE["mnist"].build()
    initialise(module, seed=7)
    state = {key: value.contiguous() for key, value in module.state_dict().items()}
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    model = load_model("mnist", weights=path, cache=tmp_path / "cache")
    assert not model.untrained
    assert model.weights == str(path)
    assert model.hash != load_model("mnist", cache=tmp_path / "cache").hash

    def refusal() -> str:
        with pytest.raises(OffloadError) as caught:
            load_model("mnist", weights=path, cache=tmp_path / "cache")
        return caught.value.message

    lost = state.pop("ip2.bias")
    save_file(state | {"head.bias": lost}, path)
    assert "lacks ip2.bias and has unknown head.bias" in refusal()
    save_file(state | {"ip2.bias": lost[:4].clone()}, path)
    assert "ip2.bias has shape (4,), the network's is (10,)" in refusal()
    path.write_bytes(b"not tensors")
    assert "not a safetensors file" in refusal()
    path.unlink()
    assert "no such file" in refusal()
