"""What each baseline does that others do not: tiles as supervision's, frames that are worth sending, an oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from supervision import InferenceSlicer

from offload.artifacts.video_profile import Setting
from offload.training.recipes.frame_filter import answer_holds, made_examples, train
from offload.video.boxes import NO_BOXES, areas
from offload.video.detections import Detections
from offload.video.methods.base import Ask, whole_frame
from offload.video.methods.catalogue import Scene, make_method
from offload.video.methods.frame_filter import FrameFilter
from offload.video.methods.micro_classifier import (
    EMBEDDED,
    FEATURES,
    HIGH,
    KIND,
    SHAPES,
    WIDE,
    embedded,
    features_of,
    look_at,
)
from offload.video.methods.tiles import OVERLAP, best_tiles, tile_boxes
from offload.video.partitioning import ServerCost
from offload.video.proposals.weights_file import read_weights, weights_bytes
from offload.video.truth import FrameTruth

COST = ServerCost(fixed_s=1e-3, seconds_per_pixel=1e-8)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(30, 3000), height=st.integers(30, 2000), wide=st.integers(10, 1500), high=st.integers(10, 1500)
)
def test_tiles_are_those_of_supervision(width: int, height: int, wide: int, high: int) -> None:
    tile = min(wide, width), min(high, height)
    overlap = int(OVERLAP * tile[0]), int(OVERLAP * tile[1])
    theirs = InferenceSlicer._generate_offset((width, height), tile, overlap)
    np.testing.assert_array_equal(tile_boxes(width, height, tile), theirs)


def test_tiles_are_as_large_as_the_servers_can_take_at_once() -> None:
    for count in (1, 2, 3, 4, 6):
        tiles = best_tiles((COST,) * count, 2560, 1440, 32)
        assert len(tiles) == count
        assert areas(tiles).sum() <= 2560 * 1440 * 1.6
    unequal = best_tiles((COST, ServerCost(fixed_s=1e-3, seconds_per_pixel=3e-8)), 2560, 1440, 32)
    assert len(unequal) > 2  # the faster server takes several


def test_tiles_show_an_object_once_though_two_have_it() -> None:
    method = make_method(
        "tiles", Scene(setting=Setting(servers=2), width=640, height=480, multiple=16, servers=(COST, COST))
    )
    frame = np.zeros((480, 640, 3), np.uint8)
    plan = method.plan(0, frame)
    assert len(plan.asks) == 2
    middle = Detections(boxes=np.array([[310.0, 230, 330, 250]]), scores=np.array([0.8]), labels=np.array([0]))
    assert len(method.take(plan, [(ask, middle) for ask in plan.asks])) == 1


def _picture(seed: int = 0) -> np.ndarray:
    """With details that a small picture still shows."""
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 255, (90, 160, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((1280, 720), Image.Resampling.BICUBIC))


def test_a_frame_like_the_last_one_is_not_sent_and_another_one_is() -> None:
    method = FrameFilter(classifier=embedded(), width=1280, height=720, servers=(COST,))
    found = Detections(boxes=np.array([[600.0, 300, 660, 360]]), scores=np.ones(1), labels=np.zeros(1, np.int64))
    first = method.plan(0, _picture())
    assert [ask.pixels for ask in first.asks] == [1280 * 720]
    method.take(first, [(first.asks[0], found)])
    same = method.plan(1, _picture())
    assert same.asks == ()
    np.testing.assert_array_equal(method.take(same, []).boxes, found.boxes)
    assert method.plan(2, _picture(1)).asks


def test_a_frame_that_was_not_answered_is_asked_about_again() -> None:
    method = FrameFilter(classifier=embedded(), width=1280, height=720, servers=(COST,))
    for number in range(3):
        plan = method.plan(number, _picture())
        assert plan.asks
        assert len(method.take(plan, [])) == 0


@pytest.mark.parametrize(("right", "down"), [(0, 0), (24, 0), (-40, 16), (8, -60)])
def test_a_camera_that_pans_is_known_for_it(right: int, down: int) -> None:
    whole = np.pad(_picture(), ((100, 100), (100, 100), (0, 0)), mode="reflect")
    sent = look_at(np.ascontiguousarray(whole[100:820, 100:1380]))
    now = look_at(np.ascontiguousarray(whole[100 - down : 820 - down, 100 - right : 1380 - right]))
    boxes = np.array([[600.0, 300, 650, 350]])
    features = features_of(sent, now, waited=1, boxes=boxes, width=1280, height=720)
    assert features.shape == (FEATURES,)
    assert np.expm1(features[1]) * 50 == pytest.approx(np.hypot(right, down), abs=3)


@pytest.mark.parametrize("size", [(1440, 2560), (180, 320), (64, 64), (96, 4000)])
def test_any_frame_has_a_look_of_one_size(size: tuple[int, int]) -> None:
    look = look_at(np.full((*size, 3), 255, np.uint8))
    assert look.shape == (HIGH, WIDE)
    assert look.min() == 1
    assert np.isfinite(features_of(look, look, waited=1, boxes=NO_BOXES, width=size[1], height=size[0])).all()


def test_an_answer_holds_while_objects_are_about_where_they_were() -> None:
    def truth(*lefts: float) -> FrameTruth:
        boxes = np.array([[left, 0.0, left + 40, 40] for left in lefts]).reshape(-1, 4)
        count = len(lefts)
        return FrameTruth(boxes=boxes, labels=np.zeros(count, np.int64), ids=np.arange(count), visible=np.ones(count))

    assert answer_holds(truth(0, 100), truth(4, 104))
    assert not answer_holds(truth(0, 100), truth(30, 104))
    assert not answer_holds(truth(0), truth(0, 100))
    assert answer_holds(truth(), truth())
    assert not answer_holds(truth(), truth(5))


def test_the_shipped_filter_is_what_its_recipe_says() -> None:
    weights = read_weights(EMBEDDED, SHAPES, KIND)
    assert weights_bytes(weights, KIND) == EMBEDDED.read_bytes()
    assert weights.recipe["caught"] > 0.8


@pytest.mark.slow
def test_the_shipped_filter_tells_stale_answers_of_clips_that_it_has_not_seen() -> None:
    features, stale = made_examples("test", 2)
    told = embedded().stale(features)
    assert told[stale].mean() > 0.7
    assert told[~stale].mean() < told[stale].mean() - 0.3


def test_an_oracle_asks_where_objects_are_going_to_be() -> None:
    boxes = [np.array([[100.0, 100, 140, 140]]), np.array([[400.0, 300, 440, 340]])]
    truth = [
        FrameTruth(boxes=each, labels=np.zeros(1, np.int64), ids=np.zeros(1, np.int64), visible=np.ones(1))
        for each in boxes
    ]
    scene = Scene(
        setting=Setting(servers=1, interval=0, expansion=0.1), width=640, height=480, multiple=16, servers=(COST,),
        truth=truth,
    )  # fmt: skip
    method = make_method("oracle", scene)
    for number, box in enumerate(boxes):
        plan = method.plan(number, np.zeros((480, 640, 3), np.uint8))
        assert len(plan.asks) == 1
        assert (plan.asks[0].region[0, :2] <= box[0, :2] - 4).all()
        assert (plan.asks[0].region[0, 2:] >= box[0, 2:] + 4).all()
        method.take(plan, [])


def test_the_full_frame_goes_to_the_server_that_is_fastest_now() -> None:
    slow = ServerCost(fixed_s=1e-3, seconds_per_pixel=9e-8)
    scene = Scene(setting=Setting(servers=2), width=640, height=480, multiple=16, servers=(slow, COST))
    method = make_method("whole", scene)
    frame = np.zeros((480, 640, 3), np.uint8)
    assert method.plan(0, frame).asks[0].server == 1
    method.servers = (COST, slow)
    plan = method.plan(1, frame)
    assert plan.asks[0].server == 0
    np.testing.assert_array_equal(plan.asks[0].region, whole_frame(640, 480))
    found = Detections(boxes=np.array([[1.0, 2, 3, 4]]), scores=np.ones(1), labels=np.zeros(1, np.int64))
    assert len(method.take(plan, [(Ask(server=0, region=whole_frame(640, 480)), found)])) == 1


@pytest.mark.slow
def test_the_recipe_gives_the_same_filter_twice_and_it_learns() -> None:
    first, second = train(2), train(2)
    assert first.weights.sha256 == second.weights.sha256
    features, stale = made_examples("validation", 2)
    logits = first.logits(features)
    pairs = logits[stale][:, None] > logits[~stale][None]
    assert pairs.mean() > 0.75  # of a stale and a good answer it tells which is which
