"""What stands in a plan beside the ranking: baselines, cold start, battery, servers, warnings."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from offload.artifacts.estimate import Estimate
from offload.artifacts.link import Link
from offload.artifacts.plan import Plan, requests_per_charge
from offload.errors import OffloadError, UsageError
from offload.graph.cuts import Cut
from offload.graph.model_graph import ModelGraph
from offload.planners import costs
from offload.planners.base import Constraints
from offload.planners.layer_names import layer_index
from offload.planners.plan import PLANNERS, best_plan, load_planner, make_plan
from offload.predictors.radios import load_radio
from tests import synthetic


def warnings(**changes: Any) -> str:
    return "\n".join(synthetic.plan(**changes).warnings)


@pytest.mark.parametrize("stopped", ["interrupted", "time cap"])
def test_a_profile_that_ended_early_is_told(stopped: str) -> None:
    assert f"the device's profile ended ({stopped})" in warnings(device=synthetic.profile(stopped=stopped))
    assert "profile ended" not in warnings(device=synthetic.profile(stopped="precision"))


def test_a_radio_beyond_its_fit_is_told() -> None:
    fast = Link(uplink_bps=450e6, downlink_bps=450e6, rtt_s=0.0)
    within = Link(uplink_bps=18e6, downlink_bps=18e6, rtt_s=0.0)
    device = synthetic.profile(power_w=3.2)
    told = warnings(device=device, link=fast, radio=load_radio("wifi"))
    assert "up to 18.88 Mbit/s up and 54.97 Mbit/s down and held there" in told
    assert "held there" not in warnings(device=device, link=within, radio=load_radio("wifi"))


def test_untrained_weights_are_told() -> None:
    untrained = synthetic.profile(model=synthetic.identity(untrained=True))
    assert "untrained weights" in warnings(device=untrained)
    assert "untrained weights" not in warnings()


def heavy(weight_bytes: int) -> ModelGraph:
    """A chain whose layers each have that many bytes of weights."""
    graph = synthetic.chain()
    return dataclasses.replace(
        graph, layers=tuple(dataclasses.replace(layer, weight_bytes=weight_bytes) for layer in graph.layers)
    )


def test_the_cold_start_by_hand() -> None:
    graph = heavy(1_000_000)
    plan = synthetic.plan(
        device=synthetic.profile(graph),
        server=synthetic.profile(graph, (0.001, 0.0001, 0.0004)),
        link=Link(uplink_bps=80e6, downlink_bps=80e6, rtt_s=0.0),
    )
    cold = plan.cold_start
    assert plan.chosen.place == "server"
    assert cold is not None
    assert 3_000_000 <= cold.tail_bytes < 3_000_200, "three layers of a megabyte, and their names"
    assert cold.upload_s.value == pytest.approx(0.3, rel=1e-3), "3 MB at 80 Mbit/s"
    saved_s = 0.015 - (0.0015 + 4000 * 8 / 80e6 + 40 * 8 / 80e6)
    assert cold.pays_after == 23
    assert 22 * saved_s < cold.upload_s.value <= 23 * saved_s


def test_a_cold_start_that_never_pays_and_one_that_is_not_needed() -> None:
    faster_here = synthetic.plan(
        target="energy", paper_energy=True, radio=load_radio("wifi"),
        device=synthetic.profile(times_s=(0.001, 0.001, 0.001), power_w=100.0),
        link=Link(uplink_bps=10e6, downlink_bps=10e6, rtt_s=0.0),
    )  # fmt: skip
    assert faster_here.chosen.place == "server"
    assert faster_here.cold_start is not None
    assert faster_here.cold_start.pays_after is None
    assert synthetic.plan(link=Link(uplink_bps=1e4, downlink_bps=1e4, rtt_s=0.0)).cold_start is None


def test_requests_on_a_charge_with_their_interval() -> None:
    plan = synthetic.energy_plan(battery_j=41_580.0)
    energy = plan.chosen.breakdown.energy_j
    assert energy is not None
    assert plan.requests_per_charge is not None
    assert plan.requests_per_charge.value == pytest.approx(41_580.0 / energy.value)
    option = dataclasses.replace(
        plan.device_only,
        breakdown=dataclasses.replace(
            plan.device_only.breakdown,
            device_j=Estimate(value=2.0, low=1.0, high=4.0), radio_j=Estimate.exactly(0.0), download_j=None,
        ),
    )  # fmt: skip
    assert requests_per_charge(8.0, option) == Estimate(value=4.0, low=2.0, high=8.0)


def test_a_battery_needs_the_energy() -> None:
    with pytest.raises(OffloadError, match="--battery needs the device's energy"):
        synthetic.plan(battery_j=1.0)


def test_the_best_server_is_taken_whatever_the_order() -> None:
    slow, fast = synthetic.plan(server_load=5.0), synthetic.plan()
    for order in ([slow, fast], [fast, slow]):
        best = best_plan(order)
        assert best.chosen == fast.chosen
        assert [offer.server.load for offer in best.other_servers] == [5.0]
        assert best.other_servers[0].best == slow.chosen
    assert best_plan([fast]).other_servers == ()


def test_a_plan_is_marked_when_it_does_not_beat_device_only() -> None:
    assert not synthetic.plan().do_not_offload
    slow = Link(uplink_bps=1e4, downlink_bps=1e4, rtt_s=0.0)
    assert synthetic.plan(link=slow).do_not_offload
    forced = synthetic.plan(link=slow, constraints=Constraints(pins={2: "server"}))
    assert forced.offloads
    assert forced.do_not_offload


def test_baselines_that_the_limits_rule_out_are_named() -> None:
    assert synthetic.plan().ruled_out == ()
    assert synthetic.plan(constraints=Constraints(pins={2: "server"})).ruled_out == ("device",)
    assert synthetic.plan(constraints=Constraints(private_depth=0)).ruled_out == ("server",)
    assert synthetic.plan(constraints=Constraints(max_latency_s=0.010)).ruled_out == ("device",)


def test_loads_are_told_of_both_sides() -> None:
    plan = synthetic.plan(device_load=2.0, server_load=3.0)
    assert (plan.device.load, plan.server.load) == (2.0, 3.0)
    assert plan.device_only.breakdown.latency_s.value == pytest.approx(0.030)
    assert plan.server_only.breakdown.server_s.value == pytest.approx(0.0045)


def test_intervals_are_worked_out_for_the_options_kept_only(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = synthetic.chain(floats=[1000] * 301, flops=[1000] * 300)
    device, server = (synthetic.profile(graph, [time] * 300) for time in (1e-3, 1e-4))
    seen: list[Cut] = []
    exact = costs.predict
    monkeypatch.setattr(costs, "predict", lambda problem, cut, coding: seen.append(cut) or exact(problem, cut, coding))
    for planner in PLANNERS.values():
        seen.clear()
        plan = make_plan(
            synthetic.problem(device=device, server=server), planner=planner, device_hash="d", server_hash="e"
        )
        assert plan.considered == 301
        assert len(seen) < 100


def test_neurosurgeons_choice_is_kept_when_the_exact_one_is_better() -> None:
    """Of two branches the second in order belongs here, which no prefix can give."""
    tensor, layer = synthetic.chain().tensors[0], synthetic.chain().layers[0]
    sizes = {"input": 1000, "there": 100_000, "here": 10, "end": 10}
    reads = {"there": ("input",), "here": ("input",), "end": ("there", "here")}
    graph = ModelGraph(
        tensors=tuple(dataclasses.replace(tensor, name=name, shape=(size,)) for name, size in sizes.items()),
        layers=tuple(
            dataclasses.replace(layer, name=f"layer-{name}", inputs=inputs, outputs=(name,))
            for name, inputs in reads.items()
        ),
        inputs=("input",),
        outputs=("end",),
    )
    problem = synthetic.problem(
        device=synthetic.profile(graph, (0.5, 0.001, 0.5)),
        server=synthetic.profile(graph, (0.001, 0.5, 0.001)),
        link=Link(uplink_bps=1e6, downlink_bps=1e6, rtt_s=0.0),
    )
    exact, paper = (
        make_plan(problem, planner=PLANNERS[name], device_hash="d", server_hash="e")
        for name in ("mincut", "neurosurgeon")
    )
    assert exact.exact
    assert exact.chosen.device_layers == (1,)
    assert exact.paper_choice == paper.chosen
    assert paper.chosen.device_layers == ()
    assert paper.paper_choice is None


def test_a_plan_of_an_earlier_version_still_loads() -> None:
    document = json.loads(synthetic.energy_plan().to_json())
    new = (
        "do_not_offload",
        "exact",
        "legal_cuts",
        "bound",
        "notes",
        "policy",
        "paper_energy",
        "limits",
        "ruled_out",
        "paper_choice",
    )
    for name in (*new, "other_servers", "pareto", "battery_j", "requests_per_charge", "cold_start"):
        del document[name]
    for side in ("device", "server"):
        del document[side]["load"]
    for name in ("down_alpha_w_per_bps", "down_fitted_to_bps", "whole_device"):
        del document["radio"][name]
    for option in (document["chosen"], document["device_only"], document["server_only"], *document["alternatives"]):
        for name in ("period_s", "idle_j", "download_j"):
            del option["breakdown"][name]
    plan = Plan.from_json(json.dumps(document), source="plan.json")
    energy, parts = plan.chosen.breakdown.energy_j, plan.chosen.breakdown
    assert energy is not None
    assert parts.device_j is not None
    assert parts.radio_j is not None
    assert energy.value == parts.device_j.value + parts.radio_j.value


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("battery_j",), -1.0),
        (("bound",), -1.0),
        (("legal_cuts",), 0),
        (("server", "load"), 0.0),
        (("limits",), {"max_latency_s": -0.1}),
        (("cold_start", "tail_bytes"), -5),
        (("cold_start", "pays_after"), 0),
        (("radio",), {"name": "x", "alpha_w_per_bps": 1.0, "beta_w": -1.0, "fitted_to_bps": 1.0, "source": "x"}),
        (("limits",), {"pins": {"conv1": "phone"}}),
    ],
)
def test_absurd_values_are_refused(place: tuple[str, ...], value: object) -> None:
    document = json.loads(synthetic.plan().to_json())
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(OffloadError, match=f"plan.json is damaged at {place[0]}"):
        Plan.from_json(json.dumps(document), source="plan.json")


def test_layers_and_planners_nobody_knows_name_near_ones() -> None:
    graph = synthetic.chain()
    assert layer_index(graph, "layer1", asked_by="--pin") == 1
    with pytest.raises(OffloadError) as raised:
        layer_index(graph, "Layer_1", asked_by="--pin")
    assert "layer1" in raised.value.hint
    with pytest.raises(OffloadError) as raised:
        layer_index(graph, "zzz", asked_by="--pin")
    assert raised.value.hint == "its layers run from layer0 to layer2"
    with pytest.raises(UsageError) as usage:
        load_planner("neurosurgion")
    assert usage.value.hint == "planners: neurosurgeon"
