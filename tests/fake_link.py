"""A server behind a link, without either: only the test moves the clock, so that measuring is exact and instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from offload.artifacts.link import Direction, LinkProfile, RttSample, TransferSample
from offload.serving.builtin_models import PING, PROBE_DOWN, PROBE_UP
from offload.serving.client_errors import ServerError
from offload.serving.timing import InferResult, ModelCounts, ServerInfo, ServerTimes

SIZES = (10_000, 50_000, 250_000, 1_000_000, 5_000_000)


def link_profile(
    *,
    rtts_s: Sequence[float] = (0.010,) * 10,
    overhead_s: float = 0.005,
    burst_bytes: int = 0,
    extra_s: Mapping[int, float] | None = None,
    slower_later: float = 0.0,
    **changes: object,
) -> LinkProfile:
    """A measured link of 20 Mbit/s up and 80 Mbit/s down.

    `burst_bytes` pass at once each way; messages of a size in `extra_s` take so much longer; those of the last two
    rounds of four take `slower_later` of their time longer.
    """
    transfers = []
    directions: tuple[tuple[Direction, float], ...] = (("up", 20e6), ("down", 80e6))
    for number in range(4):
        for direction, rate in directions:
            for size in SIZES:
                seconds = overhead_s + max(0, size - burst_bytes) * 8 / rate + (extra_s or {}).get(size, 0.0)
                seconds = max(0.0, seconds * (1 + slower_later * (number >= 2)))
                transfers.append(
                    TransferSample(
                        direction=direction, size_bytes=size, seconds=seconds, cold=False, at_s=float(number)
                    )
                )
            transfers.append(
                TransferSample(
                    direction=direction, size_bytes=SIZES[0], seconds=overhead_s + SIZES[0] * 8 / rate + 0.010,
                    cold=True, at_s=float(number),
                )
            )  # fmt: skip
    fields: dict[str, object] = {
        "server": "10.0.0.1:8001",
        "server_name": "offload 1",
        "probes": "built-in",
        "timing": "one-way",
        "clock_uncertainty_s": 0.005,
        "clock_drift": 1e-6,
        "rtts": tuple(RttSample(seconds=seconds, at_s=float(n)) for n, seconds in enumerate(rtts_s)),
        "transfers": tuple(transfers),
        "stopped": "time",
    }
    return LinkProfile.create(**(fields | changes))


@dataclass
class FakeServer:
    """What the link and the server are like; `connect` gives a client."""

    up_bps: float = 20e6
    down_bps: float = 80e6
    delay_s: float = 0.005
    """One way."""
    burst_bytes: int = 0
    """What a token bucket lets pass at once, each way."""
    setup_s: float = 0.010
    """Opening a connection."""
    compute_s: float = 0.002
    """Each inference."""
    offset_s: float = 1000.0
    drift: float = 0.0
    stamps: bool = True
    """Whether it tells its times."""
    builtin: bool = True
    uploads: bool = True
    """Whether it keeps what is uploaded."""
    statistics: bool = True
    longest_s: float = float("inf")
    """A message that takes longer times out."""
    ends_after: int | None = None
    """Inferences until `ending` is raised."""
    ending: BaseException = field(default_factory=lambda: ServerError("gone", code="UNAVAILABLE"))
    now_ns: int = 10**9
    inferences: int = 0
    models: set[str] = field(default_factory=set)
    connections: int = 0
    computed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.builtin:
            self.models |= {PING, PROBE_UP, PROBE_DOWN}

    def connect(self) -> FakeClient:
        self.connections += 1
        return FakeClient(self)

    def clock(self) -> Any:
        """In place of the module `time`."""
        return SimpleNamespace(
            perf_counter=lambda: self.now_ns / 1e9, perf_counter_ns=lambda: self.now_ns, sleep=self.wait
        )

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)

    def theirs_ns(self) -> int:
        return self.now_ns + round(self.offset_s * 1e9 + self.drift * self.now_ns)

    def carry(self, size_bytes: int, rate_bps: float) -> None:
        self.wait(self.delay_s + max(0, size_bytes - self.burst_bytes) * 8 / rate_bps)


class FakeClient:
    """The part of `ServerClient` that a measurement uses."""

    address = "fake:1"

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._fresh = True

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.connections -= 1

    def check(self) -> ServerInfo:
        self._call()
        return ServerInfo(name="fake", version="1", extensions=())

    def ready(self, name: str) -> bool:
        self._call()
        return name in self._server.models

    def upload(self, name: str, onnx: bytes) -> None:
        self._call()
        assert onnx
        if self._server.uploads:
            self._server.models.add(name)

    def unload(self, name: str) -> None:
        self._server.models.discard(name)

    def statistics(self, name: str) -> ModelCounts:
        self._call()
        if not self._server.statistics:
            raise ServerError("no statistics", code="UNIMPLEMENTED")
        count = self._server.computed.get(name, 0)
        return ModelCounts(
            inferences=count, executions=count, success_count=count, success_s=count * self._server.compute_s,
            fail_count=0, fail_s=0.0, queue_s=0.0, compute_input_s=0.0, compute_infer_s=count * self._server.compute_s,
            compute_output_s=0.0,
        )  # fmt: skip

    def infer(self, name: str, feeds: Mapping[str, Any], *, timeout_s: float | None = None) -> InferResult:
        server = self._server
        if server.ends_after is not None and server.inferences >= server.ends_after:
            raise server.ending
        server.inferences += 1
        server.computed[name] = server.computed.get(name, 0) + 1
        outputs: dict[str, Any] = {}
        up = down = 0
        if "payload" in feeds:
            up = feeds["payload"].size
            outputs["count"] = np.array([up], np.int64)
        elif "count" in feeds:
            down = int(feeds["count"][0])
            outputs["payload"] = np.zeros(down, np.uint8)
        started_ns = server.now_ns
        self._connect()
        server.carry(up, server.up_bps)
        received_ns = server.theirs_ns()
        server.wait(server.compute_s)
        sent_ns = server.theirs_ns()
        server.carry(down, server.down_bps)
        if (server.now_ns - started_ns) / 1e9 > server.longest_s:
            raise ServerError("too late", code="DEADLINE_EXCEEDED")
        times = ServerTimes(
            received_ns=received_ns, sent_ns=sent_ns, queue_ns=0, compute_input_ns=0,
            compute_infer_ns=sent_ns - received_ns, compute_output_ns=0,
        )  # fmt: skip
        return InferResult(
            outputs=outputs, encoding_ns=started_ns, started_ns=started_ns, finished_ns=server.now_ns,
            decoded_ns=server.now_ns, server=times if server.stamps else None,
        )  # fmt: skip

    def _call(self) -> None:
        self._connect()
        self._server.wait(2 * self._server.delay_s)

    def _connect(self) -> None:
        if self._fresh:
            self._server.wait(self._server.setup_s)
            self._fresh = False
