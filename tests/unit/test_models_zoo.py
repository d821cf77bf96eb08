"""The built-in networks: their size, their cost, their weights, their export."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from offload.errors import OffloadError
from offload.models.load import LoadedModel, load_model
from offload.models.zoo.alexnet import CrossChannelNorm
from offload.models.zoo.catalogue import CATALOGUE
from offload.models.zoo.initialisation import initialise

PARAMETERS = {
    "alexnet": 60_965_224,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "mobilenet_v2": 3_504_872,
    "unet": 7_763_041,
}
PUBLISHED_GMAC = {"alexnet": 0.72, "resnet18": 1.81, "resnet50": 4.09, "mobilenet_v2": 0.30}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def weighted_flops(model: LoadedModel) -> int:
    return sum(layer.flops for layer in model.graph.layers if layer.kind in ("conv", "linear"))


@pytest.mark.parametrize("name", CATALOGUE)
def test_parameters_and_flops(name: str, cache: Path) -> None:
    entry = CATALOGUE[name]
    module = entry.build().eval()
    assert sum(parameter.numel() for parameter in module.parameters()) == PARAMETERS[name]
    counter = FlopCounterMode(display=False)
    with counter, torch.device("meta"):
        module.to("meta")(torch.empty(1, *entry.input_shape, device="meta"))
    model = load_model(name, cache=cache)
    assert weighted_flops(model) == pytest.approx(counter.get_total_flops(), rel=0.01)
    if name in PUBLISHED_GMAC:
        assert weighted_flops(model) / 2e9 == pytest.approx(PUBLISHED_GMAC[name], rel=0.02)
    assert model.graph.tensor_by_name["input"].shape == (1, *entry.input_shape)
    assert (model.batch, model.untrained, model.weights) == (1, True, "untrained, seed 0")


def test_alexnet_is_the_papers(cache: Path) -> None:
    graph = load_model("alexnet", cache=cache).graph
    assert " ".join(layer.name for layer in graph.layers) == (
        "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 conv4 relu4 conv5 relu5 pool5 flatten "
        "fc6 relu6 fc7 relu7 fc8 prob"
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


@pytest.mark.parametrize("name", CATALOGUE)
def test_weights_are_seeded_and_outputs_alive(name: str) -> None:
    entry = CATALOGUE[name]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    module = entry.build().eval()
    torch.set_rng_state(before)
    initialise(module)
    assert torch.equal(torch.get_rng_state(), before)
    x = torch.randn(2, *entry.input_shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        first, second = module(x)
    scale = float(first.abs().max())
    assert np.isfinite(scale)
    assert float(first.std()) > 0.01 * scale
    assert float((first - second).abs().max()) > 0.01 * scale


def test_hash_is_the_same_in_another_process(cache: Path) -> None:
    code = "from offload.models.load import load_model; print(load_model('mobilenet_v2').hash)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == load_model("mobilenet_v2", cache=cache).hash
    assert other.stderr == ""


def test_batch_and_input_shape(cache: Path) -> None:
    model = load_model("mobilenet_v2", batch=3, inputs={"": (1, 3, 96, 96)}, cache=cache)
    assert model.batch == 3
    assert model.graph.tensor_by_name["output"].shape == (3, 1000)
    with pytest.raises(OffloadError, match="no input 'data'"):
        load_model("mobilenet_v2", inputs={"data": (1, 3, 96, 96)})
    with pytest.raises(OffloadError, match="does not run on inputs of these shapes"):
        load_model("mobilenet_v2", inputs={"input": (1, 4, 96, 96)})
    with pytest.raises(OffloadError, match="batch of 0"):
        load_model("mobilenet_v2", batch=0)


def test_cache_is_used_and_damage_is_mended(tmp_path: Path) -> None:
    small = {"input": (1, 3, 32, 32)}
    first = load_model("mobilenet_v2", inputs=small, cache=tmp_path)
    (kept,) = tmp_path.iterdir()
    assert kept.suffix == ".onnx"
    onnx.checker.check_model(str(kept))
    stamp = kept.stat().st_mtime_ns
    assert load_model("mobilenet_v2", inputs=small, cache=tmp_path).hash == first.hash
    assert kept.stat().st_mtime_ns == stamp
    kept.write_bytes(kept.read_bytes()[:-100])
    assert load_model("mobilenet_v2", inputs=small, cache=tmp_path).hash == first.hash
    (mended,) = tmp_path.iterdir()
    assert mended.read_bytes() == first.onnx


def test_weights_from_a_file(tmp_path: Path) -> None:
    small = {"input": (1, 3, 32, 32)}
    module = CATALOGUE["mobilenet_v2"].build()
    initialise(module, seed=7)
    state = {key: value.contiguous() for key, value in module.state_dict().items()}
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    model = load_model("mobilenet_v2", inputs=small, weights=path, cache=tmp_path / "cache")
    assert not model.untrained
    assert model.weights == str(path)
    assert model.hash != load_model("mobilenet_v2", inputs=small, cache=tmp_path / "cache").hash

    def refusal() -> str:
        with pytest.raises(OffloadError) as caught:
            load_model("mobilenet_v2", inputs=small, weights=path, cache=tmp_path / "cache")
        return caught.value.message

    lost = state.pop("classifier.1.bias")
    save_file(state | {"head.bias": lost}, path)
    assert "lacks classifier.1.bias and has unknown head.bias" in refusal()
    save_file(state | {"classifier.1.bias": lost[:10].clone()}, path)
    assert "classifier.1.bias has shape (10,), the network's is (1000,)" in refusal()
    path.write_bytes(b"not tensors")
    assert "not a safetensors file" in refusal()
    path.unlink()
    assert "no such file" in refusal()
