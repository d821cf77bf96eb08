"""ELF's loop: what it looks at follows from its own answers, and the small frame finds what is new."""

from __future__ import annotations

import numpy as np
import pytest

from offload.artifacts.video_profile import Setting
from offload.codecs.base import HEADER_BYTES
from offload.detectors.base import Detector
from offload.detectors.catalogue import made_detector
from offload.profilers.video.replay import ReplayedFrame, pixels_of, replay
from offload.profilers.video.sweep import EXPANSIONS, settings
from offload.runtimes.base import Session
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.verification.video.served_detector import ServedDetector
from offload.video.boxes import areas
from offload.video.capacity import Capacity
from offload.video.compensation import Compensation
from offload.video.detections import Detections
from offload.video.methods.base import Ask, FramePlan, whole_frame
from offload.video.methods.elf import Elf, ElfSettings, merged_answers
from offload.video.partitioning import ServerCost, compensation_strips
from offload.video.proposals.catalogue import make_predictor
from offload.video.tracks import PATIENCE, Tracks
from tests.made_detectors import SPOTS, bright_spots
from tests.moving_squares import FRAMES, HEIGHT, WIDTH, frames_and_truth

COST = ServerCost(fixed_s=1e-3, seconds_per_pixel=1e-8)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return made_detector("spots", bright_spots(), SPOTS)


@pytest.fixture(scope="module")
def session(detector: Detector) -> Session:
    return OnnxRuntime().load_onnx(detector.onnx, threads=1)


def _found(boxes: list[list[float]]) -> Detections:
    count = len(boxes)
    return Detections(
        boxes=np.array(boxes, np.float64).reshape(-1, 4), scores=np.ones(count), labels=np.zeros(count, np.int64)
    )


FRAME = Ask(server=0, region=whole_frame(640, 480))


def _small(plan: FramePlan, boxes: list[list[float]]) -> list[tuple[Ask, Detections]]:
    """The small frame's answer."""
    return [(ask, _found(boxes)) for ask in plan.asks if ask.scale != 1]


def _loop(servers: int = 2, **changed: object) -> Elf:
    loop = ElfSettings(expansion=0.2, compensation=Compensation(interval=3, ratio=0.5), multiple=16)
    chosen = ElfSettings(**(vars(loop) | changed))
    return Elf(settings=chosen, predictor=make_predictor("linear"), width=640, height=480, servers=(COST,) * servers)


def test_a_first_frame_is_seen_in_strips() -> None:
    first = _loop(servers=3, compensation=None).plan(0)
    assert sorted(tuple(ask.region[0]) for ask in first.asks) == [
        (0, 0, 224, 480), (208, 0, 432, 480), (416, 0, 640, 480),
    ]  # fmt: skip
    assert {ask.server for ask in first.asks} == {0, 1, 2}


def test_what_a_small_frame_shows_is_looked_at_next() -> None:
    loop = _loop(rule="published")
    loop.take(loop.plan(0), [])
    third = loop.plan(3)
    assert [(ask.scale, ask.size) for ask in third.asks] == [(0.5, (320, 240))]
    found = loop.take(third, _small(third, [[100, 100, 140, 140], [500, 300, 520, 330]]))
    assert len(found) == 2
    second = loop.plan(4)
    assert {ask.scale for ask in second.asks} == {1.0}
    assert len(second.predicted) == 2
    regions = np.concatenate([ask.region for ask in second.asks])
    for box in second.wanted:
        assert any((region[:2] <= box[:2]).all() and (region[2:] >= box[2:]).all() for region in regions)
    assert second.pixels < 640 * 480 / 4
    assert all(side % 16 == 0 for region in regions for side in (region[2] - region[0], region[3] - region[1]))


