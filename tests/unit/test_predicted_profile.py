"""Profiles told from fitted costs: times, intervals, energy, reports, and plans on either side."""

from __future__ import annotations

import csv
import dataclasses
import io
import math

import pytest

from offload.artifacts.costs import Costs
from offload.artifacts.prediction import FittedCosts, Prediction
from offload.artifacts.profile import KernelGroup, Profile
from offload.errors import OffloadError
from offload.models.executed import ExecutedBlock
from offload.planners.mincut import MinCut
from offload.planners.plan import make_plan
from offload.predictors.costs import predicted_profile
from offload.predictors.families import predict_by_paper
from offload.predictors.forms import paper_s
from offload.reports.profile import profile_report
from offload.reports.render import render
from tests import synthetic
from tests.fitted import dense_costs, gemm, harvested, law_costs, plain, roofline_law, runtime_identity

TO_95_PERCENT = 1.960 / 1.645
"""From a half width that holds in 90 % of cases, if errors are normal."""


def profile_of(costs: Costs, *kernels: object, **changes: object) -> Profile:
    """The profile of a chain with one kernel a layer."""
    count = len(kernels)
    graph = synthetic.chain((10,) * (count + 1), (1000,) * count)
    blocks = [ExecutedBlock(layers=(index,), kernels=(kernel,)) for index, kernel in enumerate(kernels)]  # type: ignore[arg-type]
    made = predicted_profile(graph, synthetic.identity(), runtime_identity(), costs, blocks)
    return made.model_copy(update=changes)


def test_the_papers_regressions_tell_times_when_asked() -> None:
    costs = dense_costs()
    kernels = [gemm(4, 96, 160), gemm(2, 300, 40)]
    (family,) = costs.families
    graph = synthetic.chain((10,) * 3, (1000,) * 2)
    blocks = [ExecutedBlock(layers=(index,), kernels=(kernel,)) for index, kernel in enumerate(kernels)]
    made = predicted_profile(graph, synthetic.identity(), runtime_identity(), costs, blocks, predictor="neurosurgeon")
    errors = {error.form: error.log_error for error in family.errors}
    logarithmic = errors["logarithmic"] <= errors["linear"]
    form = family.paper[logarithmic]
    expected = []
    for kernel in kernels:
        taken, answered = math.prod(kernel.operation.shape(0)), math.prod(kernel.operation.outputs[0])
        if logarithmic:
            logs = zip(form.slopes, (math.log(1 + taken), math.log(1 + answered)), strict=True)
            expected.append(math.exp(form.constant + sum(slope * value for slope, value in logs)))
        else:
            expected.append(form.constant + form.slopes[0] * taken + form.slopes[1] * answered)
    ratio = made.group_medians_s[0] / made.group_medians_s[1]
    assert ratio == pytest.approx(expected[0] / expected[1])
    assert made.fitted_costs is not None
    assert made.fitted_costs.predictor == "neurosurgeon"
    assert "Neurosurgeon" in render(made, "table", width=120, color=False)


def test_a_regression_that_says_less_than_nothing_gives_way() -> None:
    (family,) = dense_costs().families
    below = dataclasses.replace(family.paper[0], constant=-1.0, slopes=(0.0, 0.0))
    errors = tuple(dataclasses.replace(one, log_error=0.0 if one.form == "linear" else 1.0) for one in family.errors)
    costs = dataclasses.replace(family, paper=(below, family.paper[1]), errors=errors)
    variables = [{"input neurons": 100.0, "output neurons": 50.0}]
    seconds, _ = predict_by_paper(costs, variables)
    assert seconds == pytest.approx(paper_s(family.paper[1], variables))
    assert seconds > 0


