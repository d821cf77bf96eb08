"""Servers that die, stop, slow down and come back while a clip is offloaded to them: no frame is lost."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from offload.detectors.base import Detector
from offload.detectors.catalogue import made_detector
from offload.runtimes.base import Session
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.serving.child_process import ChildProcess
from offload.serving.embedded import EmbeddedServer
from offload.serving.link_emulation import LinkEmulator, parse_link
from offload.serving.server import ServeSettings
from offload.verification.video import pool as pool_module
from offload.verification.video.run import run_clip
from offload.video.tracks import PATIENCE
from tests.made_detectors import SPOTS, bright_spots
from tests.offloaded_squares import COLUMNS, COST, ROWS, During, assert_all_found, elf, pool_of, share, squares


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a server that lives may be silent for seconds."""
    monkeypatch.setattr(pool_module, "_LEAST_PATIENCE_S", 20.0)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return made_detector("spots", bright_spots(), SPOTS)


@pytest.fixture(scope="module")
def session(detector: Detector) -> Session:
    return OnnxRuntime().load_onnx(detector.onnx, threads=1)


@pytest.fixture(scope="module")
def lasting() -> Iterator[EmbeddedServer]:
    """A server that no test kills."""
    with EmbeddedServer(threads=1) as server:
        yield server


@pytest.fixture(scope="module")
def slow() -> Iterator[EmbeddedServer]:
    """Another one, which tests may stop for a while."""
    with EmbeddedServer(threads=1) as server:
        yield server
        os.kill(server.pid, signal.SIGCONT)


@pytest.fixture
def mortal() -> Iterator[EmbeddedServer]:
    """A server that the test may kill."""
    with EmbeddedServer(threads=1) as server:
        yield server


def test_when_a_server_dies_within_a_frame_the_other_looks_and_later_frames_leave_it_out(
    detector: Detector, lasting: EmbeddedServer, mortal: EmbeddedServer
) -> None:
    with pool_of(detector, lasting, mortal) as pool:
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
    detector: Detector, lasting: EmbeddedServer, slow: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> None:
        monkeypatch.setattr(pool_module, "_LEAST_PATIENCE_S", 1.5)
        os.kill(slow.pid, signal.SIGSTOP)

    with pool_of(detector, lasting, slow) as pool:
        method = During(
            method=elf(2),
            happens={
                4: stop,
                5: lambda: monkeypatch.setattr(pool_module, "_LEAST_PATIENCE_S", 20.0),
                7: lambda: os.kill(slow.pid, signal.SIGCONT),
                9: lambda: _until(lambda: pool.there == (True, True)),
            },
        )
        records = list(run_clip(squares(13), method, pool, costs=(COST, COST)))
        assert [note.rpartition(" is ")[2].partition(":")[0] for note in pool.notes] == ["left out", "there again"]
    for record in records:
        assert_all_found(record)
    assert all(ask.server == 0 for record in records[5:7] for ask in record.asks)
    assert any(ask.server == 1 and ask.answered for record in records[10:] for ask in record.asks)


@pytest.mark.slow
def test_a_server_that_is_started_again_is_given_the_detector_again(
    detector: Detector, lasting: EmbeddedServer
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with ExitStack() as stack:

        def start() -> ChildProcess:
            settings = dataclasses.asdict(ServeSettings(port=port))
            child = stack.enter_context(ChildProcess("offload.serving.embedded_main", settings))
            assert child.answer(30.0) == {"port": port}
            return child

        first = start()
        pool = stack.enter_context(pool_of(detector, lasting, f"127.0.0.1:{port}"))

        def restart() -> None:
            first.kill()
            start()

        method = During(method=elf(2), happens={3: restart, 5: lambda: _until(lambda: pool.there == (True, True))})
        records = list(run_clip(squares(10), method, pool, costs=(COST, COST)))
    for record in records:
        assert_all_found(record)
    assert any(ask.server == 1 and ask.answered for record in records[6:] for ask in record.asks)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


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
    detector: Detector, lasting: EmbeddedServer, slow: EmbeddedServer
) -> None:
    pulses = Pulses(slow.pid)
    with pool_of(detector, lasting, slow) as pool:
        method = During(method=elf(2), happens={12: pulses.start})
        try:
            records = list(run_clip(squares(34), method, pool, costs=(COST, COST)))
        finally:
            pulses.stop()
    for record in records:
        assert_all_found(record)
    assert share(records[22:], 1) < 0.35  # where a noisy machine divides them in any way before


def test_a_server_behind_a_slow_path_gets_less(
    detector: Detector, lasting: EmbeddedServer, slow: EmbeddedServer
) -> None:
    shape = parse_link("2mbps,20ms")
    with (
        LinkEmulator(slow.address, uplink=shape, downlink=shape) as path,
        pool_of(detector, lasting, path.address) as pool,
    ):
        records = list(run_clip(squares(16), elf(2), pool, costs=(COST, COST)))
    for record in records:
        assert_all_found(record)
    assert share(records[10:], 1) < 0.3
