"""How a request is run and timed on the device's side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from offload.artifacts.breakdown import TIME_FIELDS
from offload.codecs.base import Codec
from offload.graph.cuts import make_cut
from offload.serving import split_session
from offload.serving.client import ServerClient
from offload.serving.split_session import Encoding, SplitSession
from offload.serving.timing import ClockOffset, InferResult, ServerTimes
from tests import synthetic


class Clock:
    """A clock that only its sessions and rests move."""

    def __init__(self) -> None:
        self.now_s, self.rests = 0.0, 0

    def perf_counter(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.rests += 1


@pytest.mark.parametrize(
    ("slowdown", "runs", "device_s"), [(1.0, 1, 3.0), (1.5, 2, 1.5 * 2.0), (8.0, 4, 8 * 2.5), (30.0, 4, 30 * 2.5)]
)
def test_a_slower_devices_time_is_the_median_run_so_many_times_over(
    monkeypatch: pytest.MonkeyPatch, slowdown: float, runs: int, device_s: float
) -> None:
    clock, graph, takes_s = Clock(), synthetic.chain(), [3.0, 1.0, 9.0, 2.0]

    class Head:
        def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            clock.now_s += takes_s.pop(0)
            return {name: np.zeros(1) for name in graph.outputs}

    monkeypatch.setattr(split_session, "time", clock)
    session = SplitSession(
        head=(Head(), graph.inputs),
        tail=None,
        client=None,
        cut=make_cut(graph, range(len(graph.layers))),
        outputs=graph.outputs,
        slowdown=slowdown,
    )
    _, sample = session.run({name: np.zeros(1) for name in graph.inputs})
    assert session.repeats == runs
    assert len(takes_s) == 4 - runs
    assert clock.rests == runs - 1
    assert sample.device_s == pytest.approx(device_s)
    assert sample.latency_s == pytest.approx(device_s)


MS = 1_000_000


class Client:
    """A server 5 ms away each way that takes 1 ms to decode, computes for 20 ms and takes 2 ms to make the answer."""

    def infer(self, name: str, feeds: Mapping[str, np.ndarray]) -> InferResult:
        server = ServerTimes(
            received_ns=106 * MS, sent_ns=129 * MS, queue_ns=0, compute_input_ns=MS, compute_infer_ns=20 * MS,
            compute_output_ns=2 * MS,
        )  # fmt: skip
        return InferResult(
            outputs={"t2": np.zeros(1)}, encoding_ns=0, started_ns=MS, finished_ns=34 * MS, decoded_ns=35 * MS,
            server=server,
        )  # fmt: skip


@pytest.mark.parametrize(("load", "server_s", "latency_s"), [(1.0, 0.020, 0.035), (3.0, 0.060, 0.075)])
def test_what_a_loaded_server_computes_counts_so_many_times_and_nothing_else_does(
    monkeypatch: pytest.MonkeyPatch, load: float, server_s: float, latency_s: float
) -> None:
    graph = synthetic.chain()
    monkeypatch.setattr(split_session, "time", Clock())
    session = SplitSession(
        head=None,
        tail="tail",
        client=cast(ServerClient, Client()),
        cut=make_cut(graph, ()),
        outputs=graph.outputs,
        server_load=load,
        offset=ClockOffset(offset_ns=100 * MS, uncertainty_ns=0),
    )
    feeds = {name: np.zeros(1) for name in graph.inputs}
    _, sample = session.run(feeds)
    assert sample.server_s == pytest.approx(server_s)
    assert sample.latency_s == pytest.approx(latency_s)
    others = {"encode_s": 0.001, "uplink_s": 0.005, "decode_s": 0.001, "downlink_s": 0.008}
    assert {name: getattr(sample, name) for name in others} == pytest.approx(others)
    assert sum(getattr(sample, name) for name in TIME_FIELDS) == pytest.approx(latency_s)
    _, as_it_is = session.run(feeds, slowed=False)
    assert (as_it_is.server_s, as_it_is.latency_s) == pytest.approx((0.020, 0.035))


class Encoder:
    """A codec whose encoding takes as long as the clock is told."""

    text, lossless, max_bytes = "tested", True, 5

    def __init__(self, clock: Clock, takes_s: list[float]) -> None:
        self.clock, self.takes_s = clock, takes_s

    def encode(self, array: np.ndarray) -> bytes:
        self.clock.now_s += self.takes_s.pop(0)
        return bytes(5)


class Payloads(Client):
    """The same server, which decodes payloads for 0.5 ms of that 1 ms; it notes what it was sent."""

    def infer(self, name: str, feeds: Mapping[str, np.ndarray]) -> InferResult:
        self.feeds = feeds
        result = super().infer(name, feeds)
        assert result.server is not None
        return replace(result, server=replace(result.server, decode_ns=MS // 2))


@pytest.mark.parametrize(("slowdown", "encode_s"), [(1.0, 0.003), (8.0, 8 * 0.0025)])
@pytest.mark.parametrize("load", [1.0, 3.0])
def test_a_slower_device_encodes_as_much_slower_and_a_loaded_server_decodes_so(
    monkeypatch: pytest.MonkeyPatch, slowdown: float, encode_s: float, load: float
) -> None:
    clock, graph, client = Clock(), synthetic.chain(), Payloads()
    monkeypatch.setattr(split_session, "time", clock)
    encoder = Encoder(clock, [0.003, 0.001, 0.009, 0.002])
    session = SplitSession(
        head=None,
        tail="tail",
        client=cast(ServerClient, client),
        cut=make_cut(graph, ()),
        outputs=graph.outputs,
        encoding=Encoding(tensor="input", codec=cast(Codec, encoder), input="payload"),
        slowdown=slowdown,
        server_load=load,
        offset=ClockOffset(offset_ns=100 * MS, uncertainty_ns=0),
    )
    _, sample = session.run({"input": np.zeros(1)})
    assert {name: array.dtype for name, array in client.feeds.items()} == {"payload": np.uint8}
    assert sample.payload_bytes == client.feeds["payload"].size == 5
    assert sample.device_s == 0
    assert sample.encode_s == pytest.approx(encode_s + 0.001)
    assert sample.payload_decode_s == pytest.approx(load * 0.0005)
    assert sample.decode_s == pytest.approx(0.0005 + load * 0.0005)
    assert sample.server_s == pytest.approx(load * 0.020)
    assert sum(getattr(sample, name) for name in TIME_FIELDS) == pytest.approx(sample.latency_s)


@pytest.mark.parametrize(("decoder_s", "moved_s"), [(0.008, 0.008), (0.5, 0.020)])
def test_a_decoder_within_the_servers_model_is_told_as_decoding(
    monkeypatch: pytest.MonkeyPatch, decoder_s: float, moved_s: float
) -> None:
    clock, graph = Clock(), synthetic.chain()
    monkeypatch.setattr(split_session, "time", clock)
    session = SplitSession(
        head=None,
        tail="tail",
        client=cast(ServerClient, Client()),
        cut=make_cut(graph, ()),
        outputs=graph.outputs,
        encoding=Encoding(
            tensor="input", codec=cast(Codec, Encoder(clock, [0.003])), input="payload", decoder_s=decoder_s
        ),
        server_load=2.0,
        offset=ClockOffset(offset_ns=100 * MS, uncertainty_ns=0),
    )
    _, sample = session.run({"input": np.zeros(1)})
    assert sample.payload_decode_s == pytest.approx(2 * moved_s)
    assert sample.server_s == pytest.approx(2 * (0.020 - moved_s))
    assert sum(getattr(sample, name) for name in TIME_FIELDS) == pytest.approx(sample.latency_s)
