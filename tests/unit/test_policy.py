"""The policy table: what a choice costs, which is taken, and what is no policy."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from offload.artifacts.plan import Plan
from offload.artifacts.policy import Choice, Policy, Terms, runs
from offload.errors import OffloadError
from tests import synthetic


def choice(words: str, *stages: Terms, limited: tuple[Terms, ...] = ()) -> Choice:
    return Choice(device_runs=(), words=words, stages=stages, limited=limited)


def test_a_figure_is_its_four_terms() -> None:
    terms = Terms(fixed=1.0, per_load=0.5, per_bit_s=4e6, radio=0.25)
    assert terms.at(uplink_bps=1e6, server_load=2.0, radio_fitted_to_bps=2e6) == 1 + 1 + 4 + 0.25
    assert terms.at(uplink_bps=4e6, server_load=2.0, radio_fitted_to_bps=2e6) == 1 + 1 + 1 + 0.125


def test_the_least_of_the_largest_stages_within_the_limits_is_taken() -> None:
    slow_link, slow_server = Terms(fixed=0.0, per_bit_s=1e6), Terms(fixed=0.0, per_load=1.0)
    here = choice("here", Terms(fixed=3.0), Terms(fixed=0.0), limited=(Terms(fixed=1.0),))
    there = choice("there", slow_link, slow_server, limited=(Terms(fixed=0.0, per_load=2.0),))
    policy = Policy(choices=(here, there), most=(5.0,))
    assert policy.best(uplink_bps=1e6, server_load=1.0) == there
    assert policy.best(uplink_bps=0.3e6, server_load=1.0) == here, "its link takes 3.3 s"
    assert policy.best(uplink_bps=1e6, server_load=2.5) == there, "exactly what is allowed"
    assert policy.best(uplink_bps=1e6, server_load=2.6) == here, "5.2 is more than allowed"
    assert dataclasses.replace(policy, most=(0.5,)).best(uplink_bps=1e6, server_load=1.0) is None


def test_runs_of_layers() -> None:
    assert runs([5, 0, 1, 2, 7, 8]) == ((0, 2), (5, 5), (7, 8))
    assert runs([]) == ()
    layers = Choice(device_runs=((0, 2), (5, 5), (7, 8)), words="", stages=(Terms(fixed=0.0),)).device_layers
    assert layers == (0, 1, 2, 5, 7, 8)


@pytest.mark.parametrize("target", ["latency", "throughput"])
def test_a_policy_survives_the_artifact(target: str) -> None:
    plan = synthetic.plan(target=target)
    again = Plan.from_json(plan.to_json(), source="plan.json")
    assert plan.policy is not None
    assert again.policy == plan.policy
    assert again.policy.best(uplink_bps=3e6, server_load=1.7) == plan.policy.best(uplink_bps=3e6, server_load=1.7)


def changed(*where: Any, to: Any) -> str:
    """A plan's document with one value of its policy replaced."""
    document = json.loads(synthetic.energy_plan().to_json())
    place = document["policy"]
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = to
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed("choices", 0, "stages", 0, "fixed", to=float("nan")), "NaN is not JSON"),
        (changed("choices", 0, "stages", 0, "fixed", to=None), "policy.choices.0.stages.0.fixed"),
        (changed("choices", 0, "stages", 0, "per_load", to="much"), "policy.choices.0.stages.0.per_load"),
        (changed("choices", 0, "stages", 0, "per_bit_s", to=1e31), "policy.choices.0.stages.0.per_bit_s"),
        (changed("choices", 0, "stages", 0, "radio", to=-1e300), "policy.choices.0.stages.0.radio"),
        (changed("choices", 0, "stages", 0, "invented", to=1.0), "policy.choices.0.stages.0.invented"),
        (changed("choices", 0, "stages", to=[]), "a choice has no cost"),
        (changed("choices", 0, "stages", to=[{"fixed": 1.0}] * 2), "different numbers of stages"),
        (changed("choices", 0, "limited", to=[{"fixed": 1.0}]), "another number of limited figures"),
        (changed("choices", 0, "device_runs", to=[[2, 1]]), "not in order"),
        (changed("choices", 0, "device_runs", to=[[0, 2], [2, 3]]), "not in order"),
        (changed("choices", 0, "device_runs", to=[[0, 10**12]]), "policy.choices.0.device_runs.0.1"),
        (changed("choices", 0, "device_runs", to=[[-1, 2]]), "policy.choices.0.device_runs.0.0"),
        (changed("choices", to=[]), "a row of a choice that it does not have"),
        (changed("by_uplink", 0, "choice", to=99), "a row of a choice that it does not have"),
        (changed("by_uplink", 0, "slowest_uplink_bps", to=0), "policy.by_uplink.0.slowest_uplink_bps"),
        (changed("radio_fitted_to_bps", to=None), "terms of a radio without the rate"),
        (changed("radio_fitted_to_bps", to=-1.0), "policy.radio_fitted_to_bps"),
        (changed("most", to=[-1.0]), "policy.most.0"),
        (changed("gap", to=-0.1), "policy.gap"),
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(OffloadError) as raised:
        Plan.from_json(text, source="plan.json")
    assert raised.value.message.startswith("plan.json is damaged")
    assert message in raised.value.message
    assert "\n" not in raised.value.message
    assert "offload plan" in raised.value.hint


def test_ranges_of_an_earlier_version_are_left_out() -> None:
    document = json.loads(synthetic.plan().to_json())
    row = {
        "slowest_uplink_bps": 1e4, "fastest_uplink_bps": 1e11, "least_server_load": 1.0, "most_server_load": 1.0,
        "device_layers": [0], "words": "run layer0 here",
    }  # fmt: skip
    document["policy"] = {"by_uplink": [row], "by_load": [], "notes": []}
    assert Plan.from_json(json.dumps(document), source="plan.json").policy is None
