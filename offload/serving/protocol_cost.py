"""Measure what the serving protocol costs where the network costs nothing."""

from __future__ import annotations

import time

import numpy as np

from offload.artifacts.link import ProtocolSample
from offload.errors import OffloadError
from offload.profilers.rests import PAUSE_S
from offload.serving.builtin_models import PROBE_DOWN, PROBE_UP
from offload.serving.client import ServerClient
from offload.serving.embedded import EmbeddedServer
from offload.serving.link_probes import WAIT_S
from offload.serving.split_session import request_times

_SIZES_BYTES = (4_000, 150_000, 600_000, 2_400_000)
_ROUNDS = 7


def measure_protocol(computing_s: float) -> tuple[ProtocolSample, ...]:
    """Requests of several sizes, each way, to a server on this machine that computes nothing; sizes interleaved.

    Args:
        computing_s: What the model takes: the server waits as long, at most `WAIT_S`, before it answers.

    Raises:
        OffloadError: the server does not start or answer.
    """
    wait = np.array([min(computing_s, WAIT_S)])
    payloads = [np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8) for size in _SIZES_BYTES]
    samples = []
    with EmbeddedServer(threads=1) as server, ServerClient(server.address) as client:
        offset = client.clock_offset()
        if offset is None:
            raise OffloadError("the embedded server does not tell its clock")
        for round_number in range(_ROUNDS + 1):
            for payload in payloads:
                time.sleep(PAUSE_S)
                up = request_times(client.infer(PROBE_UP, {"payload": payload, "wait_s": wait}), offset)
                time.sleep(PAUSE_S)
                count = np.array([payload.size], np.int64)
                down = request_times(client.infer(PROBE_DOWN, {"count": count, "wait_s": wait}), offset)
                if round_number:  # the first round warms the connection up
                    samples.append(_sample(payload.size, 8, up))
                    samples.append(_sample(8, payload.size, down))
    return tuple(samples)


def _sample(uplink_bytes: int, downlink_bytes: int, times: dict[str, float]) -> ProtocolSample:
    return ProtocolSample(
        uplink_bytes=uplink_bytes,
        downlink_bytes=downlink_bytes,
        encode_s=times["encode_s"],
        uplink_s=times["uplink_s"],
        decode_s=times["decode_s"],
        downlink_s=times["downlink_s"],
    )