def predicted(
    times_s: tuple[float, ...] = (0.010, 0.001, 0.004),
    *,
    width: float = 0.3,
    shared: float = 0.0,
    form: str = "ensemble",
    beyond: tuple[str, ...] = (),
    powers_w: tuple[float | None, ...] = (None, None, None),
    **changes: object,
) -> Profile:
    """A predicted profile made by hand."""
    groups = tuple(
        KernelGroup(
            layers=(index,),
            kernels=1,
            samples_s=(seconds,),
            prediction=Prediction(
                low_s=seconds * (1 - width),
                high_s=seconds * (1 + width),
                form=form,  # type: ignore[arg-type]
                beyond=beyond if index == 0 else (),
                power_w=watts,
            ),
        )
        for index, (seconds, watts) in enumerate(zip(times_s, powers_w, strict=True))
    )
    fields: dict[str, object] = {
        "source": "predicted",
        "stopped": "not measured",
        "whole_s": (sum(times_s),),
        "profiled_s": (sum(times_s),),
        "reference_s": (),
        "precision_reached": None,
        "shared_error": shared,
        "fitted_costs": FittedCosts(
            created_at="2026-01-01T00:00:00+00:00", networks=500, runtime_version="1", processor="a processor"
        ),
    }
    made = synthetic.profile(times_s=times_s, rounds=1, **(fields | changes))  # type: ignore[arg-type]
    return made.model_copy(update={"groups": groups})


def test_networks_never_seen_take_what_their_law_says() -> None:
    costs = law_costs()
    assert len(costs.families) >= 8
    near = total = 0
    for network in harvested(100)[::3]:
        blocks = [ExecutedBlock(layers=(0,), kernels=network.kernels)]
        graph = synthetic.chain((10, 10), (1000,))
        try:
            told = predicted_profile(graph, synthetic.identity(), runtime_identity(), costs, blocks)
        except OffloadError:  # much of its time is in a kind that none of the others has
            continue
        near += abs(told.whole.value / network.whole_s[0] - 1) < 0.25
        total += 1
    assert total >= 4
    assert near >= total - 1, "a factor of 2, 8 or 1000 in any term would show in all of them"


def test_a_profile_from_costs_has_intervals_on_every_layer_and_comes_back() -> None:
    costs = dense_costs()
    kernels = (gemm(100, 200, 300), gemm(50, 500, 500), gemm(8, 1000, 1000))
    made = profile_of(costs, *kernels)
    assert made.source == "predicted"
    assert made.whole.value == pytest.approx(sum(roofline_law(kernel) for kernel in kernels) * 1.05 + 21.5e-6, rel=0.3)
    for number, group in enumerate(made.groups):
        time = made.time_of([number])
        assert group.prediction is not None
        assert group.prediction.low_s < time.value < group.prediction.high_s
        assert time.low < time.value < time.high
    assert Profile.from_json(made.to_json(), source="it") == made
    assert made.fitted_costs is not None
    assert made.fitted_costs.networks == costs.networks
    assert made.energy_of([0]) is None
    assert made.energy_source == "none"


def test_errors_of_layers_are_independent_and_the_shared_one_is_not() -> None:
    alone = predicted((0.01, 0.01, 0.01), width=0.3)
    whole = alone.time_of([0, 1, 2])
    assert whole.high - whole.value == pytest.approx(TO_95_PERCENT * 0.003 * 3**0.5, rel=1e-3)
    together = predicted((0.01, 0.01, 0.01), width=0.0, shared=0.2)
    assert together.whole.high == pytest.approx(0.03 * (1 + TO_95_PERCENT * 0.2), rel=1e-3)
    assert together.time_of([1]).high == pytest.approx(0.01 * (1 + TO_95_PERCENT * 0.2), rel=1e-3)


@pytest.mark.parametrize("side", ["device", "server"])
def test_a_plans_intervals_are_of_95_percent_on_either_side(side: str) -> None:
    plan = synthetic.plan(**{side: predicted(width=0.0, shared=0.2)})
    told = plan.device_only.breakdown.device_s if side == "device" else plan.server_only.breakdown.server_s
    assert told.value == pytest.approx(0.015)
    assert told.high - told.value == pytest.approx(TO_95_PERCENT * 0.2 * 0.015, rel=1e-3)
    assert told.value - told.low == pytest.approx(TO_95_PERCENT * 0.2 * 0.015, rel=1e-3)
    (warning,) = [text for text in plan.warnings if "predicted from fitted costs" in text]
    assert "within ±24 % in 95 % of cases" in warning


