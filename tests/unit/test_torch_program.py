"""Torch modules as programs: what becomes a layer, a weight, a name; what is refused."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from offload.errors import OffloadError
from offload.graph.cuts import prefix_cuts
from offload.models.load import load_model, load_torch_model
from offload.models.torch_capture import capture, check_against_module
from offload.profilers.layers import random_feeds
from offload.runtimes.torch import TorchRuntime
from tests.runtimes import difference, loaded, run_divided


class Everyday(nn.Module):
    """In-place operators, views, constants, a dropout, several results."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("offset", torch.ones(4, 1, 1))
        self.dropout = nn.Dropout()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.conv(x)
        y.add_(self.offset)
        y[:, 0] = 0
        turned = y.transpose(1, 2)
        turned.relu_()
        first, second = torch.chunk(turned, 2, 1)
        values, indices = torch.topk(self.dropout(first) + second * torch.tensor(3.0) * self.offset.sum(), 2)
        return values.reshape(-1), indices


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 8)
        self.gru = nn.GRU(8, 16, num_layers=2, batch_first=True, bidirectional=True)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.tags = nn.Linear(32, 5)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        states = self.gru(self.embedding(words))[0]
        return self.tags(self.attention(states, states, states, need_weights=False)[0])


class Attention(nn.Module):
    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, v)


class Products(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(7, 5))
        self.transposed = nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2)
        self.grouped = nn.Conv2d(6, 6, 3, groups=3, dilation=2)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        product = x @ y
        return (
            torch.addmm(torch.zeros(5), product, self.weight),
            torch.bmm(x.unsqueeze(0), y.unsqueeze(0)),
            nn.functional.linear(product, self.weight.t()),
            torch.einsum("ij,jk->ik", x, y),
            self.grouped(self.transposed(x.reshape(1, 4, 4, -1))),
        )


INPUTS: dict[type[nn.Module], Callable[[], dict[str, torch.Tensor]]] = {
    Everyday: lambda: {"x": torch.rand(1, 3, 8, 8)},
    Tagger: lambda: {"words": torch.tensor([[1, 4, 2, 8, 5]])},
    Attention: lambda: {name: torch.rand(2, 4, 9, 64) for name in "qkv"},
    Products: lambda: {"x": torch.rand(16, 9), "y": torch.rand(9, 7)},
}


@pytest.mark.parametrize("network", INPUTS)
def test_a_program_computes_what_its_module_computes_wherever_it_is_cut(network: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module, inputs = network().eval(), INPUTS[network]()
    model = loaded(module, inputs)
    check_against_module(model.program, module, inputs, name="module")
    runtime = TorchRuntime()
    feeds = {name: tensor.numpy() for name, tensor in inputs.items()}
    whole = runtime.load(model.whole, threads=1).run(feeds)
    for cut in prefix_cuts(model.graph):
        for name, value in run_divided(model, runtime, cut, feeds).items():
            assert difference(value, whole[name]) < 1e-5


def test_layers_are_what_their_author_called() -> None:
    layers = loaded(Tagger(), INPUTS[Tagger]()).graph.layers
    kinds = {layer.op: layer.kind for layer in layers}
    assert kinds["embedding"] == "embedding"
    assert kinds["gru"] == "recurrent"
    assert kinds["scaled_dot_product_attention"] == "attention"
    assert kinds["linear"] == "linear"
    assert set(kinds.values()) == {"embedding", "recurrent", "attention", "linear", "shape"}
    assert [layer.name for layer in layers][:2] == ["embedding", "gru.gru"]
    assert layers[-1].name == "tags"
    assert len({layer.name for layer in layers}) == len(layers)


def test_weights_are_no_tensors_and_constants_are_folded() -> None:
    graph = loaded(Everyday(), INPUTS[Everyday]()).graph
    assert graph.inputs == ("x",)
    assert graph.outputs == ("output_0", "output_1")
    assert all(layer.inputs for layer in graph.layers)
    assert all(name in graph.inputs or name in graph.producer for layer in graph.layers for name in layer.inputs)
    assert graph.layers[0].weight_bytes == 4 * (4 * 3 * 3 * 3 + 4)
    assert not any("dropout" in layer.op or layer.op.endswith("_") for layer in graph.layers)
    (top,) = (layer for layer in graph.layers if layer.op == "topk")
    assert len(top.outputs) == 2, "several results of one call are one layer's"


def test_a_module_that_is_called_twice_has_two_layers() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.block(self.block(x)) + x

    graph = loaded(Twice(), {"x": torch.rand(2, 4)}).graph
    assert [layer.name for layer in graph.layers] == ["block.0", "block.1", "block.0_1", "block.1_1", "add"]
    assert len({layer.weight_bytes for layer in graph.layers if layer.op == "linear"}) == 1


@pytest.mark.parametrize("network", [Attention, Products])
def test_flops_are_those_torch_counts(network: type[nn.Module]) -> None:
    module, inputs = network().eval(), INPUTS[network]()
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):  # it does not know the fused attention of a CPU
        module(*inputs.values())
    graph = capture(module, inputs, name="module").graph
    counted = sum(layer.flops for layer in graph.layers if layer.kind in ("conv", "linear", "matmul", "attention"))
    softmax = 5 * 2 * 4 * 9 * 9 if network is Attention else 0  # inside the attention, and not counted by torch
    assert counted - softmax == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_between_two_recurrent_layers_is_a_cut() -> None:
    model = load_torch_model("gru_tagger")
    assert sum(layer.kind == "recurrent" for layer in model.graph.layers) == 2
    (between,) = (cut for cut in prefix_cuts(model.graph) if cut.crossing == ("gru1.gru",))
    runtime, feeds = TorchRuntime(), random_feeds(model.graph)
    whole = runtime.load(model.whole, threads=1).run(feeds)
    (name,) = whole
    assert difference(run_divided(model, runtime, between, feeds)[name], whole[name]) < 1e-5


