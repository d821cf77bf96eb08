"""`offload profile --predict COSTS` through its real entry: predicting, planning with it, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offload.artifacts.plan import Plan
from offload.artifacts.profile import Profile
from offload.artifacts.workspace import write_artifact
from tests.cli.conftest import Run
from tests.fitted import dense_costs


def test_a_model_is_predicted_and_planned_with_on_either_side(
    run: Run, costs_file: Path, model_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "profile.json"
    told = run("profile", str(model_file), "--predict", str(costs_file), "--threads", "1", "-o", str(path))
    assert told.code == 0, told.err
    assert "predicted from fitted costs" in told.out
    assert "95 % interval" in told.out
    profile = Profile.load(path)
    assert profile.source == "predicted"
    assert all(group.prediction is not None for group in profile.groups)
    assert profile.whole.low < profile.whole.value < profile.whole.high
    # Without --threads those of the costs are taken.
    assert run("profile", str(model_file), "--predict", str(costs_file)).code == 0
    planned = run(
        *("plan", "--profile", str(path), "--server", str(path), "--bw", "450mbps", "--rtt", "2ms"),
        *("-o", str(tmp_path / "plan.json")),
    )
    assert planned.code == 0, planned.err
    plan = Plan.load(tmp_path / "plan.json")
    assert (plan.device.source, plan.server.source) == ("predicted", "predicted")
    assert len([text for text in plan.warnings if "predicted from fitted costs" in text]) == 2
    powered = run(
        *("profile", str(model_file), "--predict", str(costs_file), "--power", "3W", "--idle-power", "1W", "--json")
    )
    assert powered.code == 0, powered.err
    assert json.loads(powered.out)["power_w"] == 3.0


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        (("--threads", "2"), "the number of threads 1, not 2", "offload fit --threads 2"),
        (("--runtime", "torch"), "the torch runtime needs a torch module, not an ONNX file", "leave it out"),
        (("--meter", "rapl"), "--meter measures, --predict runs nothing", "leave one of them out"),
        (("--on", "127.0.0.1:1"), "--on measures, --predict runs nothing", "leave one of them out"),
    ],
)
def test_costs_of_something_else_do_not_predict(
    run: Run, costs_file: Path, model_file: Path, options: tuple[str, ...], error: str, hint: str
) -> None:
    outcome = run("profile", str(model_file), "--predict", str(costs_file), *options)
    assert outcome.code in (1, 2)
    assert error in outcome.error
    assert hint in outcome.hint


def test_costs_of_another_precision_say_what_to_do_about_it(run: Run, costs_file: Path) -> None:
    """A precision that only torch has chooses torch, which the costs are not of either."""
    outcome = run("profile", "resnet18", "--predict", str(costs_file), "--dtype", "fp16")
    assert outcome.code == 2
    assert outcome.error == "the costs were fitted for the precision fp32, not fp16"
    assert outcome.hint == "add --dtype fp32, or fit again: offload fit --runtime torch --dtype fp16"


def test_the_papers_regressions_predict_when_asked(
    run: Run, costs_file: Path, model_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "profile.json"
    outcome = run(
        "profile", str(model_file), "--predict", str(costs_file), "--predictor", "neurosurgeon", "-o", str(path)
    )
    assert outcome.code == 0, outcome.error
    made = Profile.load(path)
    assert made.fitted_costs is not None
    assert made.fitted_costs.predictor == "neurosurgeon"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--predictor", "neurosurgeon"), "--predictor neurosurgeon needs costs"),
        (("--predict", "t4", "--predictor", "neurosurgeon"), "--predictor neurosurgeon is of costs files"),
    ],
)
def test_the_papers_regressions_need_costs(run: Run, model_file: Path, options: tuple[str, ...], error: str) -> None:
    outcome = run("profile", str(model_file), *options)
    assert outcome.code == 2
    assert error in outcome.error


def test_a_damaged_file_does_not_predict(run: Run, costs_file: Path, model_file: Path) -> None:
    document = json.loads(costs_file.read_text(encoding="utf-8"))
    document["families"][0]["trend"] = [1e-9]
    costs_file.write_text(json.dumps(document), encoding="utf-8")
    outcome = run("profile", str(model_file), "--predict", str(costs_file))
    assert outcome.code == 1
    assert "described kernels in another way" in outcome.error
    costs_file.write_text(json.dumps(document)[:1000], encoding="utf-8")
    outcome = run("profile", str(model_file), "--predict", str(costs_file))
    assert outcome.code == 1
    assert "damaged" in outcome.error
    assert "offload fit" in outcome.hint
    assert len(outcome.error.splitlines()) == 1


def test_kinds_without_samples_are_named(run: Run, model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "dense.json"
    write_artifact(dense_costs(), path)
    outcome = run("profile", str(model_file), "--predict", str(path))
    assert outcome.code == 1
    assert outcome.error.startswith("the costs have no samples of conv")
    assert " % of the time), " in outcome.error
    assert "(0 %" not in outcome.error