def test_a_small_frame_is_shared_so_that_all_servers_end_together() -> None:
    slow, busy = ServerCost(fixed_s=1e-3, seconds_per_pixel=2e-8), ServerCost(fixed_s=1e-3, seconds_per_pixel=1e-8)
    loop = _loop(servers=3)
    loop.servers = (slow, busy, None)
    loop.take(loop.plan(0), [(FRAME, _found([[100, 100, 200, 200], [300, 300, 420, 420]]))])
    asks = loop.plan(3).asks
    strips = {ask.server: ask.region[0] for ask in asks if ask.scale == 0.5}
    assert strips[0][0] == 0 or strips[1][0] == 0
    assert sum(strip[2] - strip[0] for strip in strips.values()) == 640
    assert all((strip[1], strip[3]) == (0, 480) for strip in strips.values())
    ends_s = [
        sum(cost.time_s(ask.pixels) for ask in asks if ask.server == place) for place, cost in ((0, slow), (1, busy))
    ]
    assert ends_s[0] == pytest.approx(ends_s[1], rel=0.02)


def test_a_server_that_has_enough_to_do_gets_none_of_the_small_frame() -> None:
    fast, slow = COST, ServerCost(fixed_s=1e-3, seconds_per_pixel=1e-6)
    strips = compensation_strips([fast, slow], [0.001, 0.5], 0.5, width=640, height=480)
    np.testing.assert_array_equal(strips[0], [[0, 0, 640, 480]])
    assert len(strips[1]) == 0


def test_objects_move_on_as_predicted_while_a_server_does_not_answer_and_then_are_given_up() -> None:
    loop = _loop(compensation=None)
    for number in range(4):  # 10 pixels to the right in each frame
        loop.take(loop.plan(number), [(FRAME, _found([[100 + 10 * number, 50, 140 + 10 * number, 90]]))])
    for missed in range(PATIENCE + 1):
        plan = loop.plan(4 + missed)
        assert plan.predicted[0, 0] == pytest.approx(140 + 10 * missed, abs=1)
        loop.take(plan, [])
    assert len(loop.plan(4 + PATIENCE + 1).predicted) == 0


def test_what_was_found_once_and_not_again_is_not_looked_for_twice() -> None:
    loop = _loop(compensation=None)
    loop.take(loop.plan(0), [(FRAME, _found([[100, 50, 140, 90]]))])
    assert len(loop.plan(1).predicted) == 1
    loop.take(loop.plan(1), [])
    assert len(loop.plan(2).predicted) == 0


def test_unlikely_objects_are_answered_but_not_followed() -> None:
    loop = _loop()
    plan = loop.plan(0)
    faint = Detections(boxes=np.array([[10.0, 10, 30, 30]]), scores=np.array([0.1]), labels=np.array([0]))
    assert len(loop.take(plan, [(plan.asks[0], faint)])) == 1
    assert len(loop.plan(1).predicted) == 0


def test_a_track_keeps_its_history_through_frames_in_any_order() -> None:
    tracks = Tracks(make_predictor("hold"), width=640, height=480)
    tracks.predict()
    tracks.update(np.array([[0.0, 0, 20, 20], [300, 300, 340, 340]]))
    tracks.predict()
    tracks.update(np.array([[302.0, 301, 342, 341], [1, 1, 21, 21]]))
    np.testing.assert_array_equal(tracks.predict(), [[1.0, 1, 21, 21], [302, 301, 342, 341]])


def _replayed(detector: Detector, session: Session, setting: Setting) -> list[ReplayedFrame]:
    frames, _ = frames_and_truth()
    method = Elf(
        settings=ElfSettings.of(setting, detector.multiple), predictor=make_predictor(setting.predictor), width=WIDTH,
        height=HEIGHT, servers=(COST,) * setting.servers,
    )  # fmt: skip
    return replay(frames, method, detector=detector, session=session, quality=setting.quality)


@pytest.mark.parametrize("servers", [1, 3])
@pytest.mark.parametrize("predictor", ["hold", "linear", "kalman", "lstm"])
def test_the_loop_finds_in_few_pixels_what_the_whole_frame_shows(
    detector: Detector, session: Session, servers: int, predictor: str
) -> None:
    _, truth = frames_and_truth()
    setting = Setting(servers=servers, predictor=predictor, expansion=0.5, ratio=1.0, interval=1, quality=95)
    done = _replayed(detector, session, setting)
    assert len(done) == FRAMES
    for frame, right in zip(done, truth.frames, strict=True):
        sure = frame.found.chosen(frame.found.scores > 0.5)
        assert sorted(sure.labels) == sorted(right.labels)
        for box, label in zip(right.boxes, right.labels, strict=True):
            np.testing.assert_allclose(sure.boxes[list(sure.labels).index(label)], box, atol=1)


