"""The main job with the torch runtime: profile, plan, verify, the tail from the server's own copy of the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from offload import api
from offload.artifacts.plan import Plan
from offload.artifacts.profile import Profile
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def profile_file(workspace: Workspace) -> Path:
    request = api.ProfileRequest(model="mnist", runtime="torch", threads=1, max_time_s=1.0, meter="none")
    return workspace.save(api.profile(request, workspace=workspace), name="mnist")


@pytest.fixture(scope="module")
def plan(workspace: Workspace, profile_file: Path) -> Plan:
    request = api.PlanRequest(profile=profile_file, server=str(profile_file), uplink_bps=100e6, planner="neurosurgeon")
    return api.plan(request, workspace=workspace)


def divided(plan: Plan) -> Plan:
    """A plan that divides the model, whatever this machine would choose."""
    option = next(each for each in (plan.chosen, *plan.alternatives) if each.place == "both")
    return plan.model_copy(update={"chosen": option})


def test_a_torch_profile_tells_what_ran_and_loads_back(profile_file: Path) -> None:
    profile = Profile.load(profile_file)
    assert (profile.runtime.name, profile.runtime.device) == ("torch", "cpu")
    assert profile.model.precision == "fp32"
    assert len(profile.groups) == len(profile.graph.layers)
    assert len(profile.reference_s) == len(profile.whole_s)
    assert Profile.from_json(profile.to_json(), source="the same") == profile


def test_a_torch_plan_is_executed_by_an_embedded_server_that_has_the_model(workspace: Workspace, plan: Plan) -> None:
    path = workspace.save(divided(plan), name="divided")
    assert plan.cold_start is None, "nothing is uploaded"
    verification = api.verify(api.VerifyRequest(plan=path, requests=4, alternatives=0), workspace=workspace)
    assert verification.output_error < 1e-5
    assert verification.chosen.option.place == "both"
    assert verification.tail_bytes == 0, "neither code nor weights cross"
    assert verification.server_drift is not None


def test_a_plan_of_other_content_is_not_executed(workspace: Workspace, plan: Plan) -> None:
    other = plan.model_copy(update={"model": plan.model.__class__(**{**vars(plan.model), "precision": "bf16"})})
    path = workspace.save(other, name="other")
    with pytest.raises(OffloadError, match="mnist had the content"):
        api.verify(api.VerifyRequest(plan=path, requests=2, alternatives=0), workspace=workspace)
