"""Clips offloaded to real servers in processes of their own, which die, stop, slow down and come back meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
import pytest

from offload.artifacts.video_run import FrameRecord
from offload.detectors.base import Detector
from offload.detectors.catalogue import made_detector
from offload.errors import OffloadError
from offload.progress import NullProgress
from offload.runtimes.base import Session
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.serving.client import ServerClient
from offload.serving.client_errors import ServerError
from offload.serving.embedded import EmbeddedServer
from offload.serving.link_emulation import parse_link
from offload.serving.server import ServeSettings
from offload.serving.upload import UploadLimits
from offload.verification.video.pool import ServerPool, server_pool
from offload.verification.video.run import run_clip
from offload.verification.video.served_detector import ServedDetector
from offload.video.compensation import Compensation
from offload.video.detections import Detections
from offload.video.methods.base import Ask, FramePlan, Method
from offload.video.methods.elf import Elf, ElfSettings
from offload.video.partitioning import ServerCost
from offload.video.proposals.catalogue import make_predictor
from offload.video.tracks import PATIENCE
from tests.made_detectors import SPOTS, bright_spots

WIDTH, HEIGHT, SIDE = 640, 384, 16
COST = ServerCost(fixed_s=1e-3, seconds_per_pixel=2e-8)
COLUMNS, ROWS = 6, 3


def squares(frames: int, *, width: int = WIDTH, height: int = HEIGHT) -> Iterator[np.ndarray]:
    """Eighteen squares in rows that move together, 4 pixels a frame to the right and back."""
    for number in range(frames):
        frame = np.zeros((height, width, 3), np.uint8)
        for left, top, colour in places(number, width, height):
            frame[top : top + SIDE, left : left + SIDE, colour] = 255
        yield frame


def places(number: int, width: int = WIDTH, height: int = HEIGHT) -> list[tuple[int, int, int]]:
    moved = 4 * abs(number % 16 - 8)
    columns = [(column * width // COLUMNS + 32, column) for column in range(COLUMNS)]
    rows = [(row * height // ROWS + 48, row) for row in range(ROWS)]
    return [(left + moved, top, (column + row) % 3) for left, column in columns for top, row in rows]


def assert_all_found(record: FrameRecord) -> None:
    sure = {
        (round(left), round(top), label)
        for (left, top, _, _), score, label in zip(record.boxes, record.scores, record.labels, strict=True)
        if score > 0.5
    }
    wanted = places(record.number)
    near = [
        any(abs(left - x) <= 2 and abs(top - y) <= 2 and label == colour for x, y, label in sure)
        for left, top, colour in wanted
    ]
    assert all(near), f"frame {record.number}: {sum(near)} of {len(wanted)} found"


def elf(servers: int, *, width: int = WIDTH, height: int = HEIGHT) -> Elf:
    settings = ElfSettings(expansion=0.5, compensation=Compensation(interval=4, ratio=1.0), multiple=16)
    return Elf(
        settings=settings, predictor=make_predictor("linear"), width=width, height=height, servers=(COST,) * servers
    )


@dataclass(kw_only=True)
class During:
    """A method beside which something happens once a frame is planned, before its images are sent."""

    method: Method
    happens: dict[int, Callable[[], object]]
    servers: Sequence[ServerCost | None] = ()
    told: list[tuple[bool, ...]] = field(default_factory=list)
    """Which servers were said to be there, for each frame."""

    def plan(self, number: int, frame: np.ndarray) -> FramePlan:
        self.told.append(tuple(server is not None for server in self.servers))
        self.method.servers = self.servers
        plan = self.method.plan(number, frame)
        self.happens.get(number, lambda: None)()
        return plan

    def take(self, plan: FramePlan, answers: Sequence[tuple[Ask, Detections]]) -> Detections:
        return self.method.take(plan, answers)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return made_detector("spots", bright_spots(), SPOTS)


@pytest.fixture(scope="module")
def session(detector: Detector) -> Session:
    return OnnxRuntime().load_onnx(detector.onnx, threads=1)


@pytest.fixture(scope="module")
def lasting() -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    """Two servers that no test kills."""
    with EmbeddedServer(threads=1) as first, EmbeddedServer(threads=1) as second:
        yield first, second


@pytest.fixture
def mortal() -> Iterator[EmbeddedServer]:
    """A server that the test may kill."""
    with EmbeddedServer(threads=1) as server:
        yield server
        with suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGCONT)


@contextmanager
def pool_of(
    detector: Detector, *servers: EmbeddedServer | str, width: int = WIDTH, height: int = HEIGHT, **options: object
) -> Iterator[ServerPool]:
    served = ServedDetector(detector, quality=95, width=width, height=height)
    addresses = [server if isinstance(server, str) else server.address for server in servers]
    with server_pool(addresses, served, progress=NullProgress(), **options) as pool:  # type: ignore[arg-type]
        yield pool


def share(records: Iterable[FrameRecord], server: int) -> float:
    """Of all pixels that were looked at, those that a server looked at."""
    looked = [ask for record in records for ask in record.asks if ask.answered and not ask.on_device]
    return sum(ask.pixels for ask in looked if ask.server == server) / sum(ask.pixels for ask in looked)


def test_two_servers_find_all_in_parts_and_every_time_is_told(
    detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    with pool_of(detector, *lasting) as pool:
        assert pool.there == (True, True)
        records = list(run_clip(squares(12), elf(2), pool, costs=(COST, COST)))
        assert pool.notes == []
    assert [record.number for record in records] == list(range(12))
    for record in records:
        assert_all_found(record)
        assert record.held == 0
        assert record.plan_s + record.merge_s <= record.latency_s
        for ask in record.asks:
            assert ask.answered
            assert ask.sent_bytes > 600  # a JPEG's headers
            assert min(ask.encode_s, ask.uplink_s, ask.decode_s, ask.server_s, ask.downlink_s) > 0
            assert ask.sent_at_s >= record.plan_s
            assert ask.done_s <= record.latency_s
        last_s = max(ask.done_s for ask in record.asks)
        assert last_s + record.merge_s == pytest.approx(record.latency_s, abs=0.02)
    assert all({ask.server for ask in record.asks} == {0, 1} for record in records[1:])
    assert 0.2 < share(records[1:], 0) < 0.8


def test_a_server_that_has_the_detector_is_not_sent_it_again(
    detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    served = ServedDetector(detector, quality=77, width=WIDTH, height=HEIGHT)
    with ServerClient(lasting[0].address) as client:
        assert served.ensure(client)
        assert not served.ensure(client)


def test_a_detector_of_one_size_is_sent_images_of_that_size(lasting: tuple[EmbeddedServer, EmbeddedServer]) -> None:
    fixed = made_detector("fixed", bright_spots("192", "320"), SPOTS)
    assert fixed.size == (320, 192)
    frames = [np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8)]
    frames[0][32:48, 64:80, 1] = 255
    with pool_of(fixed, lasting[0], width=WIDTH // 2, height=HEIGHT // 2) as pool:
        (record,) = run_clip(frames, elf(1, width=WIDTH // 2, height=HEIGHT // 2), pool, costs=(COST,))
    best = int(np.argmax(record.scores))
    np.testing.assert_allclose(record.boxes[best], (64, 32, 80, 48), atol=1)
    assert record.labels[best] == 1


def test_when_a_server_dies_within_a_frame_the_other_looks_and_later_frames_leave_it_out(
    detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer], mortal: EmbeddedServer
) -> None:
    with pool_of(detector, lasting[0], mortal) as pool:
        method = During(method=elf(2), happens={5: mortal.kill})
        records = list(run_clip(squares(10), method, pool, costs=(COST, COST)))
        assert len(pool.notes) == 1
        assert f"server {mortal.address} is left out" in pool.notes[0]
    assert len(records) == 10
    for record in records:
        assert_all_found(record)
        assert record.held == 0
    failed = [ask for ask in records[5].asks if not ask.answered]
    assert failed
    assert {ask.server for ask in failed} == {1}
    again = [ask for ask in records[5].asks if ask.answered and ask.box in {each.box for each in failed}]
    assert {ask.server for ask in again} == {0}
    assert {ask.server for record in records[6:] for ask in record.asks} == {0}
    assert method.told[5:] == [(True, True), *[(True, False)] * 4]


def test_when_no_server_is_left_the_device_looks_itself(
    detector: Detector, session: Session, mortal: EmbeddedServer
) -> None:
    with pool_of(detector, mortal) as pool:
        method = During(method=elf(1), happens={3: mortal.kill})
        records = list(run_clip(squares(7), method, pool, costs=(COST,), session=session))
    assert len(records) == 7
    for record in records:
        assert_all_found(record)
        assert record.held == 0
    for record in records[3:]:
        looked = [ask for ask in record.asks if ask.answered]
        assert looked
        assert all(ask.on_device and ask.sent_bytes == 0 for ask in looked)


def test_when_nobody_is_left_to_look_objects_are_held_where_they_are_expected_for_a_while(
    detector: Detector, mortal: EmbeddedServer
) -> None:
    with pool_of(detector, mortal) as pool:
        method = During(method=elf(1), happens={5: mortal.kill})
        records = list(run_clip(squares(5 + PATIENCE + 2), method, pool, costs=(COST,)))
    assert len(records) == 5 + PATIENCE + 2
    assert {record.held for record in records[:5]} == {0}
    held = records[5 : 5 + PATIENCE]
    for record in held:
        assert record.held == len(record.boxes) >= COLUMNS * ROWS
        assert_all_found(record)  # they move on as before
    assert all(record.boxes == () for record in records[5 + PATIENCE :])


def test_a_server_that_stops_answering_is_given_up_and_taken_back_when_it_goes_on(
    detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer], mortal: EmbeddedServer
) -> None:
    with pool_of(detector, lasting[0], mortal) as pool:
        method = During(
            method=elf(2),
            happens={
                4: lambda: os.kill(mortal.pid, signal.SIGSTOP),
                7: lambda: os.kill(mortal.pid, signal.SIGCONT),
                9: lambda: _until(lambda: pool.there == (True, True)),
            },
        )
        records = list(run_clip(squares(13), method, pool, costs=(COST, COST)))
        assert [note.rpartition(" is ")[2].partition(":")[0] for note in pool.notes] == ["left out", "there again"]
    for record in records:
        assert_all_found(record)
    assert all(ask.server == 0 for record in records[5:7] for ask in record.asks)
    assert any(ask.server == 1 and ask.answered for record in records[10:] for ask in record.asks)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_a_server_that_starts_late_joins_and_one_that_is_not_there_is_no_error(
    detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    with pool_of(detector, "127.0.0.1:9", lasting[0]) as pool:
        records = list(run_clip(squares(3), elf(2), pool, costs=(COST, COST)))
        assert pool.there == (False, True)
        assert "127.0.0.1:9 cannot be reached" in pool.notes[0]
    for record in records:
        assert_all_found(record)


class Pulses:
    """Stops a process three quarters of the time."""

    def __init__(self, pid: int) -> None:
        self._pid, self._ended = pid, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._ended.is_set():
            os.kill(self._pid, signal.SIGSTOP)
            time.sleep(0.03)
            os.kill(self._pid, signal.SIGCONT)
            time.sleep(0.01)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()


def test_a_server_that_slows_to_a_quarter_gets_less_within_ten_frames(
    detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer], mortal: EmbeddedServer
) -> None:
    pulses = Pulses(mortal.pid)
    with pool_of(detector, lasting[0], mortal) as pool:
        method = During(method=elf(2), happens={12: pulses.start})
        try:
            records = list(run_clip(squares(34), method, pool, costs=(COST, COST)))
        finally:
            pulses.stop()
    for record in records:
        assert_all_found(record)
    before, after = share(records[2:12], 1), share(records[22:], 1)
    assert after < 0.75 * before


def test_two_servers_behind_one_emulated_line(
    detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    shape = parse_link("20mbps,3ms")
    with pool_of(detector, *lasting, link=(shape, shape)) as pool:
        assert all(rtt_s is not None and rtt_s >= 0.005 for rtt_s in pool.rtts_s)
        records = list(run_clip(squares(6), elf(2), pool, costs=(COST, COST)))
    for record in records:
        assert_all_found(record)
        for ask in record.asks:
            assert ask.uplink_s >= ask.sent_bytes * 8 / 20e6


def test_without_any_server_it_is_one_line(detector: Detector) -> None:
    alone, two = pool_of(detector, "127.0.0.1:9"), pool_of(detector, "127.0.0.1:9", "127.0.0.1:19")
    with pytest.raises(OffloadError, match=r"cannot reach the server at 127\.0\.0\.1:9"), alone:
        pass
    with pytest.raises(OffloadError, match="none of the 2 servers can be reached") as caught, two:
        pass
    assert "offload serve" in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (ServeSettings(token="secret"), "wants another token"),
        (ServeSettings(limits=UploadLimits(max_upload_bytes=100)), "over a limit"),
        (ServeSettings(limits=UploadLimits(max_models=0)), "over a limit"),
    ],
    ids=["token", "upload", "models"],
)
def test_a_server_that_refuses_is_one_line(detector: Detector, settings: ServeSettings, problem: str) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer(threads=1, settings=settings))
        with pytest.raises(ServerError, match=problem) as caught:
            stack.enter_context(pool_of(detector, server))
        assert caught.value.hint


def test_another_model_under_the_name_is_one_line(
    detector: Detector, lasting: tuple[EmbeddedServer, EmbeddedServer]
) -> None:
    served = ServedDetector(detector, quality=33, width=WIDTH, height=HEIGHT)
    with ServerClient(lasting[0].address) as client:
        client.upload(served.name, detector.onnx)
        with pytest.raises(ServerError, match="has another model under the name"):
            served.ensure(client)
        client.unload(served.name)
