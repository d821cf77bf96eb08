"""The planner of cuts and codecs against brute force on random graphs."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings

from offload.artifacts.estimate import Estimate
from offload.artifacts.plan import Coding, Option
from offload.errors import VerdictError
from offload.graph.cuts import make_cut, single_tensor_cuts
from offload.planners.base import Constraints, Problem
from offload.planners.costs import make_option, predict
from offload.planners.deepcod import DeepCOD, accurate
from offload.planners.mincut import MinCut
from offload.planners.objective import objective
from tests import random_problems

INTACT = 0.9


def coding(rng: random.Random, name: str) -> Coding:
    size, change = rng.choice([10, 300, 9000]), rng.choice([0.0, -0.005, -0.03, 0.01])
    return Coding(
        codec=name,
        method=name.upper(),
        payload_bytes=Estimate(value=size, low=size * 0.8, high=size * 1.5),
        encode_s=Estimate.exactly(10 ** rng.uniform(-5, -1)),
        decode_s=Estimate.exactly(10 ** rng.uniform(-5, -1)),
        accuracy=INTACT + change,
        accuracy_change=Estimate(value=change, low=change - 0.01, high=change + 0.01),
    )


def problem(seed: int, **options: object) -> Problem:
    rng = random.Random(seed)
    plain = random_problems.problem(seed, **options)  # type: ignore[arg-type]
    names = [tensor.name for tensor in plain.graph.tensors]
    carried = rng.sample(names, min(len(names), rng.randint(0, 5)))
    codings = {name: tuple(coding(rng, f"c{number}") for number in range(rng.randint(1, 3))) for name in carried}
    return dataclasses.replace(plain, codings=codings, intact_accuracy=INTACT)


def all_options(of: Problem) -> list[Option]:
    """Brute force: every allowed cut as it is, and each that one tensor crosses with each of its codecs."""
    found = []
    for cut in random_problems.allowed_cuts(of):
        found.append(make_option(of, cut))
        if len(cut.crossing) == 1:
            found += [make_option(of, cut, each) for each in of.codings.get(cut.crossing[0], ())]
    return found


@pytest.mark.parametrize("target", ["latency", "energy", "throughput"])
@settings(max_examples=25, deadline=None)
@given(seed=random_problems.seeds)
def test_the_best_pair_of_cut_and_codec_is_found(target: str, seed: int) -> None:
    of = problem(seed, target=target)
    limits = random.Random(seed).choice([Constraints(), Constraints(max_accuracy_loss=0.01)])
    limits = dataclasses.replace(limits, pins=of.constraints.pins)
    of = dataclasses.replace(of, constraints=limits)
    ranked = DeepCOD().rank(of)
    expected = min(objective(of, option) for option in all_options(of) if accurate(of, option.coding))
    assert objective(of, ranked.options[0]) == pytest.approx(expected, rel=1e-9)
    assert ranked.exact


@settings(max_examples=25, deadline=None)
@given(seed=random_problems.seeds)
def test_pins_and_privacy_hold_for_codecs_too(seed: int) -> None:
    plain = problem(seed)
    of = dataclasses.replace(plain, constraints=random_problems.pins_and_privacy(seed, plain.graph))
    expected = [objective(of, option) for option in all_options(of)]
    if not expected:
        return
    assert objective(of, DeepCOD().rank(of).options[0]) == pytest.approx(min(expected), rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=random_problems.seeds)
def test_a_limit_that_no_plain_cut_keeps_may_be_kept_with_a_codec(seed: int) -> None:
    of = problem(seed, target="energy")
    seconds = sorted(option.breakdown.latency_s.value for option in all_options(of))
    most_s = seconds[len(seconds) // 10]
    of = dataclasses.replace(of, constraints=Constraints(max_latency_s=most_s))
    within = [o for o in all_options(of) if o.breakdown.latency_s.value <= most_s * (1 + 1e-9)]
    assert objective(of, DeepCOD().rank(of).options[0]) == pytest.approx(
        min(objective(of, o) for o in within), rel=1e-9
    )


@settings(max_examples=25, deadline=None)
@given(seed=random_problems.seeds)
def test_never_worse_than_the_cuts_without_codecs(seed: int) -> None:
    of = problem(seed)
    plain = objective(of, MinCut().rank(of).options[0])
    assert objective(of, DeepCOD().rank(of).options[0]) <= plain * (1 + 1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=random_problems.seeds)
def test_single_tensor_cuts_are_those_that_one_tensor_crosses(seed: int) -> None:
    of = random_problems.problem(seed)
    alone = {}
    for device in (cut.device for cut in random_problems.allowed_cuts(dataclasses.replace(of, device=of.device))):
        cut = make_cut(of.graph, device)
        if len(cut.crossing) == 1:
            alone.setdefault(cut.crossing[0], set()).add(device)
    for tensor in of.graph.tensors:
        found = {cut.device for cut in single_tensor_cuts(of.graph, tensor.name)}
        assert alone.get(tensor.name, set()) <= found  # those that tear a kernel are told as well


def test_nothing_accurate_enough_says_what_is_best() -> None:
    of = next(p for p in map(problem, range(100)) if any(single_tensor_cuts(p.graph, name) for name in p.codings))
    of = dataclasses.replace(of, constraints=Constraints(min_accuracy=0.99))
    with pytest.raises(VerdictError, match=r"the intact model reaches 90\.0%; of the codecs"):
        DeepCOD().rank(of)


@settings(max_examples=25, deadline=None)
@given(seed=random_problems.seeds)
def test_what_a_codec_adds_to_a_request(seed: int) -> None:
    """Each field by hand: a factor of 8 or 1000 in bytes, or a slowdown forgotten, would show."""
    of = problem(seed, target="energy")
    rng = random.Random(seed)
    cuts = [cut for cut in random_problems.allowed_cuts(of) if len(cut.crossing) == 1]
    if not cuts:
        return
    cut, used = rng.choice(cuts), coding(rng, "c")
    plain, coded = predict(of, cut), predict(of, cut, used)
    size = used.payload_bytes.value
    encoding_s = used.encode_s.value * of.device_slowdown * of.device_load
    assert coded.device_s == plain.device_s
    assert coded.server_s == plain.server_s
    assert coded.downlink_s == plain.downlink_s
    assert coded.encode_s.value == pytest.approx(of.protocol.encode.at(size).value + encoding_s)
    assert coded.decode_s.value == pytest.approx(
        of.protocol.decode.at(size).value + used.decode_s.value * of.server_load
    )
    assert coded.uplink_s.value == pytest.approx(of.link.uplink_s(round(size), of.protocol.uplink).value)
    assert coded.uplink_s.low <= coded.uplink_s.value <= coded.uplink_s.high
    assert of.radio is not None
    rate = of.link.uplink_bps
    assert coded.radio_j is not None
    sent_bytes = size + of.protocol.uplink.message_bytes
    assert coded.radio_j.value == pytest.approx(sent_bytes * 8 / rate * of.radio.uplink_w(rate))
    power_w = sum(of.device.group_energies_j or ()) / of.device.whole.value
    assert coded.device_j is not None
    assert plain.device_j is not None
    more_j = coded.device_j.value - plain.device_j.value
    assert more_j == pytest.approx(power_w * used.encode_s.value * of.device_slowdown)
    if coded.idle_j is not None and of.radio is not None and not of.radio.whole_device:
        away_s = coded.latency_s.value - coded.device_s.value - encoding_s
        assert coded.idle_j.value == pytest.approx((of.device.idle_power_w or 0) * away_s)
