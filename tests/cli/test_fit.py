"""`offload fit` through its real entry: measuring, going on, showing, predicting, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from offload import api
from offload.api import fits
from offload.artifacts.costs import Costs
from offload.artifacts.workspace import Workspace
from offload.models.executed import TimedNetwork
from offload.predictors import fitting
from offload.profilers.sampling import measuring, networks
from offload.profilers.sampling.networks import SampledNetwork
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.serving import protocol_cost
from tests.cli.conftest import Run
from tests.drawn import drawn_each, measure_only
from tests.fitted import costs_of, dense_costs, dense_networks

MEASURED = {"image": 9, "dense": 1, "transformer": 1, "recurrent": 1}
"""Random networks of each style that the test of the whole way measures."""


def answer(monkeypatch: pytest.MonkeyPatch, costs: Costs) -> list[api.FitRequest]:
    """Make `api.fit` return costs; returns the requests it was given."""
    seen: list[api.FitRequest] = []

    def fit(request: api.FitRequest, **_: object) -> Costs:
        seen.append(request)
        return costs

    monkeypatch.setattr(api, "fit", fit)
    return seen


def test_every_option_is_passed_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = answer(monkeypatch, dense_costs())
    options = (
        "--device",
        "cuda",
        "--runtime",
        "torch",
        "--dtype",
        "bf16",
        "--threads",
        "2",
        "--budget",
        "5m",
        "--restart",
    )
    outcome = run("fit", *options, "--power", "3200mW", "--idle-power", "1W")
    assert outcome.code == 0, outcome.err
    assert run("fit", "--meter", "rapl").code == 0
    assert seen == [
        api.FitRequest(
            device="cuda",
            runtime="torch",
            dtype="bf16",
            threads=2,
            budget_s=300.0,
            restart=True,
            power_w=3.2,
            idle_power_w=1.0,
        ),
        api.FitRequest(meter="rapl"),
    ]
    assert seen[1].budget_s == 1200


def test_the_next_command_has_the_settings_that_the_costs_are_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = replace(dense_costs().runtime, name="torch", device="cuda:0")
    answer(monkeypatch, dense_costs().model_copy(update={"runtime": runtime, "precision": "fp16"}))
    outcome = run("fit", "--runtime", "torch", "--device", "cuda", "--dtype", "fp16")
    assert outcome.code == 0, outcome.err
    assert "torch-cuda-0-1-fp16-" in outcome.err
    assert outcome.err.rstrip().endswith("--runtime torch --device cuda:0 --dtype fp16")


def test_costs_land_in_the_workspace_and_the_next_command_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    answer(monkeypatch, dense_costs())
    outcome = run("fit")
    assert outcome.code == 0
    saved = Workspace(home).newest(Costs)
    assert saved is not None
    assert saved[0].name.startswith("onnxruntime-cpu-1-")
    assert saved[0].name.endswith(".costs.json")
    assert f"written to {saved[0]}" in outcome.err
    assert f"next: offload profile MODEL --predict {saved[0]}" in outcome.err
    assert outcome.out.startswith("Costs of kernels on cpu (1 thread, onnxruntime")


def test_an_existing_file_is_not_replaced(run: Run, costs_file: Path) -> None:
    assert run("fit", "-o", str(costs_file)).error == f"{costs_file} is there already"
    outcome = run("fit", "--picture", str(costs_file))
    assert outcome.code == 2
    assert ".png" in outcome.error


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("--device", "cuda"), "ONNX Runtime does not tell how long a GPU's kernels run", "--runtime torch"),
        (("--device", "tpu", "--runtime", "torch"), "--device tpu: there is no such device", "cuda:0"),
        (("--dtype", "fp16"), "--dtype fp16 needs the torch runtime", "leave out"),
        (("--runtime", "tvm"), "'tvm'", "offload fit --help"),
        (("--budget", "20"), "'20' has no unit", "20ms"),
        (("--budget", "-1m"), "must be finite", "20ms"),
        (("--threads", "0"), "--threads", "offload fit --help"),
        (("--threads", "100000"), "100000 threads", "leave --threads out"),
        (("--power", "3W", "--meter", "rapl"), "--power models the energy, --meter rapl measures it", "one of them"),
        (("--power", "1W", "--idle-power", "2W"), "--idle-power 2W is above --power 1W", "whole device's"),
        (("--meter", "nvml"), "--meter nvml does not measure cpu", "rapl"),
    ],
)
def test_what_cannot_be_fitted_is_a_usage_error(run: Run, arguments: tuple[str, ...], error: str, hint: str) -> None:
    outcome = run("fit", *arguments)
    assert outcome.code == 2, outcome.err
    assert error in outcome.error
    assert hint in outcome.hint
    assert outcome.out == ""


def test_no_budget_is_too_little(run: Run) -> None:
    outcome = run("fit", "--threads", "1", "--budget", "0s", "--meter", "none")
    assert outcome.code == 1
    assert outcome.error == "0 networks were measured, a fit needs 20"
    assert "--budget" in outcome.hint


def test_a_dry_run_says_how_many_and_how_long(run: Run, home: Path) -> None:
    outcome = run("fit", "--threads", "1", "--budget", "2m", "--dry-run", "--meter", "none")
    assert outcome.code == 0
    assert "150 random networks on cpu with 1 thread" in outcome.out
    assert "within the budget of 2 min" in outcome.out
    assert "measured before" not in outcome.out
    assert not home.exists() or not list(home.rglob("*.jsonl"))
    assert "modelled from 3 W" in run("fit", "--dry-run", "--power", "3W").out
    assert "random networks on cpu" in run("fit", "--dry-run", "--runtime", "torch", "--meter", "none").out


def test_costs_are_shown_in_every_form(run: Run, costs_file: Path) -> None:
    table = run("fit", "--show", str(costs_file))
    assert table.code == 0
    assert "Kinds of kernels, each predicted without the network it is in" in table.out
    assert "Sampled ranges" not in table.out
    assert "Sampled ranges" in run("fit", "--show", str(costs_file), "--all").out
    assert json.loads(run("fit", "--show", str(costs_file), "--json").out)["kind"] == "costs"
    assert run("fit", "--show", str(costs_file), "--format", "csv").out.startswith("kind,kernels,networks,form,")
    assert run("fit", "--show", str(costs_file), "--format", "md").out.startswith("# Costs of kernels")


@pytest.mark.parametrize("ending", ["png", "svg", "html"])
def test_a_picture_is_drawn(run: Run, costs_file: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"picture.{ending}"
    outcome = run("fit", "--show", str(costs_file), "--picture", str(path))
    assert outcome.code == 0, outcome.err
    assert path.stat().st_size > 5000
    assert f"drawn in {path}" in outcome.err
    assert run("fit", "--show", str(costs_file), "--picture", str(path)).error == f"{path} is there already"
    assert run("fit", "--show", str(costs_file), "--picture", str(path), "--force").code == 0


@pytest.mark.parametrize(
    "option",
    [("--threads", "2"), ("--budget", "20m"), ("--restart",), ("-o", "x.json"), ("--dry-run",), ("--power", "3W")],
)
def test_showing_measures_nothing(run: Run, costs_file: Path, option: tuple[str, ...]) -> None:
    outcome = run("fit", "--show", str(costs_file), *option)
    assert outcome.code == 2
    assert "--show measures nothing" in outcome.error


def test_what_are_no_costs_is_not_shown(run: Run, tmp_path: Path) -> None:
    assert run("fit", "--show", str(tmp_path / "none.json")).error.startswith("--show: ")
    path = tmp_path / "damaged.json"
    for text, said in (("{", "is damaged"), ("[]", "not an artifact"), ('{"kind": "plan"}', "is a plan, not costs")):
        path.write_text(text, encoding="utf-8")
        outcome = run("fit", "--show", str(path))
        assert outcome.code == 1
        assert said in outcome.error
        assert "offload fit" in outcome.hint


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Measuring a network takes no time; Ctrl-C is pressed before that of a number."""
    made = {network.number: network for network in dense_networks(60, each=2)}

    def press_at(number: int) -> None:
        def measure(network: SampledNetwork, runtime: OnnxRuntime, *, threads: int, **_: str) -> TimedNetwork:
            if network.number == number:
                raise KeyboardInterrupt
            return made[network.number]

        monkeypatch.setattr(measuring, "measure_network", measure)

    monkeypatch.setattr(measuring, "sampled_network", lambda n: SampledNetwork(number=n, style="made", onnx=b""))
    monkeypatch.setattr(protocol_cost, "measure_protocol", lambda _: ())
    for module in (measuring, networks):
        monkeypatch.setattr(module, "MOST_NETWORKS", 40)
    return press_at


