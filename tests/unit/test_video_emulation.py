"""Servers that are not there: a frame's times follow from what each image took alone, and the line that all share."""

from __future__ import annotations

import numpy as np
import pytest

from offload.artifacts.video_profile import Setting
from offload.detectors.base import Detector
from offload.detectors.catalogue import made_detector
from offload.profilers.video.replay import ReplayedFrame, replay
from offload.runtimes.base import Session
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.verification.video.emulation import Emulated, emulate, emulated_frame
from offload.video.detections import Detections
from offload.video.methods.base import Ask, FramePlan
from offload.video.methods.catalogue import Scene, make_method
from offload.video.partitioning import ServerCost
from offload.video.timing import Line
from tests.made_detectors import SPOTS, bright_spots
from tests.moving_squares import FRAMES, HEIGHT, WIDTH, frames_and_truth

HERE = ServerCost(fixed_s=1e-3, seconds_per_pixel=1e-7)
LINE = Line(uplink_bps=8e6, downlink_bps=8e7, rtt_s=4e-3)
"""A byte takes a microsecond up and a tenth of that down."""


def _slower(times: float) -> ServerCost:
    return ServerCost(fixed_s=times * HERE.fixed_s, seconds_per_pixel=times * HERE.seconds_per_pixel)


def _emulated(*servers: ServerCost) -> Emulated:
    return Emulated(servers=servers, here=(HERE,) * len(servers), line=LINE)


def _frame(*servers: int) -> ReplayedFrame:
    """An image of 100 by 100 pixels to each server, which takes 1, 2, 3 ms … to look at alone."""
    count = len(servers)
    asks = tuple(
        Ask(server=server, region=np.array([[100.0 * index, 0, 100.0 * index + 100, 100]]))
        for index, server in enumerate(servers)
    )
    return ReplayedFrame(
        plan=FramePlan(number=7, asks=asks),
        found=Detections(boxes=np.array([[1.0, 2, 3, 4]]), scores=np.array([0.5]), labels=np.array([2])),
        sent_bytes=(3000,) * count,
        answer_bytes=(500,) * count,
        answer_boxes=(1,) * count,
        encode_s=(2e-3,) * count,
        decode_s=(0.5e-3,) * count,
        detector_s=tuple(1e-3 * (1 + index) for index in range(count)),
        functions_s={"plan": 1e-3, "encode": 2e-3 * count, "merge": 4e-3},
    )


def test_the_last_answer_decides_when_a_frame_is_done() -> None:
    record = emulated_frame(_frame(0, 1), _emulated(HERE, HERE))
    first, second = record.asks
    # Both are encoded before the first has crossed: 3 ms a file, the second waits for the line.
    assert (first.sent_at_s, second.sent_at_s) == pytest.approx((3e-3, 5e-3))
    assert (first.uplink_s, second.uplink_s) == pytest.approx((3e-3 + 2e-3, 1e-3 + 3e-3 + 2e-3))
    assert (first.queue_s, second.queue_s) == (0, 0)
    assert second.done_s == pytest.approx(5e-3 + 6e-3 + 0.5e-3 + 2e-3 + 0.05e-3 + 2e-3)
    assert record.latency_s == pytest.approx(second.done_s + 4e-3)
    assert (record.number, record.boxes, record.labels) == (7, ((1.0, 2.0, 3.0, 4.0),), (2,))
    assert record.sent_bytes == 6000


def test_images_to_one_server_wait_for_each_other() -> None:
    together, apart = (emulated_frame(_frame(*servers), _emulated(HERE, HERE)) for servers in ((0, 0, 0), (0, 1, 0)))
    assert together.latency_s >= apart.latency_s
    assert all(ask.queue_s == 0 for ask in apart.asks)
    slow = emulated_frame(_frame(0, 0), _emulated(_slower(10)))
    assert slow.asks[1].queue_s == pytest.approx(10 * 1.5e-3 - 3e-3)


def test_a_server_that_is_slower_than_this_machine_takes_longer_for_what_it_computes_alone() -> None:
    quick, slow = (emulated_frame(_frame(0), _emulated(_slower(times))) for times in (1, 4))
    assert slow.asks[0].server_s == pytest.approx(4 * quick.asks[0].server_s)
    assert slow.asks[0].decode_s == pytest.approx(4 * quick.asks[0].decode_s)
    assert slow.asks[0].encode_s == quick.asks[0].encode_s
    assert slow.latency_s - quick.latency_s == pytest.approx(3 * 1.5e-3)


def test_a_frame_of_which_nothing_is_sent_takes_the_device_alone() -> None:
    assert emulated_frame(_frame(), _emulated(HERE)).latency_s == pytest.approx(5e-3)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return made_detector("spots", bright_spots(), SPOTS)


@pytest.fixture(scope="module")
def session(detector: Detector) -> Session:
    return OnnxRuntime().load_onnx(detector.onnx, threads=1)


def _scene(servers: tuple[ServerCost, ...]) -> Scene:
    return Scene(
        setting=Setting(servers=len(servers), interval=1, ratio=1.0, expansion=0.5), width=WIDTH, height=HEIGHT,
        multiple=16, servers=servers,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["whole", "elf", "tiles"])
def test_emulated_servers_find_what_a_replay_finds(detector: Detector, session: Session, name: str) -> None:
    frames, _ = frames_and_truth()
    one = (HERE,)  # where there is one server, what is learnt of it changes nothing
    records = list(
        emulate(frames, make_method(name, _scene(one)), _emulated(*one), detector=detector, session=session, quality=90)
    )
    replays = replay(frames, make_method(name, _scene(one)), detector=detector, session=session, quality=90)
    assert len(records) == FRAMES
    for record, done in zip(records, replays, strict=True):
        np.testing.assert_allclose(np.array(record.boxes).reshape(-1, 4), done.found.boxes, atol=0.06)
        assert tuple(ask.sent_bytes for ask in record.asks) == done.sent_bytes
        assert record.latency_s > sum(ask.uplink_s for ask in record.asks[:1])


def test_a_server_that_is_slower_than_was_measured_is_given_less_after_a_few_frames(
    detector: Detector, session: Session
) -> None:
    frame = np.random.default_rng(0).integers(0, 60, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    told = (HERE, HERE)
    method = make_method("tiles", _scene(told))
    # The second takes 40 times what was measured of it: this machine in its stead is 40 times as fast as it should be.
    there = Emulated(servers=told, here=(HERE, _slower(1 / 40)), line=LINE)
    records = list(emulate([frame] * 12, method, there, detector=detector, session=session, quality=50))
    shares = [sum(ask.pixels for ask in record.asks if ask.server == 1) for record in records]
    assert shares[0] > 0
    assert shares[-1] < shares[0]
