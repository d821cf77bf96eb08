"""Costs fitted on torch: random networks really measured, and torch models predicted from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from offload import api
from offload.api import fits
from offload.artifacts.costs import Costs
from offload.artifacts.workspace import Workspace, write_artifact
from offload.errors import OffloadError, UsageError
from offload.predictors import fitting
from offload.profilers.sampling import measuring
from offload.serving import protocol_cost
from tests.drawn import drawn_each, measure_only

STYLES = {"image": 9, "dense": 1, "transformer": 1, "speech": 1}
NETWORKS = sum(STYLES.values())


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def costs(workspace: Workspace) -> Iterator[Costs]:
    """Without trees, which take long to fit."""
    with pytest.MonkeyPatch.context() as patch:
        measure_only(patch, drawn_each(STYLES, scale=0.05))
        patch.setattr(fits, "FEWEST_NETWORKS", NETWORKS)
        patch.setattr(fitting, "FEWEST_FOR_TREES", 10**9)
        patch.setattr(protocol_cost, "measure_protocol", lambda _: ())
        request = api.FitRequest(runtime="torch", threads=1, budget_s=300.0, meter="none")
        yield api.fit(request, workspace=workspace)


@pytest.fixture
def costs_file(costs: Costs, tmp_path: Path) -> Path:
    path = tmp_path / "costs.json"
    write_artifact(costs, path)
    return path


def request(path: Path, **changes: object) -> api.ProfileRequest:
    fields: dict[str, object] = {"model": "resnet18", "runtime": "torch", "predict": str(path)}
    return api.ProfileRequest(**(fields | changes))  # type: ignore[arg-type]


def test_torchs_own_calls_are_the_samples(costs: Costs) -> None:
    assert (costs.runtime.name, costs.runtime.device, costs.runtime.threads) == ("torch", "cpu", 1)
    assert (costs.precision, costs.networks, costs.stopped) == ("fp32", NETWORKS, "all networks")
    assert {"conv", "conv pointwise", "norm BatchNormalization", "activation", "linear", "pool"} <= set(costs.by_family)
    assert all(error > -1 for error in costs.whole_errors)


def test_what_was_measured_is_kept_by_precision(costs: Costs, workspace: Workspace) -> None:
    (checkpoint,) = workspace.cache.glob("fit-torch-cpu-1-*.jsonl")
    assert len(list(measuring.read_checkpoint(checkpoint))) == NETWORKS
    same = api.FitRequest(runtime="torch", threads=1, meter="none")
    assert api.fit_outlook(same, workspace=workspace).networks_before == NETWORKS
    for other in (replace(same, dtype="bf16"), replace(same, threads=2), api.FitRequest(threads=1, meter="none")):
        assert api.fit_outlook(other, workspace=workspace).networks_before == 0


def test_a_torch_model_is_predicted(costs_file: Path, workspace: Workspace) -> None:
    profile = api.profile(request(costs_file), workspace=workspace)
    assert (profile.source, profile.runtime.name, profile.runtime.threads) == ("predicted", "torch", 1)
    assert [group.layers for group in profile.groups] == [(index,) for index in range(len(profile.graph.layers))]
    slowest = max(profile.groups, key=lambda group: group.samples_s[0])
    assert profile.graph.layers[slowest.layers[0]].kind == "conv"
    assert all(group.prediction is not None for group in profile.groups)
    assert profile.whole.low < profile.whole.value < profile.whole.high
    assert profile.fitted_costs is not None
    assert profile.fitted_costs.networks == NETWORKS


def test_a_gpu_that_is_elsewhere_is_predicted(costs: Costs, tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / "cuda.json"
    write_artifact(costs.model_copy(update={"runtime": replace(costs.runtime, device="cuda:0")}), path)
    profile = api.profile(request(path, device="cuda"), workspace=workspace)
    assert profile.runtime.device == "cuda:0"
    assert api.profile(request(path, device="cuda", runtime=None), workspace=workspace).runtime.name == "torch"
    with pytest.raises(UsageError, match="device cuda:0, not cuda:1"):
        api.profile(request(path, device="cuda:1"), workspace=workspace)


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"runtime": None}, "runtime torch, not onnxruntime", "--runtime torch"),
        ({"device": "cuda"}, "device cpu, not cuda:0", "--device cpu"),
        ({"dtype": "bf16"}, "precision fp32, not bf16", "--dtype fp32"),
        ({"threads": 2}, "number of threads 1, not 2", "--threads 1"),
        ({"channels_last": True}, "--channels-last does not go with --predict", "leave it out"),
        ({"compiled": True}, "--compile does not go with --predict", "leave it out"),
    ],
)
def test_costs_of_something_else_are_refused(
    costs_file: Path, workspace: Workspace, changes: dict[str, object], message: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        api.profile(request(costs_file, **changes), workspace=workspace)
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "cuda"}, "does not tell how long a GPU's kernels run"),
        ({"dtype": "fp16"}, "needs the torch runtime"),
        ({"runtime": "torch", "device": "gpu"}, "no such device"),
    ],
)
def test_what_cannot_be_fitted(workspace: Workspace, changes: dict[str, object], message: str) -> None:
    with pytest.raises(OffloadError, match=message):
        api.fit(api.FitRequest(**changes), workspace=workspace)  # type: ignore[arg-type]