def test_kinds_without_samples_are_named_with_their_share() -> None:
    costs = dense_costs()
    with pytest.raises(OffloadError, match=r"no samples of softmax \(\d+ % of the time\)") as raised:
        profile_of(costs, gemm(10, 10, 10), plain("Softmax", (2000, 2000)))
    assert "--budget" in raised.value.hint
    some = profile_of(costs, gemm(1000, 1000, 1000), plain("Softmax", (2, 20)))
    assert 0 < some.unknown_share < 0.1
    (unknown,) = [group.prediction for group in some.groups if group.prediction and group.prediction.form == "unknown"]
    assert unknown.high_s > 4 * unknown.low_s


def test_extrapolated_layers_are_flagged() -> None:
    made = profile_of(dense_costs(), gemm(100, 200, 300), gemm(100_000, 4000, 4000))
    assert made.groups[0].prediction is not None
    assert "rows" not in made.groups[0].prediction.beyond
    assert made.groups[1].prediction is not None
    assert "rows" in made.groups[1].prediction.beyond
    assert made.beyond_share > 0.9


def test_power_of_kinds_makes_energy_and_a_declared_power_beats_it() -> None:
    made = predicted(powers_w=(200.0, 100.0, 50.0))
    assert made.energy_source == "modelled"
    first = made.energy_of([0])
    assert first is not None
    assert first.value == pytest.approx(2.0)
    whole = made.energy_of([0, 1, 2])
    assert whole is not None
    assert whole.value == pytest.approx(2.0 + 0.1 + 0.2)
    assert whole.low < whole.value < whole.high
    assert made.group_energies_j == pytest.approx((2.0, 0.1, 0.2))
    nothing = made.energy_of([])
    assert nothing is not None
    assert nothing.value == 0
    declared = predicted(powers_w=(200.0, 100.0, 50.0), power_w=3.0)
    energy = declared.energy_of([0])
    assert energy is not None
    assert energy.value == pytest.approx(0.03)
    assert predicted(powers_w=(200.0, None, 50.0)).energy_source == "none"


def test_costs_with_power_give_a_profile_with_energy() -> None:
    costs = dense_costs()
    families = tuple(dataclasses.replace(family, power_w=150.0) for family in costs.families)
    powered = costs.model_copy(update={"families": families, "power_source": "rapl: RAPL", "idle_power_w": 30.0})
    made = profile_of(powered, gemm(100, 200, 300), plain("Reshape", (100, 300)))
    energy = made.energy_of([0, 1])
    assert energy is not None
    assert energy.value == pytest.approx(150.0 * made.whole.value)
    assert made.idle_power_w == 30.0
    text = render(made, "table", width=200)
    assert "energy, modelled: power of each kind × time" in text
    assert "from what rapl: RAPL read of whole networks" in text


def test_the_report_says_predicted() -> None:
    made = predicted(shared=0.1, form="trend", beyond=("channels in", "height"))
    text = render(made, "table", width=200)
    assert text.splitlines()[0].endswith("onnxruntime, predicted from fitted costs)")
    assert "95 % interval" in text
    assert "channels in, height" in text
    assert "66.7 % of the time is in layers larger or smaller than any that was sampled" in text
    assert "the model was not run" in text
    for nonsense in ("load average", "dividing the model costs", "raw layer sum", "disturbed"):
        assert nonsense not in text


def test_records_tell_what_predicted_them() -> None:
    made = predicted(beyond=("rows",))
    rows = list(csv.DictReader(io.StringIO(render(made, "csv"))))
    assert [row["predicted_by"] for row in rows] == ["ensemble"] * 3
    assert [row["beyond_samples"] for row in rows] == ["rows", "", ""]
    assert float(rows[0]["median_low_s"]) == pytest.approx(0.010 - TO_95_PERCENT * 0.003, rel=1e-3)
    assert float(rows[0]["median_high_s"]) == pytest.approx(0.010 + TO_95_PERCENT * 0.003, rel=1e-3)
    measured = list(csv.DictReader(io.StringIO(render(synthetic.profile(), "csv"))))
    assert {row["predicted_by"] for row in measured} == {""}


