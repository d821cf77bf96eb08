"""A link measured over real sockets against a real server: as it was shaped, with uploads, and when things go wrong."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks import link_measurement as shaped
from offload import api
from offload.artifacts.link import LinkProfile
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError
from offload.serving import link_probes
from offload.serving.client import ServerClient
from offload.serving.embedded import EmbeddedServer
from offload.serving.link_emulation import LinkEmulator, LinkShape
from offload.serving.timing import ServerTimes

SIZES = (5_000, 20_000, 60_000, 120_000)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(threads=1) as server:
        yield server


@pytest.fixture
def slow_link(server: EmbeddedServer) -> Iterator[str]:
    up, down = LinkShape(rate_bps=5e6, delay_s=0.005), LinkShape(rate_bps=10e6, delay_s=0.005)
    with LinkEmulator(server.address, uplink=up, downlink=down) as link:
        yield link.address


def measure(address: str, tmp_path: Path, **options: object) -> LinkProfile:
    request = api.LinkRequest(server=address, **({"sizes_bytes": SIZES, "duration_s": 2.0} | options))  # type: ignore[arg-type]
    return api.link(request, workspace=Workspace(tmp_path))


def test_an_emulated_link_is_found_as_it_was_shaped(slow_link: str, tmp_path: Path) -> None:
    found = measure(slow_link, tmp_path)
    assert (found.probes, found.timing, found.stopped) == ("built-in", "one-way", "time")
    assert found.uplink.goodput_bps.value == pytest.approx(5e6, rel=0.3)
    assert found.downlink.goodput_bps.value == pytest.approx(10e6, rel=0.3)
    assert found.rtt_s.value >= 0.010
    assert found.uplink.cold_s is not None
    assert found.link().source == "measured"


def test_any_server_with_uploads_will_do(
    slow_link: str, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_probes, "PROBE_UP", "other-up")
    monkeypatch.setattr(link_probes, "PROBE_DOWN", "other-down")
    monkeypatch.setattr(ServerTimes, "of_response", classmethod(lambda cls, response: None))
    found = measure(slow_link, tmp_path)
    assert (found.probes, found.timing) == ("uploaded", "round trip")
    assert not found.compute_included
    assert found.uplink.goodput_bps.value == pytest.approx(5e6, rel=0.3)
    assert found.downlink.goodput_bps.value == pytest.approx(10e6, rel=0.3)
    with ServerClient(server.address) as client:
        index = client._client.get_model_repository_index()
        assert not [model.name for model in index.models if model.name.startswith("other-")]


class OnlyAlive(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """A server of the protocol that has no models and takes none."""

    def ServerLive(self, request: object, context: object) -> object:  # noqa: N802
        return service_pb2.ServerLiveResponse(live=True)

    def ServerReady(self, request: object, context: object) -> object:  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=True)

    def ServerMetadata(self, request: object, context: object) -> object:  # noqa: N802
        return service_pb2.ServerMetadataResponse(name="other", version="1")

    def ModelReady(self, request: object, context: object) -> object:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=False)


def test_a_server_without_uploads_is_an_error_with_a_hint(tmp_path: Path) -> None:
    other = grpc.server(futures.ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(OnlyAlive(), other)
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    try:
        with pytest.raises(OffloadError) as raised:
            measure(f"127.0.0.1:{port}", tmp_path)
    finally:
        other.stop(None)
    assert "takes no uploads" in raised.value.message
    assert "\n" not in raised.value.message
    assert "explicit" in raised.value.hint


def test_a_message_that_cannot_get_through_names_its_size(server: EmbeddedServer, tmp_path: Path) -> None:
    crawling = LinkShape(rate_bps=100e3)
    with (
        LinkEmulator(server.address, uplink=crawling, downlink=crawling) as link,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("offload.serving.link_measurement._TIMEOUT_S", 1.0)
        with pytest.raises(OffloadError, match=r"a message of 1\.0 MB (up|down) did not get through in 1 s"):
            measure(link.address, tmp_path, sizes_bytes=(1_000, 1_000_000), duration_s=0.5)


def test_a_server_that_dies_before_enough_was_measured_is_an_error(tmp_path: Path) -> None:
    with EmbeddedServer(threads=1) as mortal:
        command = [sys.executable, "-m", "offload", "link", mortal.address, "--duration", "600s"]
        environment = os.environ | {"OFFLOAD_HOME": str(tmp_path)}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        assert process.stderr is not None
        assert any("measuring" in line for line in process.stderr)
        mortal.kill()
        _, rest = process.communicate(timeout=60)
    assert process.returncode in (0, 1), rest
    assert "cannot reach the server" in rest
    assert "Traceback" not in rest


def test_an_interrupt_keeps_what_was_measured(server: EmbeddedServer, tmp_path: Path) -> None:
    output = tmp_path / "link.json"
    command = [sys.executable, "-m", "offload", "link", server.address, "--sizes", "1kB,1MB", "-o", str(output)]
    process = subprocess.Popen([*command, "--duration", "600s"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert any("measuring" in line for line in process.stderr)
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=20)
    assert process.returncode == 130, rest
    assert "error: interrupted" in rest
    assert LinkProfile.load(output).stopped == "interrupted"


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rate_mbit", [20, 100, 450])
def test_a_link_that_the_kernel_shapes_is_found_as_iperf3_finds_it(rate_mbit: int) -> None:
    lacking = shaped.missing()
    if lacking or os.environ.get("OFFLOAD_TEST_NETNS") != "1":
        pytest.skip(f"needs {lacking or 'OFFLOAD_TEST_NETNS=1'}")
    up, down = [], []
    with shaped.shaped_link(rate_mbit) as link:
        for _ in range(3):
            sent = shaped.iperf3_bps(link, upward=True)
            found = shaped.offload_link(link)
            received = shaped.iperf3_bps(link, upward=False)
            up.append(found.uplink.goodput_bps.value / sent)
            down.append(found.downlink.goodput_bps.value / received)
    assert statistics.median(up) == pytest.approx(1, abs=0.05), up
    assert statistics.median(down) == pytest.approx(1, abs=0.05), down