def test_pixels_and_bytes_are_counted(detector: Detector, session: Session) -> None:
    whole = _replayed(detector, session, Setting(servers=1, rule="equal", interval=0))
    assert {frame.plan.pixels for frame in whole} == {WIDTH * HEIGHT}
    strips = _replayed(detector, session, Setting(servers=2, rule="equal", interval=0))
    assert {frame.plan.pixels for frame in strips} == {WIDTH * HEIGHT}
    assert {frame.plan.largest_pixels for frame in strips} == {WIDTH * HEIGHT // 2}
    part = _replayed(detector, session, Setting(servers=2, interval=2, ratio=0.5))
    for number, frame in enumerate(part):
        regions = int(sum(areas(ask.region)[0] for ask in frame.plan.asks if ask.scale == 1))
        assert frame.plan.pixels == regions + (WIDTH * HEIGHT // 4 if number in range(2, len(part), 2) else 0)
        assert len(frame.sent_bytes) == len(frame.detector_s) == len(frame.plan.asks)
        assert all(frame.sent_bytes)
    assert all(sum(frame.sent_bytes) > 600 for frame in whole)  # a JPEG's headers alone


@pytest.mark.parametrize("size", [None, (192, 112)], ids=["any size", "one size"])
def test_what_a_replay_sends_and_finds_is_what_servers_are_sent_and_tell(size: tuple[int, int] | None) -> None:
    wide, high = size or (0, 0)
    onnx = bright_spots(str(high), str(wide)) if size else bright_spots()
    detector = made_detector("spots", onnx, SPOTS)
    session = OnnxRuntime().load_onnx(detector.onnx, threads=1)
    frames, _ = frames_and_truth()
    served = ServedDetector(detector, quality=80, width=WIDTH, height=HEIGHT)
    for servers in (1, 2):
        setting = Setting(servers=servers, rule="equal", interval=0)
        for frame, done in zip(frames, _replayed(detector, session, setting), strict=True):
            payloads = [served.encoded(frame, ask) for ask in done.plan.asks]
            assert done.sent_bytes == tuple(len(payload) - HEADER_BYTES for payload in payloads)
            answers = []
            for ask, payload in zip(done.plan.asks, payloads, strict=True):
                feed = detector.prepared(pixels_of(payload[HEADER_BYTES:]))[0]
                answers.append((ask, served.found(session.run({detector.input: feed}), ask)))
            right = merged_answers(answers, width=WIDTH, height=HEIGHT)
            np.testing.assert_allclose(done.found.boxes, right.boxes)
            np.testing.assert_allclose(done.found.scores, right.scores)


def test_a_sweep_changes_one_thing_at_a_time_and_tries_nothing_twice() -> None:
    tried = settings(4, ("linear", "hold"))
    assert len(set(tried)) == len(tried)
    assert (tried[0].rule, tried[0].servers, tried[0].interval) == ("equal", 1, 0)
    middle = tried[1]
    for one in tried[2:]:
        if one.rule == "elf":
            assert sum(getattr(one, name) != getattr(middle, name) for name in Setting.model_fields) == 1
    assert {one.expansion for one in tried} >= set(EXPANSIONS)
    assert {one.servers for one in tried} == {1, 2, 3, 4}


def test_a_server_that_slows_down_is_known_for_it_within_ten_frames() -> None:
    capacity = Capacity(cost=COST)
    for _ in range(10):
        capacity.observe(1e6, 4 * COST.time_s(1e6))
    assert capacity.now.time_s(1e6) == pytest.approx(4 * COST.time_s(1e6), rel=0.1)
    for _ in range(10):
        capacity.observe(1e6, COST.time_s(1e6))
    assert capacity.now.time_s(1e6) == pytest.approx(COST.time_s(1e6), rel=0.15)
    capacity.observe(1e6, 1e9)
    assert np.isfinite(capacity.now.time_s(1e6))
