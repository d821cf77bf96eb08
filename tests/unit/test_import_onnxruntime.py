"""Real traces of ONNX Runtime, recorded here at every level, and what of them cannot be imported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from offload import api
from offload.artifacts.profile import Profile
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError
from offload.models.load import load_model
from tests.light_models import light_model_path
from tests.traced_models import onnxruntime_trace, two_branches

LEVELS = ("ORT_ENABLE_ALL", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_BASIC", "ORT_DISABLE_ALL")
Events = list[dict[str, Any]]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "two_branches.onnx"
    path.write_bytes(two_branches().SerializeToString())
    return path


def imported(trace: Path, model: str | Path, **options: Any) -> Profile:
    request = api.ImportRequest(trace=trace, model=str(model), **options)
    return api.import_trace(request, workspace=Workspace(trace.parent))


def kernels_us(trace: Path) -> list[dict[str, float]]:
    """Microseconds of each node in each run, read independently: a run ends with its `model_run`."""
    runs: list[dict[str, float]] = [{}]
    for event in json.loads(trace.read_text(encoding="utf-8")):
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            runs[-1][event["name"].removesuffix("_kernel_time")] = event["dur"]
        if event["name"] == "model_run":
            runs.append({})
    return runs[:-1]


@pytest.mark.parametrize("level", LEVELS)
def test_all_time_of_a_trace_is_in_the_layers_that_it_names(model: Path, tmp_path: Path, level: str) -> None:
    trace = onnxruntime_trace(two_branches(), tmp_path, runs=4, level=level)
    profile = imported(trace, model)
    runs = kernels_us(trace)[1:]
    sums_s = np.array([group.samples_s for group in profile.groups]).sum(axis=0)
    assert sums_s == pytest.approx([sum(run.values()) * 1e-6 for run in runs])
    assert (len(profile.whole_s), profile.warm_up_runs) == (3, 1)
    assert profile.unmatched_share == 0
    assert (profile.runtime.name, profile.runtime.device, profile.runtime.threads) == ("onnxruntime", "cpu", 1)
    assert (profile.source, profile.imported_from) == ("imported", f"onnxruntime trace {trace.name}")
    assert profile.group_samples_s.sum() == pytest.approx(sums_s.sum())  # not closed against the whole


def test_each_layer_has_the_time_of_its_own_kernel(model: Path, tmp_path: Path) -> None:
    trace = onnxruntime_trace(two_branches(), tmp_path, runs=3, level="ORT_DISABLE_ALL")
    profile, runs = imported(trace, model), kernels_us(trace)[1:]
    found = {profile.graph.layers[group.layers[0]].name: group.samples_s for group in profile.groups}
    assert found == {name: pytest.approx([run[name] * 1e-6 for run in runs]) for name in runs[0]}


def test_fused_layers_are_one_group_with_their_kernel(model: Path, tmp_path: Path) -> None:
    profile = imported(onnxruntime_trace(two_branches(), tmp_path, level="ORT_ENABLE_EXTENDED"), model)
    names = [{profile.graph.layers[index].name for index in group.layers} for group in profile.groups]
    assert {"/conv1/Conv", "/act1/Relu"} in names


def test_the_whole_is_what_the_tool_tells(model: Path, tmp_path: Path) -> None:
    trace = onnxruntime_trace(two_branches(), tmp_path)
    told = [event["dur"] for event in json.loads(trace.read_text(encoding="utf-8")) if event["name"] == "model_run"]
    assert imported(trace, model).whole_s == pytest.approx([each * 1e-6 for each in told[1:]])


def test_threads_are_read_from_the_trace_and_overridden(model: Path, tmp_path: Path) -> None:
    trace = onnxruntime_trace(two_branches(), tmp_path, threads=2)
    assert imported(trace, model).runtime.threads == 2
    runtime = imported(trace, model, threads=4, device="jetson-nano").runtime
    assert (runtime.threads, runtime.device) == (4, "jetson-nano")


@pytest.mark.parametrize("level", LEVELS[:1] + LEVELS[3:])
def test_a_real_network(cache: Path, tmp_path: Path, level: str) -> None:
    cache.mkdir(exist_ok=True)
    path = light_model_path("squeezenet", cache)
    trace = onnxruntime_trace(ModelProto.FromString(path.read_bytes()), tmp_path, runs=2, level=level)
    profile = imported(trace, path)
    assert profile.unmatched_share < 0.02
    assert len(profile.groups) > 30


def test_a_built_in_network(tmp_path: Path, cache: Path) -> None:
    model = load_model("mnist", cache=cache)
    trace = onnxruntime_trace(ModelProto.FromString(model.onnx), tmp_path)
    profile = imported(trace, "mnist")
    assert (profile.unmatched_share, profile.model.hash) == (0, model.hash)


def test_nodes_with_other_names_are_told_by_operator_and_shape(model: Path, tmp_path: Path) -> None:
    renamed = two_branches()
    for number, node in enumerate(renamed.graph.node):
        node.name = f"other_{number}"
        node.output[0] = f"value_{number}" if number < 9 else node.output[0]
        node.input[0] = f"value_{number - 1}" if number else node.input[0]
    for number, read in ((3, 1), (5, 2), (6, 5)):
        renamed.graph.node[number].input[0] = f"value_{read}"
    renamed.graph.node[5].input[1], renamed.graph.node[6].input[1] = "value_4", "value_3"
    renamed.graph.node[4].input[0] = "value_2"
    trace = onnxruntime_trace(renamed, tmp_path, level="ORT_ENABLE_BASIC")
    assert imported(trace, model).unmatched_share == 0


def test_one_run_is_kept(model: Path, tmp_path: Path) -> None:
    profile = imported(onnxruntime_trace(two_branches(), tmp_path, runs=1), model)
    assert (len(profile.whole_s), profile.warm_up_runs) == (1, 0)


def test_another_batch_is_refused(model: Path, tmp_path: Path) -> None:
    trace = onnxruntime_trace(two_branches(batch=2), tmp_path)
    with pytest.raises(OffloadError, match=r"makes 2×\d+×16×16 in the trace, 1×8×16×16 in the model") as caught:
        imported(trace, model)
    assert "--batch" in caught.value.hint
    assert imported(trace, model, batch=2).model.batch == 2


def test_another_model_is_refused(model: Path, tmp_path: Path, cache: Path) -> None:
    cache.mkdir(exist_ok=True)
    path = light_model_path("squeezenet", cache)
    with pytest.raises(OffloadError, match="a trace of another model than squeezenet"):
        imported(onnxruntime_trace(two_branches(), tmp_path), path)


def changed(trace: Path, change: Callable[[Events], Events]) -> Path:
    events = change(json.loads(trace.read_text(encoding="utf-8")))
    path = trace.with_suffix(".changed.json")
    path.write_text(json.dumps(events), encoding="utf-8")
    return path


def with_first_kernel(**fields: object) -> Callable[[Events], Events]:
    def change(events: Events) -> Events:
        next(event for event in events if event["cat"] == "Node").update(fields)
        return events

    return change


def overlapping(events: Events) -> Events:
    runs = [event for event in events if event["name"] == "model_run"]
    return [*events, {**runs[0], "ts": runs[0]["ts"] + runs[0]["dur"] // 2}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_first_kernel(dur=-3), "`dur` of .* is -3, which is no time"),
        (with_first_kernel(dur="long"), "is a str, which is no time"),
        (with_first_kernel(ts=None), "`ts` of .* is a NoneType"),
        (lambda events: [event for event in events if event["name"] != "model_run"], "holds no run of the model"),
        (lambda events: [event for event in events if event["cat"] != "Node"], "holds runs, but no kernel"),
        (overlapping, "runs that overlap"),
        (
            lambda events: [{**event, "dur": event["dur"] * (event["cat"] != "Node")} for event in events],
            "holds no time",
        ),
    ],
)
def test_traces_that_cannot_be_true(
    model: Path, tmp_path: Path, change: Callable[[Events], Events], message: str
) -> None:
    trace = changed(onnxruntime_trace(two_branches(), tmp_path), change)
    with pytest.raises(OffloadError, match=message) as caught:
        imported(trace, model)
    assert caught.value.hint


def test_kernels_within_a_kernel_are_not_counted_twice(model: Path, tmp_path: Path) -> None:
    trace = onnxruntime_trace(two_branches(), tmp_path, level="ORT_DISABLE_ALL")

    def add_inner(events: Events) -> Events:
        node = [event for event in events if event["cat"] == "Node"][-1]
        return [*events, {**node, "name": "inner_kernel_time", "dur": 0, "ts": node["ts"]}]

    assert imported(changed(trace, add_inner), model).raw_sum_s == imported(trace, model).raw_sum_s


def test_kernels_of_a_gpu_follow_the_node_that_launched_them(model: Path, tmp_path: Path) -> None:
    """By hand, after the order that ONNX Runtime built with CUPTI writes (pull request 9567 of its repository)."""
    trace = onnxruntime_trace(two_branches(), tmp_path, level="ORT_DISABLE_ALL", runs=2)

    def on_gpu(events: Events) -> Events:
        made: Events = []
        for event in events:
            made.append(event)
            if event["cat"] == "Node":
                event["args"]["provider"] = "CUDAExecutionProvider"
                made += [
                    {"cat": "Kernel", "pid": -1, "tid": -1, "ph": "X", "name": "k", "dur": 7, "ts": 0, "args": {}}
                ] * 2
        return made

    profile = imported(changed(trace, on_gpu), model)
    assert [group.samples_s for group in profile.groups] == [(pytest.approx(14e-6),)] * len(profile.groups)
    assert profile.runtime.device == "cuda:0"
