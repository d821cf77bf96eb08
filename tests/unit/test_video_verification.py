"""What a verification of a clip's plan tells: gains, splits, what an AP50 may stray by, and what it refuses to hold."""

from __future__ import annotations

import json

import numpy as np
import pytest

from offload.artifacts.video_run import AskRecord, FrameRecord
from offload.artifacts.video_verification import ALONE, PARTS, VideoVerification, mean_split, split
from offload.errors import OffloadError
from offload.reports.render import render
from offload.video.clip_accuracy import BlockedPrecision, ap50_change, blocked_precision, clip_accuracy
from offload.video.detections import Detections
from offload.video.truth import FrameTruth
from tests.made_verifications import made_verification


def _ask(server: int, *, sent_at_s: float, server_s: float) -> AskRecord:
    return AskRecord(
        server=server, box=(0, 0, 10, 10), sent_bytes=9, sent_at_s=sent_at_s, encode_s=0.001, uplink_s=0.002,
        queue_s=0.0005, decode_s=0.001, server_s=server_s, downlink_s=0.003,
    )  # fmt: skip


def _frame(*asks: AskRecord) -> FrameRecord:
    done_s = max((ask.done_s for ask in asks), default=0.004)
    return FrameRecord(
        number=0, asks=asks, boxes=(), scores=(), labels=(), plan_s=0.004, merge_s=0.002, latency_s=done_s + 0.002
    )


def test_a_frames_time_is_split_along_the_answer_that_came_last() -> None:
    frame = _frame(_ask(0, sent_at_s=0.005, server_s=0.02), _ask(1, sent_at_s=0.006, server_s=0.01))
    parts = split(frame)
    assert tuple(parts) == PARTS
    assert sum(parts.values()) == pytest.approx(frame.latency_s)
    assert (parts["server_s"], parts["encode_s"]) == (0.02, pytest.approx(0.001))
    assert sum(split(_frame()).values()) == pytest.approx(0.006)
    both = mean_split([frame, _frame()])
    assert both["server_s"] == pytest.approx(0.01)
    assert both["plan_s"] == pytest.approx(0.004)


def test_the_gains_of_cropping_and_of_more_servers_make_the_speed_up() -> None:
    made = made_verification()
    elf, whole = made.elf, made.whole
    assert made.speedup(elf) == pytest.approx(whole.mean_s / elf.mean_s)
    assert made.speedup(whole) == 1
    assert made.crop_gain is None
    assert made.parallel_gain is None
    slower = tuple(frame.model_copy(update={"latency_s": 1.5 * frame.latency_s}) for frame in elf.frames)
    alone = elf.model_copy(update={"name": ALONE, "servers": (0,), "frames": slower})
    told = made.model_copy(update={"runs": (*made.runs, alone)})
    assert told.crop_gain == pytest.approx(whole.mean_s / alone.mean_s)
    assert told.parallel_gain == pytest.approx(1.5)
    assert made.error == pytest.approx(elf.mean_s / made.predicted.mean_s.value - 1)


def test_it_is_read_as_it_was_written_and_shown_in_every_form() -> None:
    made = made_verification()
    assert VideoVerification.from_json(made.to_json(), source="it") == made
    for form in ("table", "md", "csv"):
        shown = render(made, form)
        assert all(run.name in shown or form != "csv" for run in made.runs)
    wide, narrow = render(made, "table", width=250), render(made, "table", width=80)
    assert "AP50, shifted" in wide
    assert "not shown in 80 columns" in narrow


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda told: told["runs"].pop(0), "at least 2"),
        (lambda told: told["runs"][0].update(name="tiles"), "what was planned and the full frame"),
        (lambda told: told["runs"].append(told["runs"][0]), "each once"),
        (lambda told: told["runs"][0]["frames"].pop(), "other frames than the clip's"),
        (lambda told: told["runs"][0]["servers"].append(99), "a server that the plan does not name"),
        (lambda told: told["runs"][1].update(servers=[]), "servers"),
        (lambda told: told["runs"][0]["asked_by_age"].append(3), "other ages"),
        (lambda told: told.update(promised_change=0.5), "promised_change"),
        (lambda told: told.update(addresses=["a:1"] * 9), "its address"),
        (lambda told: told["predicted"]["mean_s"].update(value=0.0, low=0.0), "no time"),
    ],
)
def test_what_cannot_be_is_refused(change: object, problem: str) -> None:
    told = json.loads(made_verification().to_json())
    change(told)
    with pytest.raises(OffloadError, match=problem):
        VideoVerification.from_json(json.dumps(told), source="it")


