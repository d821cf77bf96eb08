"""Models by what the user types: callables, libraries, mistakes; and what importing costs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from offload import environment
from offload.errors import OffloadError
from offload.models.cache import cache_key
from offload.models.load import load_model

NETS = '''
"""Networks for the tests."""
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.first, self.second = nn.Linear(8, width), nn.Linear(width, 2)
    def forward(self, x):
        return self.second(torch.relu(self.first(x)))

class Two(nn.Module):
    def forward(self, left, right):
        return {"sum": left + right, "product": left * right}

def tiny():
    print("building")
    return Tiny()

def broken():
    raise ValueError("no such width")

class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.rand(x.shape)

class Same(nn.Module):
    def forward(self, x):
        return 2 * x, x

class Unused(nn.Module):
    def forward(self, x, spare):
        return 2 * x

class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
        self.memory = nn.LSTM(32, 16, batch_first=True)
        self.gate = nn.Hardswish()
    def forward(self, x):
        return self.gate(self.memory(self.layer(x))[0])

ready = Tiny()
number = 5
def listed(): return [1]
'''


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nets_for_test.py").write_text(NETS)
    (tmp_path / "bad_import.py").write_text("import module_that_is_not_there")
    monkeypatch.chdir(tmp_path)
    for name in ("nets_for_test", "bad_import"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def refusal(spec: str, **options: object) -> OffloadError:
    with pytest.raises(OffloadError) as caught:
        load_model(spec, **options)  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    return caught.value


def test_a_callable_in_the_current_folder(nets: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = load_model("nets_for_test:tiny", inputs={"": (1, 8)}, batch=2)
    assert [layer.name for layer in model.graph.layers] == ["first", "relu", "second"]
    assert (model.batch, model.weights, model.untrained) == (2, "from the callable", False)
    assert model.hash == load_model("nets_for_test:Tiny", inputs={"x": (2, 8)}).hash, "random weights are seeded"
    assert load_model("nets_for_test:ready", inputs={"x": (2, 8)}).graph.flops == model.graph.flops
    assert capfd.readouterr().out == "", "stdout belongs to results"


def test_several_inputs_and_outputs(nets: Path) -> None:
    graph = load_model("nets_for_test:Two", inputs={"left": (1, 3), "right": (1, 3)}).graph
    assert graph.inputs == ("left", "right")
    assert graph.outputs == ("output_0", "output_1")
    assert "--input left=1x3x224x224" in refusal("nets_for_test:Two").hint
    assert "needs a name" in refusal("nets_for_test:Two", inputs={"": (1, 3)}).message


def test_attention_and_recurrence(nets: Path) -> None:
    graph = load_model("nets_for_test:Encoder", inputs={"": (1, 12, 32)}).graph
    kinds = {layer.kind for layer in graph.layers}
    assert kinds == {"linear", "matmul", "softmax", "norm", "activation", "recurrent", "elementwise", "shape"}
    assert all(layer.inputs for layer in graph.layers), "constants are folded, those of inlined functions too"
    assert all(layer.name.startswith(("layer.", "memory", "gate")) for layer in graph.layers)


def test_inputs_that_are_returned_or_not_used(nets: Path) -> None:
    assert "returns one of its inputs unchanged" in refusal("nets_for_test:Same", inputs={"": (1, 3)}).message
    unused = load_model("nets_for_test:Unused", inputs={"x": (1, 3), "spare": (1, 4)})
    assert len(unused.graph.layers) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nets_for_test:broken", "raised ValueError: no such width"),
        ("nets_for_test:tini", "has no 'tini'"),
        ("nets_for_test:number", "not callable"),
        ("nets_for_test:listed", "returned list, not a torch.nn.Module"),
        ("no_such_module:net", "there is no module 'no_such_module'"),
        ("bad_import:net", "raised ModuleNotFoundError: No module named 'module_that_is_not_there'"),
        ("nets_for_test:tiny", "shape of input 'x' is not known"),
    ],
)
def test_mistakes_in_callables(nets: Path, spec: str, message: str) -> None:
    assert message in refusal(spec).message


def test_shapes_that_do_not_fit(nets: Path) -> None:
    assert "does not run on inputs of these shapes" in refusal("nets_for_test:tiny", inputs={"x": (1, 9)}).message


def test_a_module_whose_export_differs_is_refused(nets: Path) -> None:
    assert "differs from the module" in refusal("nets_for_test:Noisy", inputs={"x": (1, 8)}).message


def test_unknown_names_suggest_near_ones() -> None:
    error = refusal("resnet5O")
    assert "no model 'resnet5O'" in error.message
    assert "did you mean resnet50" in error.hint
    assert "alexnet" in refusal("something-else").hint


FAKE = """
import torch
from torch import nn
def list_models(): return ["tiny_net", "tiny_net_large"]
def get_model(name, weights="default"):
    assert weights is None
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.LazyLinear(2) if False else nn.Identity())
def create_model(name, pretrained=True):
    assert not pretrained
    net = get_model(name, weights=None)
    net.default_cfg = {"input_size": (3, 32, 32)}
    return net
"""


@pytest.mark.parametrize(("library", "size"), [("torchvision", 224), ("timm", 32)])
def test_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, size: int) -> None:
    package = tmp_path / library
    package.mkdir()
    (package / "__init__.py").write_text(FAKE if library == "timm" else "")
    (package / "models.py").write_text(FAKE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, library, raising=False)
    monkeypatch.delitem(sys.modules, f"{library}.models", raising=False)
    try:
        model = load_model(f"{library}:tiny_net")
        assert model.name == "tiny_net"
        assert model.untrained
        assert model.graph.tensor_by_name["input"].shape == (1, 3, size, size)
        error = refusal(f"{library}:tiny_nett")
        assert "has no model 'tiny_nett'" in error.message
        assert "did you mean tiny_net" in error.hint
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == library]:
            del sys.modules[name]


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_libraries_that_do_not_import(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    error = refusal(f"{library}:resnet50")
    assert "cannot be imported" in error.message
    assert f"pip install {library}" in error.hint


def test_heavy_libraries_are_imported_late(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from offload.models.load import load_model
        import offload.models.extraction, offload.models.zoo.catalogue
        assert not {"torch", "onnx", "onnxruntime", "numpy"} & sys.modules.keys()
        import onnx.parser
        model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) '
                                        '{ y = Relu(x) }')
        onnx.save(model, sys.argv[1])
        load_model(sys.argv[1])
        assert "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.onnx")], check=True)


def test_the_cache_does_without_the_package_that_onnxruntime_gpu_stands_in_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "onnxruntime":
            raise PackageNotFoundError(name)
        return {"onnxruntime-gpu": gpu}.get(name, "1")

    monkeypatch.setattr(environment, "version", version)
    keys = set()
    for gpu in ("1.22", "1.23"):
        keys.add(cache_key("alexnet"))
        assert environment.package_versions(["onnxruntime", "onnxruntime-gpu"]) == {"onnxruntime-gpu": gpu}
    assert len(keys) == 2