def test_an_interrupt_fits_what_there_is_and_the_same_command_goes_on(
    run: Run, quick: Callable[[int], None], home: Path
) -> None:
    fit = ("fit", "--threads", "1", "--meter", "none")
    quick(7)
    outcome = run(*fit)
    assert outcome.code == 130
    assert outcome.error == "interrupted"
    assert "7 networks were measured, a fit needs 20: the same command goes on" in outcome.err
    assert Workspace(home).newest(Costs) is None
    assert "beside 7 that were measured before" in run(*fit, "--dry-run").out
    quick(30)
    outcome = run(*fit)
    assert outcome.code == 130
    assert "7 networks were measured before" in outcome.err
    saved = Workspace(home).newest(Costs)
    assert saved is not None
    assert (saved[1].stopped, saved[1].networks) == ("interrupted", 30)
    assert "measuring was interrupted" in outcome.out
    quick(-1)
    outcome = run(*fit)
    assert outcome.code == 0, outcome.err
    saved = Workspace(home).newest(Costs)
    assert saved is not None
    assert (saved[1].stopped, saved[1].networks) == ("all networks", 40)
    quick(3)
    assert "3 networks were measured, a fit needs 20" in run(*fit, "--restart").err


def test_going_on_names_what_the_files_that_are_there_now_need(
    run: Run, quick: Callable[[int], None], tmp_path: Path
) -> None:
    fit = ("fit", "--threads", "1", "--meter", "none")
    quick(30)
    with_file = (*fit, "-o", str(tmp_path / "costs.json"))
    for arguments, note in (
        (fit, "the same command goes on"),
        ((*fit, "-o", "-"), "the same command goes on"),
        (with_file, "the same command with --force goes on"),
        ((*with_file, "--force"), "the same command goes on"),
        ((*fit, "--picture", str(tmp_path / "a.svg")), "the same command with --force goes on"),
    ):
        outcome = run(*arguments)
        assert outcome.code == 130
        assert f"{note} where it stopped" in outcome.err
    quick(-1)
    assert run(*with_file).error == f"{with_file[-1]} is there already"
    assert run(*with_file, "--force").code == 0