def test_unknown_kinds_are_warned_of() -> None:
    text = render(predicted(form="unknown"), "table", width=200)
    assert "100.0 % of the time is in layers with kernels of no sampled kind (conv, activation, linear)" in text
    assert "no sample of its kind" in text


def test_another_version_and_another_processor_are_said() -> None:
    made = predicted()
    assert made.fitted_costs is not None
    older = made.model_copy(update={"fitted_costs": dataclasses.replace(made.fitted_costs, runtime_version="0.9")})
    assert "fitted under onnxruntime 0.9, 1 is installed" in render(older, "table", width=200)
    assert "of another processor (a processor)" in render(made, "table", width=200)
    same = dataclasses.replace(made.fitted_costs, processor=made.environment.processor)
    text = render(made.model_copy(update={"fitted_costs": same}), "table", width=200)
    assert "another processor" not in text
    assert "is installed" not in text


@pytest.mark.parametrize("width", [80, 120, 200])
def test_tables_fit_the_terminal(width: int) -> None:
    made = predicted(beyond=("channels in", "channels out", "height", "width"), powers_w=(1.0, 1.0, 1.0))
    for artifact in (made, law_costs()):
        for line in _tables(render(artifact, "table", width=width)):
            assert len(line) <= width, line


def _tables(text: str) -> list[str]:
    """Lines of tables; prose under them wraps by itself."""
    lines = text.splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("─")]
    found = []
    for rule in rules:
        for line in lines[rule - 1 :]:
            if not line.strip():
                break
            if "  " in line.strip() or line.startswith("─"):
                found.append(line)
    return found


@pytest.mark.parametrize("side", ["device", "server"])
def test_a_plan_takes_a_predicted_profile_on_either_side_and_says_so(side: str) -> None:
    times = (0.010, 0.001, 0.004) if side == "device" else (0.001, 0.0001, 0.0004)
    rough = predicted(times, beyond=("rows",))
    plan = synthetic.plan(**{side: rough})
    (warning,) = [text for text in plan.warnings if "predicted from fitted costs" in text]
    assert warning.startswith(f"the {side}'s times")
    assert "% of its time in layers beyond what was sampled" in warning
    assert (plan.device if side == "device" else plan.server).source == "predicted"
    assert not [text for text in synthetic.plan().warnings if "predicted" in text]
    assert "cpu, 1 thread, predicted" in render(plan, "table", width=200)


@pytest.mark.parametrize("side", ["device", "server"])
def test_wide_intervals_make_options_that_cannot_be_told_apart(side: str) -> None:
    times = (0.010, 0.001, 0.004) if side == "device" else (0.008, 0.001, 0.003)

    def made(width: float) -> int:
        problem = synthetic.problem(**{side: predicted(times, width=width, shared=width)})
        plan = make_plan(problem, planner=MinCut(), device_hash="d" * 64, server_hash="e" * 64)
        return len(plan.cannot_tell_apart)

    assert made(0.0) == 0
    assert made(0.9) > 0


def test_a_plan_for_energy_takes_the_power_of_kinds() -> None:
    device = predicted(powers_w=(3.0, 3.0, 3.0), idle_power_w=1.0)
    plan = synthetic.energy_plan(device=device)
    assert plan.chosen.breakdown.energy_source == "modelled"
    assert plan.device_only.breakdown.device_j is not None
    assert plan.device_only.breakdown.device_j.value == pytest.approx(0.045)


def test_a_report_on_a_profile_of_any_source_has_a_title() -> None:
    assert "predicted from fitted costs" in profile_report(predicted()).title
    assert "predicted" not in profile_report(synthetic.profile()).title
