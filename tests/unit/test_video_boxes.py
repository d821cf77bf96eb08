"""Arithmetic on boxes against counting pixels."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from offload.video import boxes as subject
from offload.video.boxes import as_boxes
from offload.video.detections import Detections

Boxes = NDArray[np.float64]

GRID = 12
"""Pixels of a side of the grids that are counted on."""


def edges(least: int, most: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(least, most), st.integers(least, most)).map(lambda pair: (min(pair), max(pair)))


def some_boxes(least: int = 0, most: int = GRID, *, at_least: int = 0) -> st.SearchStrategy[Boxes]:
    """Boxes with whole edges, some without area."""
    box = st.tuples(edges(least, most), edges(least, most)).map(
        lambda pair: (pair[0][0], pair[1][0], pair[0][1], pair[1][1])
    )
    return st.lists(box, min_size=at_least, max_size=6).map(as_boxes)


def pixels(box: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the grid's pixels lie in a box."""
    grid = np.zeros((GRID, GRID), np.bool_)
    left, top, right, bottom = (max(0, int(value)) for value in box)
    grid[top:bottom, left:right] = True
    return grid


@given(some_boxes(), some_boxes())
def test_areas_intersections_and_shares_are_pixels_counted(some: Boxes, others: Boxes) -> None:
    np.testing.assert_array_equal(subject.areas(some), [pixels(box).sum() for box in some])
    shapes = (len(some), len(others))
    shared, ious, inside = np.zeros(shapes), np.zeros(shapes), np.zeros(shapes)
    for row, one in enumerate(map(pixels, some)):
        for column, other in enumerate(map(pixels, others)):
            shared[row, column] = (one & other).sum()
            ious[row, column] = (one & other).sum() / max(1, (one | other).sum())
            inside[row, column] = (one & other).sum() / max(1, one.sum())
    np.testing.assert_array_equal(subject.intersections(some, others), shared)
    np.testing.assert_allclose(subject.ious(some, others), ious)
    np.testing.assert_allclose(subject.coverages(some, others), inside)


@given(some_boxes(at_least=1))
def test_the_hull_is_the_smallest_box_around_all(some: Boxes) -> None:
    (around,) = subject.hull(some)
    assert ((some >= [*around[:2], *around[:2]]) & (some <= [*around[2:], *around[2:]])).all()
    for side in range(4):
        assert (some[:, side] == around[side]).any()


@given(some_boxes(-GRID, 2 * GRID))
def test_what_is_clipped_has_the_pixels_in_the_frame(some: Boxes) -> None:
    clipped = subject.clipped(some, GRID - 2, GRID)
    for box, rest in zip(some, clipped, strict=True):
        inside = pixels(box)
        inside[:, GRID - 2 :] = False
        np.testing.assert_array_equal(pixels(rest), inside)


@given(some_boxes(), st.integers(-5, 5), st.integers(-5, 5))
def test_moving_keeps_areas_and_moves_centres(some: Boxes, right: int, down: int) -> None:
    before = some.copy()
    moved = subject.moved(some, right, down)
    np.testing.assert_array_equal(subject.areas(moved), subject.areas(some))
    np.testing.assert_array_equal(
        subject.centres(moved) - subject.centres(some), np.tile([right, down], (len(some), 1))
    )
    np.testing.assert_array_equal(some, before)


def test_none_is_no_special_case() -> None:
    none, one = subject.NO_BOXES, as_boxes([(1, 2, 3, 4)])
    assert as_boxes([]).shape == subject.hull(none).shape == subject.clipped(none, 5, 5).shape == (0, 4)
    assert subject.areas(none).shape == (0,)
    assert subject.ious(none, one).shape == (0, 1)
    assert subject.coverages(one, none).shape == (1, 0)
    assert subject.centres(one).tolist() == [[2, 3]]


def test_detections_are_chosen_joined_and_placed() -> None:
    found = Detections(
        boxes=as_boxes([(0, 0, 4, 2), (1, 1, 3, 3), (5, 5, 6, 8)]),
        scores=np.array([0.5, 0.9, 0.1]),
        labels=np.array([3, 1, 2]),
    )
    rest = found.chosen(found.scores > 0.3)
    assert (len(rest), rest.labels.tolist(), rest.scores.tolist()) == (2, [3, 1], [0.5, 0.9])
    assert found.chosen(np.array([2, 0])).labels.tolist() == [2, 3]
    both = Detections.together([rest, Detections.none(), found.chosen(np.array([2]))])
    np.testing.assert_array_equal(both.boxes, found.boxes)
    assert both.labels.tolist() == [3, 1, 2]
    assert len(Detections.together([])) == len(Detections.none()) == 0
    placed = rest.placed(left=10, top=20, scale=2)
    assert placed.boxes.tolist() == [[10, 20, 18, 24], [12, 22, 16, 26]]
    assert placed.scores is rest.scores
