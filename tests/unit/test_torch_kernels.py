"""What torch executes, told as kernels: families, features and operations, and which calls move data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from offload.models.executed import Kernel
from offload.models.load import load_torch_model
from offload.models.loaded import LoadedTorchModel
from offload.models.operators import flops_of, kind_of
from offload.models.torch_kernels import executed_layers
from offload.models.torch_program import TorchProgram, Value, Weight, substitute
from offload.predictors.features import FEATURES, family_of, features, is_free, surroundings, terms
from offload.profilers.sampling.torch_networks import torch_model
from tests.drawn import drawn
from tests.runtimes import loaded

IMAGE = {"x": torch.rand(1, 8, 12, 10)}
TOKENS = {"x": torch.rand(1, 6, 8)}


class Calls(nn.Module):
    """Calls a function."""

    def __init__(self, function: Callable[..., Any], module: nn.Module | None = None) -> None:
        super().__init__()
        self.function, self.module = function, module

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x) if self.module is None else self.function(self.module, x)


def kernels_of(module: nn.Module, inputs: Mapping[str, torch.Tensor]) -> list[Kernel]:
    return [kernel for block in executed_layers(loaded(module, inputs).program) for kernel in block.kernels]


@pytest.mark.parametrize(
    ("module", "inputs", "family", "sizes"),
    [
        (nn.Conv2d(8, 16, 3, stride=2), IMAGE, "conv", {"kernel height": 3, "stride": 2, "channels out": 16}),
        (nn.Conv2d(8, 16, 3, padding=2, dilation=2), IMAGE, "conv", {"dilation": 2, "groups": 1, "out width": 10}),
        (nn.Conv2d(8, 16, 1), IMAGE, "conv pointwise", {"kernel height": 1, "channels in": 8, "height": 12}),
        (nn.Conv2d(8, 8, 3, groups=8), IMAGE, "conv depthwise", {"groups": 8}),
        (nn.Conv2d(8, 16, (1, 5), groups=2), IMAGE, "conv grouped", {"groups": 2, "kernel width": 5}),
        (nn.Conv1d(6, 4, 3), TOKENS, "conv 1-d", {"kernel width": 3}),
        (nn.ConvTranspose2d(8, 4, 2, stride=2), IMAGE, "conv transposed", {"stride": 2, "out height": 24}),
        (nn.Linear(8, 5), TOKENS, "linear", {"rows": 6, "inner": 8, "columns": 5}),
        (nn.BatchNorm2d(8), IMAGE, "norm BatchNormalization", {"channels in": 8}),
        (nn.LayerNorm(8), TOKENS, "norm LayerNormalization", {"last axis": 8}),
        (nn.MaxPool2d(3, 2), IMAGE, "pool", {"kernel height": 3, "stride": 2}),
        (nn.MaxPool2d(2), IMAGE, "pool", {"kernel width": 2, "stride": 2}),
        (nn.AvgPool2d((3, 1), 1), IMAGE, "pool", {"kernel height": 3, "kernel width": 1, "stride": 1}),
        (nn.AdaptiveAvgPool2d(1), IMAGE, "pool global", {"height": 12}),
        (nn.SiLU(), IMAGE, "activation", {}),
        (nn.Softmax(dim=-1), TOKENS, "softmax", {"last axis": 8}),
        (nn.Upsample(scale_factor=2), IMAGE, "resize", {"out height": 24}),
        (nn.LSTM(8, 5, bidirectional=True, batch_first=True), TOKENS, "recurrent", {"rows": 6, "columns": 40}),
        (Calls(lambda x: torch.cat([x, 2 * x], 1)), IMAGE, "shape concat", {"channels out": 16}),
        (Calls(lambda x: torch.matmul(x, x.mT)), TOKENS, "matmul", {"rows": 6, "inner": 8, "columns": 6}),
        (Calls(lambda x: functional.pad(x, (1, 2))), IMAGE, "shape other", {"out width": 13}),
        (Calls(lambda x: x.argmax(-1)), TOKENS, "argmax", {}),
        (Calls(lambda x: x.index_select(1, torch.tensor([0, 2]))), TOKENS, "shape other", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_families_and_features(
    module: nn.Module, inputs: Mapping[str, torch.Tensor], family: str, sizes: Mapping[str, int]
) -> None:
    kernel = next(kernel for kernel in reversed(kernels_of(module, inputs)) if family_of(kernel) == family)
    found = dict(zip(FEATURES, features(kernel, surroundings([kernel], 1e-3)[0]), strict=True))
    assert {name: round(2 ** found[name] - 1) for name in sizes} == sizes
    assert kernel.item_bytes == 4


def test_an_embedding_reads_the_rows_that_are_looked_up() -> None:
    (kernel,) = kernels_of(nn.Embedding(1000, 16), {"x": torch.zeros(1, 7, dtype=torch.int64)})
    assert family_of(kernel) == "embedding"
    assert terms(kernel)[2] == 4 * 7 * 16


def test_a_recurrent_network_of_several_layers_is_a_kernel_for_each() -> None:
    model = loaded(nn.GRU(8, 5, num_layers=3), TOKENS)
    (block,) = (block for block in executed_layers(model.program) if len(block.kernels) > 1)
    assert [family_of(kernel) for kernel in block.kernels] == ["recurrent"] * 3
    assert len({kernel.name for kernel in block.kernels}) == 3
    (layer,) = (model.graph.layers[index] for index in block.layers)
    assert sum(flops_of(kernel.operation) for kernel in block.kernels) == layer.flops


def test_operations_tell_apart_what_is_elementwise() -> None:
    kernels = kernels_of(Calls(lambda x: torch.maximum((x * x - 1) / (x + 2), x**2)), TOKENS)
    assert [kernel.operation.op for kernel in kernels] == ["Mul", "Sub", "Add", "Div", "Pow", "Max"]


def test_half_precision_moves_half_the_bytes() -> None:
    full, half = (
        kernels_of(nn.Linear(8, 5).to(dtype), {"x": torch.rand(3, 8, dtype=dtype)})[0]
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert (full.item_bytes, half.item_bytes) == (4, 2)
    assert terms(half)[1] == terms(full)[1] / 2


@pytest.mark.parametrize("name", ["mnist", "unet", "transformer_encoder", "gru_tagger"])
def test_kernels_of_a_model_have_its_operations_and_kinds(name: str) -> None:
    model = load_torch_model(name)
    blocks = executed_layers(model.program)
    assert [block.layers for block in blocks] == [(index,) for index in range(len(model.graph.layers))]
    for block, layer in zip(blocks, model.graph.layers, strict=True):
        assert sum(flops_of(kernel.operation) for kernel in block.kernels) == layer.flops, layer.name
        assert {kind_of(kernel.operation) for kernel in block.kernels} == {layer.kind}, layer.name
    names = [kernel.name for block in blocks for kernel in block.kernels]
    assert len(set(names)) == len(names)


def shared_memory(program: TorchProgram) -> list[bool]:
    """Of each call, whether what it really returns lies in the memory of what it was given."""
    generator = torch.Generator().manual_seed(0)
    values = {
        name: torch.rand(program.graph.tensor_by_name[name].shape, generator=generator)
        if "float" in program.graph.tensor_by_name[name].dtype
        else torch.zeros(program.graph.tensor_by_name[name].shape, dtype=torch.int64)
        for name in program.graph.inputs
    }
    given: set[int] = set()

    def concrete(leaf: Any) -> Any:
        if not isinstance(leaf, Value | Weight):
            return leaf
        tensor = values[leaf.name] if isinstance(leaf, Value) else program.weights[leaf.name]
        given.add(tensor.untyped_storage().data_ptr())
        return tensor

    found = []
    for call in program.calls:
        given.clear()
        kwargs = {key: substitute(value, concrete) for key, value in call.kwargs.items()}
        with torch.inference_mode():
            made = call.operator(*substitute(call.args, concrete), **kwargs)
        results = {name: made if place is None else made[place] for name, place in call.results.items()}
        values.update(results)
        found.append(all(each.untyped_storage().data_ptr() in given for each in results.values()))
    return found


class Attends(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query = x.reshape(1, 6, 2, 4).transpose(1, 2)
        gathered = functional.scaled_dot_product_attention(query, query, query)
        weighed = torch.softmax(query @ query.mT, -1) @ query
        return gathered.transpose(1, 2).reshape(1, 6, 8) + weighed.transpose(1, 2).reshape(1, 6, 8)


class Shuffles(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 1), nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(1, 2, 4, 12, 10).transpose(1, 2).reshape(1, 8, 12, 10)
        x = self.conv(x).relu().flatten(2).transpose(1, 2)
        y = torch.sigmoid(x.chunk(2, dim=1)[1])
        return self.norm(x).reshape(-1)[:5] + y.reshape(-1)[:5] + x[:, 0].expand(2, 8)[1, :5]


def check_views(model: LoadedTorchModel) -> None:
    blocks = executed_layers(model.program)
    for block, layer, shared in zip(blocks, model.graph.layers, shared_memory(model.program), strict=True):
        assert is_free(block.kernels[0]) == shared, layer


@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (Attends(), TOKENS),
        (Shuffles(), IMAGE),
        (Calls(lambda x: (2 * x.permute(0, 2, 1)).reshape(-1)), TOKENS),
        (Calls(lambda lstm, x: lstm(x)[0].reshape(-1), nn.LSTM(8, 5, batch_first=True)), TOKENS),
        (Calls(lambda x: x.unfold(1, 2, 1).reshape(-1, 2)), TOKENS),
    ],
)
def test_a_call_is_free_where_its_result_lies_in_the_memory_of_its_input(
    module: nn.Module, inputs: Mapping[str, torch.Tensor]
) -> None:
    check_views(loaded(module, inputs))


@pytest.mark.parametrize("style", ["image", "transformer", "recurrent", "speech", "local"])
def test_calls_of_random_networks_are_free_likewise(style: str) -> None:
    check_views(torch_model(drawn(style, 1)))
