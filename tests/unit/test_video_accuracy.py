"""Metrics of a clip's answers: against pycocotools, and by hand."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence

import numpy as np
import pytest

from offload.video.accuracy import (
    LEAST_VISIBLE,
    as_truth,
    average_precision,
    confident,
    judged,
    mistakes,
    on_screen,
)
from offload.video.boxes import as_boxes
from offload.video.detections import Detections
from offload.video.truth import FrameTruth

Row = tuple[float, float, float, float]


def detections(*rows: tuple[Row, float, int]) -> Detections:
    """Box, score and label of each."""
    return Detections(
        boxes=as_boxes(row[0] for row in rows),
        scores=np.array([row[1] for row in rows], np.float64),
        labels=np.array([row[2] for row in rows], np.int64),
    )


def truth(*rows: tuple[Row, int, int, float]) -> FrameTruth:
    """Box, label, identity and visible share of each."""
    return FrameTruth(
        boxes=as_boxes(row[0] for row in rows),
        labels=np.array([row[1] for row in rows], np.int64),
        ids=np.array([row[2] for row in rows], np.int64),
        visible=np.array([row[3] for row in rows], np.float64),
    )


def random_clip(seed: int) -> tuple[list[Detections], list[FrameTruth]]:
    """Truth with hidden objects, answers around it and beside it; frames without either are among them."""
    rng = np.random.default_rng(seed)
    answers, frames = [], []
    for _ in range(25):
        count = int(rng.choice([0, 1, 4, 12]))
        low = rng.uniform(0, 400, (count, 2))
        boxes = np.concatenate([low, low + rng.uniform(8, 120, (count, 2))], axis=1)
        labels = rng.integers(0, 4, count)
        visible = rng.choice([0.0, 0.1, 0.25, 0.5, 1.0], count)
        frames.append(FrameTruth(boxes=boxes, labels=labels, ids=np.arange(count), visible=visible))
        near = rng.integers(0, count, int(rng.choice([0, 2, 20]))) if count else np.zeros(0, np.int64)
        stray = rng.uniform(0, 400, (int(rng.choice([0, 3])), 2))
        around = boxes[near] + rng.normal(0, 6, (len(near), 4))
        around[:, 2:] = np.maximum(around[:, 2:], around[:, :2] + 2)
        found = np.concatenate([around, np.concatenate([stray, stray + 40], axis=1)])
        told = np.concatenate([np.where(rng.random(len(near)) < 0.8, labels[near], 3), rng.integers(0, 5, len(stray))])
        # Few different scores: equal ones must be ordered as pycocotools does.
        scores = rng.integers(0, 20, len(found)) / 20
        answers.append(Detections(boxes=found, scores=scores, labels=told.astype(np.int64)))
    return answers, frames


def by_pycocotools(found: Sequence[Detections], frames: Sequence[FrameTruth]) -> tuple[float, float]:
    """AP50 and AP50:95; objects hardly seen are crowds."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def row(box: np.ndarray) -> list[float]:
        left, top, right, bottom = box.tolist()
        return [left, top, right - left, bottom - top]

    annotations = [
        {
            "image_id": number, "bbox": row(box), "area": row(box)[2] * row(box)[3],
            "category_id": int(label), "iscrowd": int(visible < 0.25),
        }
        for number, frame in enumerate(frames)
        for box, label, visible in zip(frame.boxes, frame.labels, frame.visible, strict=True)
    ]  # fmt: skip
    told = [
        {"image_id": number, "bbox": row(box), "score": float(score), "category_id": int(label)}
        for number, one in enumerate(found)
        for box, score, label in zip(one.boxes, one.scores, one.labels, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        oracle = COCO()
        oracle.dataset = {
            "images": [{"id": number} for number in range(len(frames))],
            "annotations": [{**each, "id": number + 1} for number, each in enumerate(annotations)],
            "categories": [{"id": label} for label in range(5)],
        }
        oracle.createIndex()
        evaluation = COCOeval(oracle, oracle.loadRes(told), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[1]), float(evaluation.stats[0])


@pytest.mark.parametrize("seed", range(6))
def test_average_precision_is_pycocotools(seed: int) -> None:
    found, frames = random_clip(seed)
    ap50, ap50_95 = by_pycocotools(found, frames)
    result = average_precision(found, frames)
    assert result.ap50 == pytest.approx(ap50, abs=1e-6)  # supervision keeps precision in 32 bits
    assert result.ap50_95 == pytest.approx(ap50_95, abs=1e-6)
    assert 0.05 < result.ap50_95 < result.ap50 < 0.95


def test_objects_hardly_seen_are_neither_missed_nor_found_wrongly() -> None:
    seen, hidden = ((0, 0, 50, 50), 1, 0, 1.0), ((100, 0, 200, 100), 1, 1, LEAST_VISIBLE - 0.01)
    right, part, wrong = (((0, 0, 50, 50), 0.5, 1), ((100, 0, 130, 90), 0.9, 1), ((300, 0, 350, 50), 0.9, 1))
    frames = [truth(seen, hidden)]
    assert average_precision([detections(right)], frames).ap50 == 1.0
    assert average_precision([detections(right, part, part)], frames).ap50_95 == 1.0
    assert average_precision([detections(right, wrong)], frames).ap50 == pytest.approx(0.5)
    assert average_precision([detections(right, part)], [truth(seen)]).ap50 == pytest.approx(0.5)
    asked = [truth(seen, (*hidden[:3], LEAST_VISIBLE))]
    assert average_precision([detections(right)], asked).ap50 < 0.6


def test_average_precision_of_nothing() -> None:
    none, hidden = truth(), truth(((0, 0, 9, 9), 1, 0, 0.0))
    seen = truth(((0, 0, 9, 9), 1, 0, 1.0))
    box = detections(((0, 0, 9, 9), 0.9, 1))
    for frames in ([], [none, none], [none, hidden]):
        result = average_precision([box] * len(frames), frames)
        assert math.isnan(result.ap50)
        assert math.isnan(result.ap50_95)
    assert average_precision([Detections.none()] * 2, [seen, none]).ap50 == 0.0
    assert average_precision([box, Detections.none()], [seen, none]).ap50_95 == 1.0


def test_as_many_answers_as_frames() -> None:
    for measure in (average_precision, mistakes):
        with pytest.raises(ValueError, match="1 answers about 2 frames"):
            measure([Detections.none()], [truth(), truth()])


def test_other_answers_as_truth() -> None:
    found, _ = random_clip(3)
    least = confident(found, 0.5)
    assert all((one.scores >= 0.5).all() for one in least)
    assert sum(len(one) for one in least) == sum(int((one.scores >= 0.5).sum()) for one in found)
    assert average_precision(least, as_truth(least)).ap50_95 == pytest.approx(1.0, abs=1e-6)
    assert average_precision([Detections.none()] * len(found), as_truth(least)).ap50 == 0.0


def test_answers_are_shown_when_they_arrive() -> None:
    found = [detections(((0, 0, 9, 9), 0.9, label)) for label in range(6)]

    def shown(shift_s: float | list[float], fps: float = 10.0) -> list[int | None]:
        return [int(one.labels[0]) if len(one) else None for one in on_screen(found, shift_s, fps)]

    assert shown(0.0) == shown(0.09) == [0, 1, 2, 3, 4, 5]
    assert shown(0.1) == shown(0.19) == [None, 0, 1, 2, 3, 4]
    assert shown(1 / 49, fps=49.0) == [None, 0, 1, 2, 3, 4]  # 1 / 49 * 49 < 1 in floating point
    assert shown(0.3) == [None, None, None, 0, 1, 2]
    assert shown([0.0, 0.35, 0.05, 0.2, 0.1, 0.05]) == [0, 0, 2, 2, 2, 5]
    assert on_screen([], 0.1, 10.0) == []


def test_late_answers_about_what_moves_are_worse() -> None:
    frames = [truth(((20.0 * each, 0, 20.0 * each + 60, 60), 1, 0, 1.0)) for each in range(10)]
    found = as_answers(frames)
    late = [average_precision(on_screen(found, shift_s, 10.0), frames).ap50 for shift_s in (0.0, 0.1, 0.2)]
    assert late[0] == 1.0
    assert 0.85 < late[1] < 1.0  # but for the first frame: two thirds of a box's width are shared, IoU 0.5
    assert late[2] == 0.0


def as_answers(frames: Sequence[FrameTruth]) -> list[Detections]:
    return [Detections(boxes=each.boxes, scores=np.ones(len(each.boxes)), labels=each.labels) for each in frames]


def test_each_box_and_object_is_judged() -> None:
    frame = truth(
        ((0, 0, 100, 100), 1, 0, 1.0),
        ((200, 0, 300, 100), 1, 1, 1.0),
        ((400, 0, 500, 100), 2, 2, 0.1),
        ((600, 0, 700, 100), 3, 3, 0.5),
    )
    found = detections(
        ((5, 0, 100, 100), 0.6, 1),  # finds the first though another is listed later
        ((0, 0, 100, 60), 0.5, 1),  # the first again
        ((0, 0, 40, 90), 0.9, 1),  # a piece of it, and surer than the whole
        ((200, 0, 300, 100), 0.9, 2),  # of a wrong class
        ((400, 0, 440, 90), 0.9, 2),  # of one hardly seen
        ((800, 0, 900, 100), 0.9, 1),  # nothing is there
    )
    verdict = judged(found, frame)
    assert verdict.matched.tolist() == [0, -1, -1, -1, -1, -1]
    assert verdict.duplicate.tolist() == [False, True, True, False, False, False]
    assert verdict.unfounded.tolist() == [False, False, False, True, False, True]
    assert verdict.missed.tolist() == [False, True, False, True]


def test_what_may_show_an_object_hardly_seen_is_no_duplicate() -> None:
    found = detections(((0, 0, 100, 100), 0.9, 1), ((60, 0, 100, 100), 0.8, 1))
    beside = ((50, 0, 150, 100), 1, 1)
    for visible, duplicates in ((0.1, 0), (1.0, 1)):
        verdict = judged(found, truth(((0, 0, 100, 100), 1, 0, 1.0), (*beside, visible)))
        assert (verdict.duplicate.sum(), verdict.unfounded.sum()) == (duplicates, 0)


def test_of_several_objects_a_box_finds_the_one_that_it_overlaps_most() -> None:
    frame = truth(((0, 0, 100, 100), 1, 0, 1.0), ((30, 0, 130, 100), 1, 1, 1.0))
    found = detections(((28, 0, 128, 100), 0.9, 1), ((20, 0, 120, 100), 0.8, 1), ((25, 0, 125, 100), 0.7, 1))
    verdict = judged(found, frame)
    assert verdict.matched.tolist() == [1, 0, -1]
    assert verdict.duplicate.tolist() == [False, False, True]


@pytest.mark.parametrize("seed", range(3))
def test_every_box_is_judged_one_way(seed: int) -> None:
    found, frames = random_clip(seed)
    for one, frame in zip(found, frames, strict=True):
        verdict = judged(one, frame)
        assert ((verdict.matched >= 0).astype(int) + verdict.duplicate + verdict.unfounded <= 1).all()
        matched = verdict.matched[verdict.matched >= 0]
        assert len(set(matched.tolist())) == len(matched)
        assert (frame.visible[matched] >= LEAST_VISIBLE).all()
        assert len(matched) + verdict.missed.sum() == (frame.visible >= LEAST_VISIBLE).sum()


def test_misses_by_age_and_delays() -> None:
    still, late, never = (0, 0, 50, 50), (100, 0, 150, 50), (200, 0, 250, 50)
    frames = [
        truth((still, 1, 7, 1.0), (late, 1, 8, 0.1)),  # the late one is hardly seen as yet
        truth((still, 1, 7, 1.0), (late, 1, 8, 0.5)),
        truth((late, 1, 8, 1.0), (still, 1, 7, 1.0), (never, 1, 9, 1.0)),
        truth((still, 1, 7, 0.1), (late, 1, 8, 1.0)),
        truth((still, 1, 7, 1.0), (late, 1, 8, 1.0)),
    ]
    found = [
        detections((still, 0.9, 1)),
        detections((still, 0.9, 1), (still, 0.8, 1)),
        Detections.none(),
        detections((late, 0.9, 1), ((300, 0, 350, 50), 0.9, 1)),
        detections((still, 0.9, 1)),
    ]
    wrong = mistakes(found, frames)
    assert (wrong.duplicates, wrong.unfounded) == (1, 1)
    assert wrong.asked_by_age.tolist() == [3, 2, 2, 1, 1]
    assert wrong.missed_by_age.tolist() == [2, 1, 1, 1, 0]
    assert wrong.delays.tolist() == [0.0, 2.0, math.inf]


def test_no_mistakes_where_there_is_nothing() -> None:
    wrong = mistakes([], [])
    assert (wrong.duplicates, wrong.unfounded, len(wrong.delays), len(wrong.asked_by_age)) == (0, 0, 0, 0)