@pytest.mark.parametrize("name", ["mnist", "gru_tagger"])
def test_flops_are_those_of_the_same_network_in_onnx(name: str, cache: Path) -> None:
    weighted = ("conv", "linear", "matmul", "attention", "recurrent", "local")
    in_torch, in_onnx = (
        sum(layer.flops for layer in model.graph.layers if layer.kind in weighted)
        for model in (load_torch_model(name), load_model(name, cache=cache))
    )
    assert in_torch == pytest.approx(in_onnx, rel=0.001)


def test_an_operator_nobody_knows_is_kept_as_other() -> None:
    class Rare(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x) + x

    rare, _ = loaded(Rare(), {"x": torch.rand(3)}).graph.layers
    assert (rare.kind, rare.flops) == ("other", 0)


CODE = """
from offload.models.load import load_torch_model
print(load_torch_model("mnist").hash)
"""


def test_the_hash_is_of_the_content_in_every_process() -> None:
    own = load_torch_model("mnist").hash
    other = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True).stdout.strip()
    assert own == other
    assert own != load_torch_model("mnist", batch=2).hash
    assert own != load_torch_model("mnist", precision="bf16").hash
    first, second = (loaded(nn.Linear(3, 3), {"input": torch.zeros(1, 3)}) for _ in range(2))
    assert first.hash != second.hash, "other weights"


def test_half_precision_is_that_of_weights_and_tensors() -> None:
    model = load_torch_model("mnist", precision="bf16")
    assert model.precision == "bf16"
    assert {model.graph.tensor_by_name[name].dtype for name in model.graph.inputs} == {"bfloat16"}
    full = load_torch_model("mnist").graph
    assert sum(layer.weight_bytes for layer in model.graph.layers) * 2 == sum(x.weight_bytes for x in full.layers)


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + self.calls


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,))


class DataDependent(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nonzero(x)


class Unchanged(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x + 1


class Strided(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_strided(x + 1, (2, 2), (1, 2))


class Failing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ x


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Stateful(), "changes its own buffers"),
        (Branching(), "branches or loops"),
        (DataDependent(), "depends on the input's values"),
        (Unchanged(), "returns one of its inputs unchanged"),
        (Strided(), "how a tensor lies in memory"),
        (Failing(), "torch cannot export"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_cannot_be_divided_is_one_line(module: nn.Module, message: str) -> None:
    with pytest.raises(OffloadError) as caught:
        capture(module, {"x": torch.rand(4, 3)}, name="net")
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_an_onnx_file_is_no_torch_module() -> None:
    with pytest.raises(OffloadError, match="needs a torch module") as caught:
        load_torch_model("net.onnx")
    assert "onnxruntime" in caught.value.hint


def test_an_answer_is_not_the_memory_of_a_question() -> None:
    model = loaded(nn.Sequential(nn.Flatten(), nn.ReLU()), {"x": torch.rand(1, 2, 2)})
    head = model.divide(next(cut for cut in prefix_cuts(model.graph) if len(cut.device) == 1)).head
    assert head is not None
    x = np.ones((1, 2, 2), np.float32)
    (answer,) = TorchRuntime().load(head, threads=1).run({"x": x}).values()
    x[:] = 7
    np.testing.assert_array_equal(answer, np.ones((1, 4)))


def test_a_session_that_nobody_holds_gives_its_memory_back_at_once() -> None:
    model = loaded(nn.Linear(4, 2), {"x": torch.zeros(1, 4)})
    session = TorchRuntime().load(model.whole, threads=1)
    session.run({"x": np.zeros((1, 4), np.float32)})
    module = weakref.ref(session._module)
    gc.disable()
    try:
        del session
        assert module() is None
    finally:
        gc.enable()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_compiled_program_computes_the_same() -> None:
    model = load_torch_model("mnist")
    feeds = {"input": np.random.default_rng(0).random((1, 1, 28, 28), dtype=np.float32)}
    expected = TorchRuntime().load(model.whole, threads=1).run(feeds)
    try:
        session = TorchRuntime(compiled=True).load(model.whole, threads=1)
    except OffloadError as error:
        pytest.skip(error.message)
    for name, value in session.run(feeds).items():
        assert difference(value, expected[name]) < 1e-4


def test_channels_last_changes_the_layout_and_not_the_numbers() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 6 * 6, 4)).eval()
    model = loaded(module, {"x": torch.rand(1, 3, 8, 8)})
    x = np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32)
    plain, turned = (
        TorchRuntime(channels_last=channels_last).load(model.whole, threads=1).run({"x": x})["output"]
        for channels_last in (False, True)
    )
    assert difference(turned, plain) < 1e-5