def _scene(frames: int, lost: set[tuple[int, int]] = frozenset()) -> tuple[list[Detections], list[FrameTruth]]:
    """Three objects in each frame, those found that are not among the lost, by frame and index."""
    found, right = [], []
    for number in range(frames):
        boxes = np.array([[40.0 * index, 5, 40 * index + 20, 30] for index in range(3)])
        kept = [index for index in range(3) if (number, index) not in lost]
        truth = FrameTruth(boxes=boxes, labels=np.zeros(3, np.int64), ids=np.arange(3), visible=np.ones(3))
        right.append(truth)
        found.append(
            Detections(boxes=boxes[kept], scores=np.full(len(kept), 0.9), labels=np.zeros(len(kept), np.int64))
        )
    return found, right


def test_an_ap50_without_each_block_is_that_of_the_other_frames() -> None:
    found, right = _scene(12, {(4, 0), (5, 1)})
    told = blocked_precision(found, right)
    assert len(told.without) == 6
    assert told.without[2] == pytest.approx(1, abs=1e-6)  # frames 4 and 5 are the third block
    assert all(each == pytest.approx(28 / 30, abs=0.02) for index, each in enumerate(told.without) if index != 2)


def test_a_loss_that_every_block_shows_is_certain_and_one_of_a_single_block_is_not() -> None:
    truth = _scene(12)
    whole = blocked_precision(*truth)
    same = ap50_change(whole, whole)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    steady = blocked_precision(*_scene(12, {(number, 0) for number in range(12)}))
    loss = ap50_change(steady, whole)
    assert loss.value == pytest.approx(-1 / 3, abs=0.01)
    assert loss.high < -0.3
    once = ap50_change(blocked_precision(*_scene(12, {(0, 0), (0, 1), (1, 0)})), whole)
    assert once.value < 0
    assert once.high > 0


def test_the_interval_is_the_textbooks_jackknife() -> None:
    """Of a mean: its standard error is the sample's standard deviation over the root of how many there are."""
    values = np.array([0.1, 0.4, 0.35, 0.8, 0.2, 0.5])
    without = tuple(float(np.delete(values, index).mean()) for index in range(6))
    told = ap50_change(
        BlockedPrecision(ap50=float(values.mean()), without=without), BlockedPrecision(ap50=0.0, without=(0.0,) * 6)
    )
    error = values.std(ddof=1) / np.sqrt(6)
    assert told.high - told.value == pytest.approx(2.5706 * error, rel=1e-3)  # Student's t with 5 degrees of freedom


def test_too_few_blocks_tell_nothing() -> None:
    found, right = _scene(3)
    told = ap50_change(blocked_precision(found, right), blocked_precision(found, right))
    assert (told.value, told.low, told.high) == (0, -1, 1)


def test_an_accuracy_is_against_truth_or_else_against_the_whole_frame() -> None:
    found, right = _scene(8, {(number, 1) for number in range(8)})
    whole, _ = _scene(8, {(number, 2) for number in range(8)})
    against_truth, against_whole = clip_accuracy(found, whole, right), clip_accuracy(found, whole, None)
    assert against_truth.missed == pytest.approx(1 / 3)
    assert against_truth.never_found == pytest.approx(1 / 3)
    assert against_truth.new_object_delay_frames == 0
    assert against_whole.missed == pytest.approx(1 / 2)
    assert against_whole.never_found is None
    assert against_whole.ap50 == against_whole.ap50_whole == against_truth.ap50_whole
    nothing = [Detections.none()] * 8
    with pytest.raises(OffloadError, match="finds nothing in 8 frames"):
        clip_accuracy(nothing, nothing, right)
