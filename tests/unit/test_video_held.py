"""What a frame's answer holds where nobody looked."""

from __future__ import annotations

import numpy as np

from offload.video.boxes import NO_BOXES
from offload.video.detections import Detections
from offload.video.held import held

BEFORE = Detections(
    boxes=np.array([[10.0, 10, 50, 50], [200, 100, 260, 160]]), scores=np.array([0.9, 0.4]), labels=np.array([2, 1])
)
NOTHING = Detections.none()


def test_objects_are_where_they_are_expected_with_what_was_last_known_of_them() -> None:
    predicted = np.array([[205.0, 100, 265, 160], [12, 10, 52, 50]])
    kept = held(predicted, NO_BOXES, BEFORE, NOTHING)
    order = np.argsort(kept.boxes[:, 0])
    np.testing.assert_array_equal(kept.boxes[order], predicted[[1, 0]])
    assert kept.scores[order].tolist() == [0.9, 0.4]
    assert kept.labels[order].tolist() == [2, 1]


def test_a_region_that_was_looked_at_has_the_last_word() -> None:
    kept = held(BEFORE.boxes, np.array([[0.0, 0, 100, 100]]), BEFORE, NOTHING)
    np.testing.assert_array_equal(kept.boxes, BEFORE.boxes[1:])


def test_what_was_found_otherwise_is_not_held_besides() -> None:
    found = Detections(boxes=BEFORE.boxes[:1] + 1, scores=np.array([0.5]), labels=np.array([2]))
    kept = held(BEFORE.boxes, NO_BOXES, BEFORE, found)
    np.testing.assert_array_equal(kept.boxes, BEFORE.boxes[1:])


def test_a_method_that_does_not_predict_has_objects_stay() -> None:
    kept = held(NO_BOXES, NO_BOXES, BEFORE, NOTHING)
    np.testing.assert_array_equal(kept.boxes, BEFORE.boxes)


def test_where_nothing_was_known_nothing_is_held() -> None:
    far = np.array([[400.0, 400, 420, 420]])
    assert len(held(far, NO_BOXES, BEFORE, NOTHING)) == 0
    assert len(held(far, NO_BOXES, NOTHING, NOTHING)) == 0
    assert len(held(NO_BOXES, NO_BOXES, NOTHING, NOTHING)) == 0