def test_an_interrupt_while_fitting_keeps_the_networks(
    run: Run, quick: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*_: object) -> None:
        raise KeyboardInterrupt

    quick(-1)
    monkeypatch.setattr(fitting, "fit_costs", press)
    outcome = run("fit", "--threads", "1", "--meter", "none")
    assert outcome.code == 130
    assert "40 networks are kept: the same command goes on where it stopped" in outcome.err
    assert "beside 40 that were measured before" in run("fit", "--threads", "1", "--dry-run").out


def test_other_settings_have_networks_of_their_own(run: Run, quick: Callable[[int], None]) -> None:
    quick(7)
    run("fit", "--threads", "1", "--meter", "none")
    assert "measured before" not in run("fit", "--threads", "2", "--dry-run").out


def test_from_measuring_to_a_plan(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model_file: Path) -> None:
    """The whole way on this machine, with fewer and smaller networks than anyone should take."""
    chosen = drawn_each(MEASURED)
    measure_only(monkeypatch, chosen)
    monkeypatch.setattr(fits, "FEWEST_NETWORKS", len(chosen))
    path, drawn = tmp_path / "costs.json", tmp_path / "costs.png"
    outcome = run("fit", "--threads", "1", "--budget", "5m", "-o", str(path), "--picture", str(drawn))
    assert outcome.code == 0, outcome.err
    assert drawn.exists()
    costs = Costs.load(path)
    assert costs.networks == len(chosen)
    assert costs.stopped == "all networks"
    assert costs.protocol
    assert {family.family for family in costs.families} >= {"conv pointwise"}
    assert f"next: offload profile MODEL --predict {path}" in outcome.err
    told = run("profile", str(model_file), "--predict", str(path), "-o", str(tmp_path / "profile.json"))
    if told.code:  # so few networks may hold no sample of a kind that takes much of this one's time
        assert told.error.startswith("the costs have no samples of")
        return
    planned = run("plan", "--profile", str(tmp_path / "profile.json"), "--server", "t4", "--bw", "100mbps")
    assert planned.code == 0, planned.err
    assert "predicted" in planned.out


def test_names_of_settings_do_not_reach_the_workspace_as_paths(
    run: Run, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    runtime: dict[str, Any] = {"name": "../../x", "version": "1", "device": "cpu", "threads": 1}
    hostile = costs_of(dense_networks(20, each=2)).model_copy(
        update={"runtime": type(dense_costs().runtime)(**runtime)}
    )
    answer(monkeypatch, hostile)
    assert run("fit").code == 0
    assert [path.parent for path in home.rglob("*.costs.json")] == [home]
