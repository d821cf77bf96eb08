"""ELF's small stages: indexing, expansion, compensation and merging."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from offload.video.boxes import NO_BOXES, as_boxes, moved
from offload.video.compensation import Compensation, newly_found
from offload.video.detections import Detections
from offload.video.expansion import expanded
from offload.video.indexing import NEW, indexed
from offload.video.merging import merged, suppressed

Boxes = NDArray[np.float64]
WIDTH, HEIGHT = 1000, 500


def detections(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """Left, top, right, bottom, score and label of each."""
    return Detections(
        boxes=as_boxes(row[:4] for row in rows),
        scores=np.array([row[4] for row in rows], np.float64),
        labels=np.array([row[5] for row in rows], np.int64),
    )


def random_boxes(rng: np.random.Generator, count: int, spread: float = 60) -> Boxes:
    """Crowded, so that many boxes fit each other."""
    middles = np.array([400, 200]) + rng.uniform(0, spread, (count, 2))
    sides = rng.uniform(5, 300, (count, 2))
    return np.concatenate([middles - sides / 2, middles + sides / 2], axis=1)


def one_by_one(before: Boxes, now: Boxes) -> list[int]:
    """The published rule, written out."""
    taken: set[int] = set()
    found = [NEW] * len(now)

    def area(box: NDArray[np.float64]) -> float:
        return float((box[2] - box[0]) * (box[3] - box[1]))

    for index in sorted(range(len(now)), key=lambda each: area(now[each])):
        fits = []
        for other in set(range(len(before))) - taken:
            moved_x = abs(now[index][0] + now[index][2] - before[other][0] - before[other][2]) / 2
            moved_y = abs(now[index][1] + now[index][3] - before[other][1] - before[other][3]) / 2
            changed = abs(area(now[index]) - area(before[other])) / (WIDTH * HEIGHT)
            if moved_x / WIDTH < 0.02 and moved_y / HEIGHT < 0.02 and changed < 0.2:
                fits.append(((moved_x / WIDTH) ** 2 + (moved_y / HEIGHT) ** 2, other))
        if fits:
            found[index] = min(fits)[1]
            taken.add(found[index])
    return found


@pytest.mark.parametrize("seed", range(30))
def test_indexing_is_the_published_greedy_rule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, now = (random_boxes(rng, int(rng.integers(0, 15))) for _ in range(2))
    found = indexed(before, now, width=WIDTH, height=HEIGHT)
    assert found.tolist() == one_by_one(before, now)
    matched = found[found != NEW]
    assert len(set(matched.tolist())) == len(matched)


@given(
    before=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 3)), max_size=7),
    now=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 3)), max_size=7),
    data=st.data(),
)
@settings(max_examples=100, deadline=None)
def test_indexing_does_not_depend_on_the_order_even_among_equals(
    before: list[tuple[int, int, int]], now: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    def pairs(some: list[tuple[int, int, int]], others: list[tuple[int, int, int]]) -> list[tuple[object, object]]:
        def placed(rows: list[tuple[int, int, int]]) -> Boxes:
            return as_boxes(
                (6 * x - 9 * side, 4 * y - 9 * side, 6 * x + 9 * side, 4 * y + 9 * side) for x, y, side in rows
            )

        found = indexed(placed(some), placed(others), width=WIDTH, height=HEIGHT)
        return sorted((others[index], some[which]) for index, which in enumerate(found) if which != NEW)

    assert pairs(before, now) == pairs(data.draw(st.permutations(before)), data.draw(st.permutations(now)))


def test_indexing_thresholds() -> None:
    before = as_boxes([(100, 100, 200, 200)])
    for right, down, same in ((19, 9, True), (21, 0, False), (0, 11, False), (-19, -9, True)):
        found = indexed(before, moved(before, right, down), width=WIDTH, height=HEIGHT)
        assert found.tolist() == [0 if same else NEW]
    large = as_boxes([(-20, 10, 320, 290)])  # of the same centre; 17 % of the frame's area more
    assert indexed(before, large, width=WIDTH, height=HEIGHT).tolist() == [0]
    assert indexed(before, large + np.array([-20, -20, 20, 20]), width=WIDTH, height=HEIGHT).tolist() == [NEW]


def test_indexing_of_nothing() -> None:
    box = as_boxes([(0, 0, 10, 10)])
    assert indexed(NO_BOXES, box, width=WIDTH, height=HEIGHT).tolist() == [NEW]
    assert indexed(box, NO_BOXES, width=WIDTH, height=HEIGHT).shape == (0,)


def test_expansion_in_pixels() -> None:
    boxes = as_boxes([(100, 100, 200, 150), (0, 480, 40, 500), (990, 0, 1010, 20)])
    found = expanded(boxes, 0.2, width=WIDTH, height=HEIGHT)
    np.testing.assert_allclose(found, [[80, 90, 220, 160], [0, 476, 48, 500], [986, 0, 1000, 24]])
    np.testing.assert_array_equal(expanded(boxes[:2], 0.0, width=WIDTH, height=HEIGHT), boxes[:2])
    assert expanded(NO_BOXES, 0.4, width=WIDTH, height=HEIGHT).shape == (0, 4)


def test_compensation_is_due_every_so_many_frames_from_the_first() -> None:
    third = Compensation(interval=3, ratio=0.4)
    assert [number for number in range(10) if third.due(number)] == [0, 3, 6, 9]
    assert all(Compensation(interval=1, ratio=1.0).due(number) for number in range(5))
    assert third.size(2560, 1440) == (1024, 576)
    assert third.size(1, 1) == (1, 1)


@pytest.mark.parametrize(("interval", "ratio"), [(0, 0.5), (3, 0.0), (3, 1.1), (3, float("nan"))])
def test_compensation_that_cannot_be(interval: int, ratio: float) -> None:
    with pytest.raises(ValueError, match="interval"):
        Compensation(interval=interval, ratio=ratio)


def test_new_objects_are_those_that_no_region_shows_whole() -> None:
    small = detections(
        (110, 110, 150, 150, 0.9, 1),  # inside the first region
        (98, 110, 138, 150, 0.8, 2),  # inside, but for the small frame's coarseness
        (180, 110, 220, 150, 0.7, 3),  # cut in half by the edge that both regions share
        (600, 300, 640, 340, 0.6, 4),  # outside
    )
    regions = as_boxes([(100, 100, 200, 200), (200, 100, 300, 200)])
    assert newly_found(small, regions).labels.tolist() == [3, 4]
    assert newly_found(small, NO_BOXES).labels.tolist() == [1, 2, 3, 4]
    assert len(newly_found(Detections.none(), regions)) == 0


@pytest.mark.filterwarnings("ignore:OpenCV:UserWarning")
@pytest.mark.parametrize("seed", range(20))
def test_suppression_is_supervisions(seed: int) -> None:
    from supervision.detection.utils.iou_and_nms import box_non_max_suppression

    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 60))
    found = Detections(
        boxes=random_boxes(rng, count, spread=200),
        scores=rng.permutation(count) / 100,
        labels=rng.integers(0, 3, count),
    )
    rows = np.concatenate([found.boxes, found.scores[:, None], found.labels[:, None]], axis=1)
    expected = box_non_max_suppression(rows, iou_threshold=0.5) if count else np.zeros(0, np.bool_)
    kept = suppressed(found)
    assert set(kept.tolist()) == set(np.flatnonzero(expected).tolist())
    assert (np.diff(found.scores[kept]) < 0).all()


def test_an_object_that_two_servers_show_whole_is_told_once() -> None:
    left, right = as_boxes([(0, 0, 600, 500)]), as_boxes([(400, 0, 1000, 500)])
    parts = [
        (left, detections((450, 100, 500, 150, 0.8, 7), (20, 20, 60, 60, 0.7, 1))),
        (right, detections((452, 101, 501, 152, 0.9, 7), (450, 100, 500, 150, 0.3, 2))),
    ]
    found = merged(parts, width=WIDTH, height=HEIGHT)
    assert sorted(zip(found.labels.tolist(), found.scores.tolist(), strict=True)) == [(1, 0.7), (2, 0.3), (7, 0.9)]


def test_a_box_cut_by_a_regions_edge_loses_to_the_whole() -> None:
    left, right = as_boxes([(0, 0, 600, 500)]), as_boxes([(400, 0, 1000, 500)])
    most = (left, detections((540, 100, 599, 200, 0.9, 7)))  # 59 of 80 pixels, of a higher score than the whole
    piece = (left, detections((540, 100, 599, 200, 0.9, 3)))  # taken for another class
    sliver = (left, detections((580, 100, 605, 200, 0.9, 7)))  # a quarter, told to reach a little beyond the region
    whole = (right, detections((540, 100, 620, 200, 0.6, 7)))
    beyond = (left, detections((520, 100, 599, 200, 0.9, 7)))  # by a quarter outside the whole
    for part in (most, piece, sliver, beyond):
        for parts in ([part, whole], [whole, part]):
            found = merged(parts, width=WIDTH, height=HEIGHT)
            assert (found.labels.tolist(), found.scores.tolist()) == ([7], [0.6])
    alone = merged([piece], width=WIDTH, height=HEIGHT)
    assert alone.scores.tolist() == [0.9]  # nothing better is known of it


def test_the_frames_own_edge_cuts_nothing() -> None:
    whole = as_boxes([(0, 0, WIDTH, HEIGHT)])
    parts = [
        (as_boxes([(0, 0, 600, 500)]), detections((0, 100, 50, 150, 0.8, 7))),
        (whole, detections((3, 101, 53, 152, 0.7, 7))),
    ]
    assert merged(parts, width=WIDTH, height=HEIGHT).scores.tolist() == [0.8]


def test_boxes_within_each_other_stay_where_no_edge_cuts_them() -> None:
    """A face on a screen is no piece of the screen, nor is a box that the same region shows beside a whole one."""
    region = as_boxes([(0, 0, 600, 500)])
    beside = detections((300, 100, 595, 400, 0.9, 1), (560, 200, 600, 300, 0.8, 2))
    assert len(merged([(region, beside)], width=WIDTH, height=HEIGHT)) == 2
    found = merged(
        [(region, detections((100, 100, 400, 400, 0.9, 1), (150, 150, 200, 200, 0.8, 2)))], width=WIDTH, height=HEIGHT
    )
    assert len(found) == 2


def test_merging_nothing() -> None:
    assert len(merged([], width=WIDTH, height=HEIGHT)) == 0
    assert len(merged([(NO_BOXES, Detections.none())], width=WIDTH, height=HEIGHT)) == 0
    assert len(merged([(as_boxes([(0, 0, 9, 9)]), Detections.none())] * 2, width=WIDTH, height=HEIGHT)) == 0


def test_new_finds_of_the_small_frame_replace_the_piece_that_a_region_shows() -> None:
    region, frame = as_boxes([(0, 0, 600, 500)]), as_boxes([(0, 0, WIDTH, HEIGHT)])
    piece, small = detections((560, 100, 600, 180, 0.8, 7)), detections((562, 98, 642, 180, 0.5, 7))
    parts = [(region, piece), (frame, newly_found(small, region))]
    assert merged(parts, width=WIDTH, height=HEIGHT).scores.tolist() == [0.5]
