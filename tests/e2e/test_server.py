"""The embedded server and our client: times, built-in models, and every way to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from offload.errors import OffloadError
from offload.progress import NullProgress
from offload.serving.builtin_models import ProfileInChild
from offload.serving.client import ServerClient
from offload.serving.client_errors import ServerError
from offload.serving.embedded import EmbeddedServer
from offload.serving.server import ServeSettings, serve
from offload.serving.tensors import TensorSpec
from tests import serving_models as models


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with EmbeddedServer(threads=1) as server:
        yield server.address


@pytest.fixture
def client(address: str) -> Iterator[ServerClient]:
    with ServerClient(address) as client:
        yield client


X = {"x": models.row(1, 2, 3, 4)}


def test_upload_infer_and_unload(client: ServerClient) -> None:
    assert client.check().name == "offload"
    client.upload("life", models.scale(3))
    assert client.ready("life")
    inputs, outputs = client.metadata("life")
    assert inputs == (TensorSpec(name="x", datatype="FP32", shape=(1, 4)),)
    assert [spec.name for spec in outputs] == ["y"]
    assert client.infer("life", X).outputs["y"].tolist() == [[3, 6, 9, 12]]
    client.unload("life")
    assert not client.ready("life")
    with pytest.raises(ServerError, match="'life' is not found") as caught:
        client.infer("life", X)
    assert caught.value.code == "NOT_FOUND"


def test_the_times_of_a_request_fit_together(client: ServerClient) -> None:
    client.upload("timed", models.scale())
    offset = client.clock_offset()
    assert offset is not None
    result = client.infer("timed", X)
    server = result.server
    assert server is not None
    parts_ns = server.queue_ns + server.compute_input_ns + server.compute_infer_ns + server.compute_output_ns
    assert 0 < parts_ns <= server.sent_ns - server.received_ns
    assert server.total_s < result.call_s < result.total_s
    uplink_s, downlink_s = result.uplink_s(offset), result.downlink_s(offset)
    assert uplink_s is not None
    assert downlink_s is not None
    assert uplink_s + downlink_s == pytest.approx(result.network_s, abs=1e-6)
    # on one machine both clocks are the same, so the estimate must contain zero
    assert abs(offset.offset_ns) <= offset.uncertainty_ns
    assert all(0 < rtt_s < 10 for rtt_s in client.rtt(3))
    counts = client.statistics("timed")
    assert (counts.inferences, counts.fail_count) == (1, 0)
    assert counts.compute_infer_s == pytest.approx(server.compute_infer_ns / 1e9)


def test_probes_move_any_number_of_bytes(client: ServerClient) -> None:
    for size in (0, 1, 8_000_000):  # the last is above gRPC's default message limit
        up = client.infer("offload-probe-up", {"payload": np.ones(size, np.uint8)})
        assert up.outputs["count"].tolist() == [size]
        down = client.infer("offload-probe-down", {"count": np.array([size], np.int64)})
        assert down.outputs["payload"].shape == (size,)


@pytest.mark.parametrize("count", [-1, 2**40])
def test_probes_are_capped(client: ServerClient, count: int) -> None:
    with pytest.raises(ServerError, match="count must be between"):
        client.infer("offload-probe-down", {"count": np.array([count], np.int64)})


@pytest.mark.parametrize(
    ("name", "feeds"),
    [
        ("offload-probe-up", {"payload": np.ones(8, np.uint8)}),
        ("offload-probe-down", {"count": np.array([8], np.int64)}),
    ],
)
def test_probes_wait_as_a_model_computes(client: ServerClient, name: str, feeds: dict[str, np.ndarray]) -> None:
    result = client.infer(name, {**feeds, "wait_s": np.array([0.05])})
    assert result.server is not None
    assert result.server.compute_infer_ns >= 50e6
    for seconds in (-0.1, 1.5, np.nan):
        with pytest.raises(ServerError, match="wait_s must be between 0 and 1"):
            client.infer(name, {**feeds, "wait_s": np.array([seconds])})


def test_tensors_that_cannot_be_sent_are_an_error(client: ServerClient) -> None:
    with pytest.raises(OffloadError, match="complex128"):
        client.infer("offload-ping", {"x": np.zeros(1, np.complex128)})


def test_sigterm_lets_requests_in_flight_finish() -> None:
    with EmbeddedServer(threads=1) as server, ServerClient(server.address) as client:
        client.upload("slow", models.slow())
        feeds = {"x": np.zeros((1024, 1024), np.float32)}
        with ThreadPoolExecutor() as pool:
            answer = pool.submit(client.infer, "slow", feeds)
            time.sleep(0.5)  # the request is on its way or running
            os.kill(server.pid, signal.SIGTERM)
            assert answer.result(60).outputs["y"].shape == (1024, 1024)
        deadline = time.monotonic() + 20
        while server.returncode is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.returncode == 0
        with pytest.raises(OffloadError, match="cannot reach"):
            client.check()


def test_a_server_that_dies_is_an_error_with_a_hint() -> None:
    with EmbeddedServer(threads=1) as server, ServerClient(server.address, timeout_s=10) as client:
        client.check()
        server.kill()
        with pytest.raises(ServerError, match="cannot reach") as caught:
            client.infer("offload-ping", {})
        assert caught.value.hint


def test_a_server_that_cannot_start_says_why() -> None:
    settings = ServeSettings(tls_cert="/nowhere/cert.pem", tls_key="/nowhere/key.pem")
    with pytest.raises(OffloadError, match="cannot use the certificate"), EmbeddedServer(threads=1, settings=settings):
        pass


def test_the_server_ends_with_the_block_even_on_an_exception() -> None:
    server = EmbeddedServer(threads=1)
    with pytest.raises(KeyboardInterrupt), server:
        raise KeyboardInterrupt
    assert server.returncode == 0


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    "start",
    [
        "from offload.serving.embedded import EmbeddedServer\nchild = EmbeddedServer(threads=1)",
        "from offload.serving.link_emulation import LinkEmulator, parse_link\n"
        "link = parse_link('1mbps'); child = LinkEmulator('127.0.0.1:9', uplink=link, downlink=link)",
    ],
    ids=["server", "link"],
)
def test_nothing_outlives_a_killed_parent(start: str) -> None:
    source = (
        f"{start}\nwith child:\n    print(getattr(child, '_child').pid, flush=True)\n    import time; time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


class Gate:
    """A model that answers when it is let through."""

    platform = "test"
    inputs: tuple[TensorSpec, ...] = ()
    outputs = (TensorSpec(name="order", datatype="INT64", shape=(1,)),)

    def __init__(self, *, exclusive: bool) -> None:
        self.exclusive = exclusive
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()
        self.seen_cancelled = threading.Event()
        self.inside = self.most_inside = 0

    def infer(self, inputs: Mapping[str, object], cancelled: threading.Event) -> Mapping[str, np.ndarray]:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.entered.release()
        while not self.opened.is_set():
            if cancelled.wait(0.01):
                self.seen_cancelled.set()
                break
        self.inside -= 1
        return {"order": np.array([1])}


class Broken(Gate):
    def infer(self, inputs: Mapping[str, object], cancelled: threading.Event) -> Mapping[str, np.ndarray]:
        raise ZeroDivisionError("a bug")


@pytest.fixture
def serving() -> Iterator[Callable[..., tuple[str, threading.Event, threading.Thread]]]:
    """Serves given built-in models from a thread of this process; the address, what stops it, and the thread."""
    running: list[tuple[threading.Event, threading.Thread]] = []

    def start(builtins: Mapping[str, object], **settings: object) -> tuple[str, threading.Event, threading.Thread]:
        stop, ports = threading.Event(), []
        ready = threading.Event()

        def note(port: int) -> None:
            ports.append(port)
            ready.set()

        arguments = (ServeSettings(port=0, **settings), NullProgress(), note)
        thread = threading.Thread(target=serve, args=arguments, kwargs={"stop": stop, "builtins": builtins})
        thread.start()
        running.append((stop, thread))
        assert ready.wait(20)
        return f"127.0.0.1:{ports[0]}", stop, thread

    yield start
    for stop, thread in running:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def test_exclusive_models_run_one_at_a_time_and_waiting_counts_as_queue(serving) -> None:
    gate = Gate(exclusive=True)
    address, *_ = serving({"gate": gate, "open": Gate(exclusive=False)})
    with ServerClient(address) as client, ThreadPoolExecutor() as pool:
        answers = [pool.submit(client.infer, "gate", {}) for _ in range(3)]
        assert gate.entered.acquire(timeout=20)
        time.sleep(0.5)
        gate.opened.set()
        queued_s = sorted(answer.result(20).server.queue_ns / 1e9 for answer in answers)
    assert gate.most_inside == 1
    assert queued_s[1] >= 0.05


def test_other_models_answer_meanwhile(serving) -> None:
    gate, free = Gate(exclusive=True), Gate(exclusive=False)
    free.opened.set()
    address, *_ = serving({"gate": gate, "free": free})
    with ServerClient(address) as client, ThreadPoolExecutor() as pool:
        answer = pool.submit(client.infer, "gate", {})
        assert gate.entered.acquire(timeout=20)
        assert client.infer("free", {}).outputs["order"].tolist() == [1]
        gate.opened.set()
        answer.result(20)


def test_a_cancelled_request_is_told_and_a_waiting_one_gives_up(serving) -> None:
    gate = Gate(exclusive=True)
    address, *_ = serving({"gate": gate})
    with ServerClient(address) as client:
        with ThreadPoolExecutor() as pool:
            answers = [pool.submit(client.infer, "gate", {}, timeout_s=0.5) for _ in range(2)]
            for answer in answers:
                with pytest.raises(ServerError, match="did not answer within"):
                    answer.result(20)
        assert gate.seen_cancelled.wait(20)
        gate.opened.set()
        assert client.infer("gate", {}, timeout_s=20).outputs
        assert gate.most_inside == 1


def test_stopping_waits_for_requests_in_flight(serving) -> None:
    gate = Gate(exclusive=True)
    address, stop, thread = serving({"gate": gate})
    with ServerClient(address) as client, ThreadPoolExecutor() as pool:
        answer = pool.submit(client.infer, "gate", {})
        assert gate.entered.acquire(timeout=20)
        stop.set()
        thread.join(0.2)
        assert thread.is_alive()
        gate.opened.set()
        assert answer.result(20).outputs
    thread.join(20)
    assert not thread.is_alive()


def test_stopping_does_not_wait_longer_than_the_grace(serving) -> None:
    gate = Gate(exclusive=True)
    address, stop, thread = serving({"gate": gate}, grace_s=0.2)
    with ServerClient(address) as client, ThreadPoolExecutor() as pool:
        answer = pool.submit(client.infer, "gate", {})
        assert gate.entered.acquire(timeout=20)
        stop.set()
        with pytest.raises(ServerError):
            answer.result(20)
    thread.join(20)
    assert not thread.is_alive()
    assert gate.seen_cancelled.wait(20)


def test_an_unloaded_model_answers_the_request_it_is_busy_with(address: str) -> None:
    with ServerClient(address) as client, ThreadPoolExecutor() as pool:
        client.upload("leaving", models.slow(products=20))
        answer = pool.submit(client.infer, "leaving", {"x": np.zeros((1024, 1024), np.float32)})
        time.sleep(0.2)
        client.unload("leaving")
        assert answer.result(60).outputs["y"].shape == (1024, 1024)
        assert not client.ready("leaving")


def test_too_many_calls_at_once_are_refused(serving) -> None:
    gate = Gate(exclusive=False)
    address, *_ = serving({"gate": gate}, max_concurrent_calls=2)
    with ServerClient(address) as client, ThreadPoolExecutor() as pool:
        answers = [pool.submit(client.infer, "gate", {}) for _ in range(2)]
        for _ in answers:
            assert gate.entered.acquire(timeout=20)
        with pytest.raises(ServerError) as caught:
            client.check()
        assert caught.value.code == "RESOURCE_EXHAUSTED"
        gate.opened.set()
        for answer in answers:
            answer.result(20)


def test_a_bug_in_a_model_is_an_internal_error_and_counted(serving) -> None:
    address, *_ = serving({"broken": Broken(exclusive=True)})
    with ServerClient(address) as client:
        for _ in range(2):  # the second finds the machine free again
            with pytest.raises(ServerError, match="ZeroDivisionError: a bug") as caught:
                client.infer("broken", {}, timeout_s=10)
            assert caught.value.code == "INTERNAL"
        assert client.statistics("broken").fail_count == 2


def test_servers_without_our_stamps_give_no_clock(serving) -> None:
    address, *_ = serving({})
    with ServerClient(address) as client:
        assert client.clock_offset() is None
        assert len(client.rtt(3)) == 3


@pytest.fixture
def profiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serving) -> Callable[[str], ServerClient]:
    """A client of a server whose profiler's child is the given source."""
    clients: list[ServerClient] = []

    def start(source: str) -> ServerClient:
        prelude = (
            "from offload.serving.child_process import answer, read_settings\nimport json, time\ns = read_settings()\n"
        )
        (tmp_path / "fake_profiler.py").write_text(prelude + source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        model = ProfileInChild(threads=3, memory_bytes=2**30, max_time_s=100, module="fake_profiler")
        address, *_ = serving({"offload-profile": model})
        clients.append(ServerClient(address, timeout_s=20))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


def objects(**values: bytes) -> dict[str, np.ndarray]:
    return {name: np.array([value], np.object_) for name, value in values.items()}


def test_a_profile_is_made_in_a_child_with_the_servers_threads(profiler) -> None:
    client = profiler("answer(profile=json.dumps([open(s['path'], 'rb').read().hex(), s['threads'], s['profile']]))")
    settings = b'{"precision": 0.02, "max_time_s": 5}'
    result = client.infer("offload-profile", objects(model=b"\x00\xff", settings=settings))
    expected = b'["00ff", 3, {"precision": 0.02, "max_time_s": 5}]'
    assert result.outputs["profile"].tolist() == [expected]
    default = client.infer("offload-profile", objects(model=b"\x00\xff"))
    assert default.outputs["profile"].tolist() == [b'["00ff", 3, {"max_time_s": 60.0}]']


@pytest.mark.parametrize(
    "settings", [b"{", b"[]", b"[" * 100_000, b'{"max_time_s": 101}', b'{"max_time_s": 0}', b'{"max_time_s": "1"}']
)
def test_profile_settings_are_checked(profiler, settings: bytes) -> None:
    with pytest.raises(ServerError, match="settings") as caught:
        profiler("").infer("offload-profile", objects(model=b"", settings=settings))
    assert caught.value.code == "INVALID_ARGUMENT"


def test_a_profiler_that_reports_an_error_or_dies_is_an_error(profiler) -> None:
    with pytest.raises(ServerError, match="dynamic shapes"):
        profiler("answer(error='dynamic shapes')").infer("offload-profile", objects(model=b""))
    with pytest.raises(ServerError, match="exit status 7"):
        profiler("import os; os._exit(7)").infer("offload-profile", objects(model=b""))


def test_a_profile_nobody_waits_for_is_stopped(profiler, tmp_path: Path) -> None:
    client = profiler(f"import os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    with pytest.raises(ServerError, match="did not answer within"):
        client.infer("offload-profile", objects(model=b""), timeout_s=2)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def test_the_real_profiler_refuses_what_is_not_a_model(client: ServerClient) -> None:
    with pytest.raises(ServerError, match="not an ONNX model"):
        client.infer("offload-profile", objects(model=b"nonsense"))
