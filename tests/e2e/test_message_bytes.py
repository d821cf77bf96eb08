"""What messages carry beside tensors, against a proxy of the test's own that counts; and pings as long as answers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest

from offload.artifacts.link import ProtocolCost
from offload.serving.addresses import parse_address
from offload.serving.builtin_models import PROBE_UP
from offload.serving.client import ServerClient
from offload.serving.embedded import EmbeddedServer
from offload.serving.protocol_cost import measure_protocol, message_bytes
from tests import serving_models as models

PAYLOAD: dict[str, np.ndarray] = {"payload": np.zeros(1000, np.uint8), "wait_s": np.zeros(1)}
A_FEW = 8
"""Bytes: of the connection's own upkeep, which come with some requests."""


class CountingProxy:
    """Carries connections to a server on an event loop of its own."""

    def __init__(self, target: str) -> None:
        self.counted = Counter[str]()
        self._target = parse_address(target)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._connect, "127.0.0.1", 0)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection(*self._target)
        await asyncio.gather(self._pump(reader, their_writer, "up"), self._pump(their_reader, writer, "down"))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        while data := await reader.read(65536):
            self.counted[way] += len(data)
            writer.write(data)
        writer.close()

    def each(self, call: Callable[[], object], *, times: int = 9) -> tuple[int, int]:
        """The median bytes of a call, there and back."""
        ups, downs = [], []
        for _ in range(times):
            before = self.counted.copy()
            call()
            time.sleep(0.02)  # what acknowledges the answer
            ups.append(self.counted["up"] - before["up"])
            downs.append(self.counted["down"] - before["down"])
        return sorted(ups)[times // 2], sorted(downs)[times // 2]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(threads=1) as server:
        yield server


def test_the_bytes_counted_are_those_that_another_proxy_counts(server: EmbeddedServer) -> None:
    proxy = CountingProxy(server.address)
    with ServerClient(proxy.address) as client:
        proxy.each(lambda: client.infer(PROBE_UP, PAYLOAD), times=3)  # the first name headers that later ones refer to
        up, down = proxy.each(lambda: client.infer(PROBE_UP, PAYLOAD))
    counted = message_bytes(server.address)
    assert counted[0] == pytest.approx(up - 1008, abs=A_FEW)
    assert counted[1] == pytest.approx(down - 8, abs=A_FEW)
    assert min(counted) > 50


def test_they_stand_for_those_of_a_tail_of_any_size(server: EmbeddedServer) -> None:
    proxy = CountingProxy(server.address)
    counted = message_bytes(server.address)
    with ServerClient(proxy.address) as client:
        for elements in (4, 20_000):
            name = f"offload-{'a' * 24}-{elements:08}"
            client.upload(name, models.scale(size=elements))
            call = partial(client.infer, name, {"x": np.zeros((1, elements), np.float32)})
            proxy.each(call, times=3)
            assert counted == pytest.approx([size - 4 * elements for size in proxy.each(call)], abs=40)


def test_a_measured_protocol_holds_them() -> None:
    samples = measure_protocol(0.0)
    assert len({(one.uplink_message_bytes, one.downlink_message_bytes) for one in samples}) == 1
    cost = ProtocolCost.fit(samples)
    assert cost.uplink.message_bytes == samples[0].uplink_message_bytes > 50
    assert cost.downlink.message_bytes == samples[0].downlink_message_bytes > 100


def test_the_calls_that_tell_the_clock_are_as_long_as_their_answers(server: EmbeddedServer) -> None:
    """Otherwise a slow link takes longer one way, and half of that would move from downlinks to uplinks."""
    proxy = CountingProxy(server.address)
    with ServerClient(proxy.address) as client:
        client.clock_offset(3)
        few, many = (proxy.each(partial(client.clock_offset, calls), times=1) for calls in (5, 45))
    up, down = ((most - least) / 40 for least, most in zip(few, many, strict=True))
    assert up == pytest.approx(down, abs=A_FEW)
    assert up > 250
