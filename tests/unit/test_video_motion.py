"""How well predictors do on a clip's own paths: those of its truth, and those of what a detector finds."""

from __future__ import annotations

import numpy as np
import pytest

from offload.artifacts.video_profile import MotionRecord
from offload.profilers.video.motion import by_quality, detector_error, measure_motion
from offload.video.detections import Detections
from offload.video.proposals.trajectories import followed
from offload.video.truth import FrameTruth

WIDTH, HEIGHT = 640.0, 480.0
Box = tuple[float, float, float, float]


def _found(boxes: list[Box], score: float = 0.9) -> Detections:
    count = len(boxes)
    return Detections(
        boxes=np.array(boxes, np.float64).reshape(-1, 4), scores=np.full(count, score), labels=np.zeros(count, np.int64)
    )


def _moving(number: int) -> list[Box]:
    """Two squares of 40 pixels, 4 to the right and 3 up in each frame."""
    right, up = 4.0 * number, 3.0 * number
    return [(100 + right, 50, 140 + right, 90), (300, 400 - up, 340, 440 - up)]


def _truth(number: int) -> FrameTruth:
    return FrameTruth.of([(box, 0, index, 1.0) for index, box in enumerate(_moving(number))])


def test_what_is_found_is_followed_in_whatever_order_it_is_told() -> None:
    """The second object is gone in one frame, and someone else when it is there again."""
    told = [_moving(0), _moving(1)[::-1], _moving(2)[:1], _moving(3)]
    ids = [frame.ids.tolist() for frame in followed([_found(boxes) for boxes in told], width=WIDTH, height=HEIGHT)]
    assert ids == [[0, 1], [1, 0], [0], [0, 2]]
    assert followed([], width=WIDTH, height=HEIGHT) == ()


def test_straight_motion_is_told_by_all_that_know_of_motion() -> None:
    """A held box is behind by 4 of 40 pixels, then by 3: 36/44 and 37/43 of the union."""
    noise, motion = measure_motion([_found(_moving(number)) for number in range(10)], None, width=WIDTH, height=HEIGHT)
    quality = {one.predictor: one for one in motion}
    assert noise == 0
    assert {one.examples for one in motion} == {18}
    assert quality["hold"].mean_iou == pytest.approx((36 / 44 + 37 / 43) / 2)
    assert dict(quality["hold"].coverage)[0.0] == pytest.approx((0.9 + 37 / 40) / 2)
    assert quality["linear"].mean_iou > quality["hold"].mean_iou
    assert by_quality(motion)[0] in ("linear", "kalman")
    assert set(by_quality(motion)) == set(quality)


def test_with_truth_predictors_are_told_boxes_as_wrong_as_the_detectors() -> None:
    """Each side is 2 pixels off, of 40; what is unlikely, and what is not there, counts for nothing."""
    found = [
        Detections.together(
            [
                _found([(left + 2, top - 2, right + 2, bottom - 2) for left, top, right, bottom in _moving(number)]),
                _found([(500, 10, 540, 50)]),
                _found([(10, 400, 50, 440)], score=0.1),
            ]
        )
        for number in range(10)
    ]
    truth = [_truth(number) for number in range(10)]
    assert detector_error(found, truth) == pytest.approx(0.05)
    noise, motion = measure_motion(found, truth, width=WIDTH, height=HEIGHT)
    assert noise == pytest.approx(0.05)
    exact = measure_motion([_found(_moving(number)) for number in range(10)], truth, width=WIDTH, height=HEIGHT)
    assert exact[0] == 0
    for rough, fine in zip(motion, exact[1], strict=True):
        assert rough.mean_iou < fine.mean_iou


def test_without_a_path_nothing_is_told_and_the_simplest_predictor_is_first() -> None:
    noise, motion = measure_motion([_found(_moving(0)), _found([])], None, width=WIDTH, height=HEIGHT)
    assert (noise, motion) == (0.0, ())
    assert by_quality(motion)[0] == "hold"


def test_a_more_complicated_predictor_must_be_better_to_be_first() -> None:
    def record(name: str, iou: float) -> MotionRecord:
        return MotionRecord(predictor=name, examples=1, mean_iou=iou, coverage=((0.0, iou),))

    close = (record("hold", 0.5), record("linear", 0.8), record("kalman", 0.803), record("lstm", 0.804))
    assert by_quality(close)[0] == "linear"
    assert by_quality((*close[:3], record("lstm", 0.9)))[0] == "lstm"
