"""Real traces of torch.profiler, recorded here, GPU traces written by hand, and what cannot be imported."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offload import api
from offload.artifacts.profile import Profile
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError
from offload.models import torch_sources
from offload.models.zoo.catalogue import CATALOGUE
from tests.tiny_torch import branches
from tests.traced_models import torch_trace

Document = dict[str, Any]
BRANCHES = ("linear", "relu", "linear", "linear", "tanh", "mul")
"""What `tests.tiny_torch:branches` calls, in order."""


def imported(trace: Path, model: str = "tests.tiny_torch:branches", **options: Any) -> Profile:
    inputs = {"x": (1, 8)} if model.startswith("tests.") else {}
    request = api.ImportRequest(trace=trace, model=model, **{"inputs": inputs, **options})
    return api.import_trace(request, workspace=Workspace(trace.parent))


def outer_s(trace: Path) -> list[tuple[str, float]]:
    """Operators that no other operator holds and their seconds, read independently."""
    events = [each for each in json.loads(trace.read_text())["traceEvents"] if each.get("cat") == "cpu_op"]
    events.sort(key=lambda each: each["ts"])
    return [
        (each["name"], each["dur"] * 1e-6)
        for each in events
        if not any(o["ts"] <= each["ts"] < o["ts"] + o["dur"] for o in events if o is not each)
    ]


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return torch_trace(branches(), (1, 8), tmp_path_factory.mktemp("traces"), shapes=True)


def test_each_layer_has_the_time_of_its_own_operator_and_nothing_twice(trace: Path) -> None:
    found = imported(trace)
    outer = [(name, seconds) for name, seconds in outer_s(trace) if name != "aten::zeros"]
    assert [layer.op for layer in found.graph.layers] == list(BRANCHES)
    expected = np.array([seconds for _, seconds in outer]).reshape(3, len(BRANCHES)).T
    assert [group.samples_s for group in found.groups] == [pytest.approx(row) for row in expected]
    assert (len(found.whole_s), found.warm_up_runs, found.unmatched_share) == (3, 0, 0)
    assert (found.runtime.name, found.runtime.device, found.runtime.threads) == ("torch", "cpu", 1)
    assert all(whole_s >= run_s for whole_s, run_s in zip(found.whole_s, expected.sum(axis=0), strict=True))


def test_runs_without_steps_are_told_apart_and_the_first_left_out(tmp_path: Path) -> None:
    found = imported(torch_trace(branches(), (1, 8), tmp_path, runs=4, steps=False))
    assert (len(found.whole_s), found.warm_up_runs, found.unmatched_share) == (3, 1, 0)


def test_a_packed_trace(trace: Path, tmp_path: Path) -> None:
    packed = tmp_path / "trace.json.gz"
    packed.write_bytes(gzip.compress(trace.read_bytes()))
    assert imported(packed).whole_s == imported(trace).whole_s


@pytest.mark.parametrize("name", ["mnist", "resnet18"])
def test_a_built_in_network(tmp_path: Path, name: str) -> None:
    entry = CATALOGUE[name]
    module = torch_sources.from_zoo(entry).eval()
    found = imported(torch_trace(module, (1, *entry.input_shape), tmp_path, runs=2, shapes=True), name)
    assert len(found.groups) == len(found.graph.layers)
    assert found.unmatched_share < 0.1


def changed(trace: Path, folder: Path, change: Callable[[Document], object]) -> Path:
    document = json.loads(trace.read_text(encoding="utf-8"))
    change(document)
    path = folder / "changed.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def operators(document: Document, name: str) -> list[dict[str, Any]]:
    return [each for each in document["traceEvents"] if each.get("name") == name and each.get("cat") == "cpu_op"]


def test_what_is_no_layer_is_counted_with_the_layer_before_it(trace: Path, tmp_path: Path) -> None:
    def add_dropout(document: Document) -> None:
        for relu in operators(document, "aten::relu"):
            extra = {**relu, "name": "aten::dropout", "ts": relu["ts"] + relu["dur"] + 0.001, "dur": 0.002, "args": {}}
            document["traceEvents"].append(extra)

    before, after = imported(trace), imported(changed(trace, tmp_path, add_dropout))
    assert np.subtract(after.groups[1].samples_s, before.groups[1].samples_s) == pytest.approx([2e-9] * 3, rel=0.01)
    assert after.unmatched_share == pytest.approx(6e-9 / sum(sum(group.samples_s) for group in after.groups), rel=0.01)


def test_what_is_outside_the_model_is_left_out(trace: Path, tmp_path: Path) -> None:
    def add_input(document: Document) -> None:
        for step in [each for each in document["traceEvents"] if each["name"].startswith("ProfilerStep")]:
            extra = {**step, "cat": "cpu_op", "name": "aten::rand", "ts": step["ts"] + 0.01, "dur": 0.5}
            document["traceEvents"].append(extra)

    with_input = imported(changed(trace, tmp_path, add_input))
    assert with_input.groups == imported(trace).groups
    assert with_input.whole_s == imported(trace).whole_s


def on_gpu(document: Document, *, by_correlation: bool) -> None:
    """A kernel of 10 us for every linear and 3 us for all else, launched by the innermost operator."""
    at = max(each["ts"] for each in document["traceEvents"] if each.get("ph") == "X")
    for number, event in enumerate(list(document["traceEvents"])):
        if event.get("cat") != "cpu_op" or event["name"].removeprefix("aten::") not in ("addmm", "relu", "tanh", "mul"):
            continue
        at += 20
        kernel = {"ph": "X", "cat": "kernel", "name": "sgemm", "pid": 0, "tid": 7, "ts": at}
        kernel["dur"] = 10 if event["name"] == "aten::addmm" else 3
        args: dict[str, Any] = {"correlation": number}
        if by_correlation:
            launch = {**event, "cat": "cuda_runtime", "name": "cudaLaunchKernel", "dur": 0.001, "args": args}
            document["traceEvents"].append(launch)
        else:
            args = {**args, "External id": event["args"]["External id"]}
        document["traceEvents"].append({**kernel, "args": args})


@pytest.mark.parametrize("by_correlation", [True, False])
def test_times_of_a_gpu_are_those_of_its_kernels(trace: Path, tmp_path: Path, by_correlation: bool) -> None:
    """Written by hand after the fields that torch documents and writes; no GPU recorded it."""
    found = imported(changed(trace, tmp_path, lambda document: on_gpu(document, by_correlation=by_correlation)))
    assert [group.samples_s for group in found.groups] == [
        pytest.approx([us * 1e-6] * 3) for us in (10, 3, 10, 10, 3, 3)
    ]
    assert found.runtime.device == "cuda:0"
    assert found.whole_s == pytest.approx([103e-6] * 3)


def remove(name: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        document["traceEvents"] = [each for each in document["traceEvents"] if each.get("name") != name]

    return change


def spoil(field: str, value: object) -> Callable[[Document], None]:
    return lambda document: operators(document, "aten::tanh")[0].update({field: value})


def nest(document: Document) -> None:
    outer = operators(document, "aten::tanh")[0]
    document["traceEvents"] += [{**outer, "name": "aten::deep"} for _ in range(500)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("aten::tanh"), r"after aten::linear \(operator 4\) it has aten::mul where tanh is tanh"),
        (lambda document: document.update(traceEvents=[]), "holds no operator"),
        (spoil("dur", -1.5), "`dur` of aten::tanh is -1.5, which is no time"),
        (spoil("dur", "x"), "is a str, which is no time"),
        (spoil("ts", 1e300), "`ts` of aten::tanh"),
        (nest, "nests operators deeper than 100"),
    ],
)
def test_what_cannot_be_imported_is_one_line(
    trace: Path, tmp_path: Path, change: Callable[[Document], None], message: str
) -> None:
    with pytest.raises(OffloadError, match=message) as caught:
        imported(changed(trace, tmp_path, change))
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_another_batch_is_refused_where_the_trace_tells_shapes(trace: Path) -> None:
    with pytest.raises(OffloadError, match="stem takes 1×8 in the trace, 4×8 in the model"):
        imported(trace, inputs={"x": (4, 8)})


def test_a_trace_of_another_network_is_refused(trace: Path) -> None:
    with pytest.raises(OffloadError, match="a trace of another model than mnist: at its start it has aten::linear"):
        imported(trace, "mnist")
