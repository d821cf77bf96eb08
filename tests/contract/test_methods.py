"""What every way of offloading frames promises, whatever it sends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.artifacts.video_profile import Setting
from offload.errors import OffloadError
from offload.video.boxes import coverages, ious
from offload.video.detections import Detections
from offload.video.methods.base import Ask, FramePlan, Method
from offload.video.methods.catalogue import METHODS, Scene, make_method
from offload.video.partitioning import ServerCost
from offload.video.truth import FrameTruth
from tests.moving_squares import FRAMES, HEIGHT, WIDTH, frames_and_truth

every_method = pytest.mark.parametrize("name", list(METHODS))
COST = ServerCost(fixed_s=1e-3, seconds_per_pixel=1e-8)
SLOW = ServerCost(fixed_s=4e-3, seconds_per_pixel=4e-8)
SEEN_ALWAYS = Setting(servers=1, interval=1, ratio=0.5, expansion=0.3)
"""Everything is found small in each frame."""
LOOKS_AT_ALL = ("whole", "tiles", "strips")
CUTS_OBJECTS = ("strips", "tiles")
"""An object can be whole in none of its images, and a piece of it be left beside the whole."""


def _scene(servers: Sequence[ServerCost | None], setting: Setting = SEEN_ALWAYS, **changed: object) -> Scene:
    _, truth = frames_and_truth()
    told: dict[str, object] = {
        "setting": setting, "width": WIDTH, "height": HEIGHT, "multiple": 16, "servers": servers,
        "truth": truth.frames,
    }  # fmt: skip
    return Scene(**(told | changed))


def _perfect(plan: FramePlan, truth: FrameTruth) -> list[tuple[Ask, Detections]]:
    """What a detector that makes no mistake answers: what its image shows of each object; pieces are less sure."""
    answers = []
    for ask in plan.asks:
        left, top, right, bottom = ask.region[0]
        share = coverages(truth.boxes, ask.region)[:, 0]
        shown = share > 0.3
        boxes = np.clip(truth.boxes[shown], (left, top, left, top), (right, bottom, right, bottom))
        answers.append((ask, Detections(boxes=boxes, scores=0.9 * share[shown], labels=truth.labels[shown])))
    return answers


def _run(method: Method, lost: Sequence[int] = ()) -> tuple[list[FramePlan], list[Detections]]:
    """Over the clip with a perfect detector; of the frames `lost` no answer arrives."""
    frames, truth = frames_and_truth()
    plans, found = [], []
    for number, (frame, right) in enumerate(zip(frames, truth.frames, strict=True)):
        plan = method.plan(number, frame)
        plans.append(plan)
        found.append(method.take(plan, [] if number in lost else _perfect(plan, right)))
    return plans, found


@every_method
@pytest.mark.parametrize("servers", [(COST,), (COST, SLOW), (COST,) * 5, (SLOW, None, COST), (None, COST)])
def test_every_frame_is_answered_and_what_is_sent_lies_in_it(name: str, servers: tuple[ServerCost | None, ...]) -> None:
    plans, found = _run(make_method(name, _scene(servers)))
    assert len(found) == FRAMES
    for number, plan in enumerate(plans):
        assert plan.number == number
        for ask in plan.asks:
            left, top, right, bottom = ask.region[0]
            assert 0 <= left < right <= WIDTH
            assert 0 <= top < bottom <= HEIGHT
            assert (ask.region == np.round(ask.region)).all()
            assert 0 < ask.scale <= 1
            assert servers[ask.server] is not None
    assert plans[0].asks


@every_method
def test_nothing_is_asked_of_servers_that_are_all_gone_and_their_return_is_used(name: str) -> None:
    method = make_method(name, _scene((None, None)))
    frames, truth = frames_and_truth()
    plan = method.plan(0, frames[0])
    assert plan.asks == ()
    assert len(method.take(plan, [])) == 0
    method.servers = (None, COST)
    plan = method.plan(1, frames[1])
    assert {ask.server for ask in plan.asks} == {1}
    assert len(method.take(plan, _perfect(plan, truth.frames[1]))) == len(truth.frames[1].boxes)


@every_method
@pytest.mark.parametrize("servers", [1, 2, 5])
def test_no_object_is_lost_when_the_detector_makes_no_mistake(name: str, servers: int) -> None:
    plans, found = _run(make_method(name, _scene((COST,) * servers)))
    _, truth = frames_and_truth()
    shown = 0
    for number, (plan, one) in enumerate(zip(plans, found, strict=True)):
        shown = number if plan.asks else shown  # a frame that is not sent has the answer of the last one that was
        right = truth.frames[shown]
        if name in CUTS_OBJECTS:
            whole = coverages(right.boxes, np.concatenate([ask.region for ask in plan.asks])).max(axis=1) == 1
            right = FrameTruth(
                boxes=right.boxes[whole], labels=right.labels[whole], ids=right.ids[whole], visible=right.visible[whole]
            )
        same = (ious(right.boxes, one.boxes) > 0.9) & (right.labels[:, None] == one.labels[None])
        assert same.any(axis=1).all()
        if name not in CUTS_OBJECTS:
            assert len(one) == len(right.boxes)


@every_method
def test_a_frame_without_an_answer_does_not_end_it(name: str) -> None:
    method = make_method(name, _scene((COST, COST)))
    _, found = _run(method, lost=(0, 3, 4))
    _, truth = frames_and_truth()
    assert len(found) == FRAMES
    if name not in CUTS_OBJECTS:
        assert len(found[-1]) == len(truth.frames[-1].boxes)


@every_method
def test_the_same_clip_is_treated_alike_twice(name: str) -> None:
    runs = [_run(make_method(name, _scene((COST, SLOW, COST)))) for _ in range(2)]
    for (one, found), (other, again) in zip(*(zip(*run, strict=True) for run in runs), strict=True):
        assert [(ask.server, ask.region.tolist(), ask.scale) for ask in one.asks] == [
            (ask.server, ask.region.tolist(), ask.scale) for ask in other.asks
        ]
        np.testing.assert_array_equal(found.boxes, again.boxes)
        np.testing.assert_array_equal(found.scores, again.scores)


@every_method
def test_a_server_that_goes_is_not_asked_again(name: str) -> None:
    method = make_method(name, _scene((COST, COST)))
    frames, truth = frames_and_truth()
    for number, (frame, right) in enumerate(zip(frames, truth.frames, strict=True)):
        if number == 4:
            method.servers = (None, COST)
        plan = method.plan(number, frame)
        assert number < 4 or all(ask.server == 1 for ask in plan.asks)
        method.take(plan, _perfect(plan, right))


@every_method
def test_what_costs_least_is_asked_first_of_the_fast_server(name: str) -> None:
    plans, _ = _run(make_method(name, _scene((SLOW, COST))))
    pixels = [sum(ask.pixels for plan in plans for ask in plan.asks if ask.server == server) for server in (0, 1)]
    assert pixels[1] >= pixels[0]


@every_method
@settings(max_examples=15, deadline=None)
@given(
    width=st.integers(17, 400),
    height=st.integers(17, 400),
    multiple=st.sampled_from([1, 8, 32]),
    servers=st.lists(st.sampled_from([COST, SLOW]), min_size=1, max_size=6),
)
def test_frames_of_any_size_are_covered_or_cut_out_inside(
    name: str, width: int, height: int, multiple: int, servers: list[ServerCost]
) -> None:
    boxes = np.array([[0.0, 0, 9, 9], [width - 12.0, height - 12.0, width, height]])
    truth = [FrameTruth(boxes=boxes, labels=np.zeros(2, np.int64), ids=np.arange(2), visible=np.ones(2))] * 3
    method = make_method(name, _scene(servers, width=width, height=height, multiple=multiple, truth=truth))
    frame = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    for number in range(3):
        plan = method.plan(number, frame)
        regions = [ask.region for ask in plan.asks]
        for region in regions:
            assert (region[0, :2] >= 0).all()
            assert (region[0, 2:] <= (width, height)).all()
            assert (region[0, 2:] > region[0, :2]).all()
        if regions and name in LOOKS_AT_ALL:
            seen = np.zeros((height, width), bool)
            for left, top, right, bottom in np.concatenate(regions).astype(int):
                seen[top:bottom, left:right] = True
            assert seen.all()
        method.take(plan, _perfect(plan, truth[number]))


def test_an_oracle_without_truth_and_a_method_of_no_name_are_refused() -> None:
    with pytest.raises(OffloadError, match="no ground truth"):
        make_method("oracle", _scene((COST,), truth=None))
    with pytest.raises(OffloadError, match="no method is called 'magic'"):
        make_method("magic", _scene((COST,)))
