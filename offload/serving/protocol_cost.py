"""Measure what the serving protocol costs where the network costs nothing."""

from __future__ import annotations

import time
from statistics import median_low
from typing import TYPE_CHECKING

import numpy as np

from offload.artifacts.link import ProtocolSample
from offload.errors import OffloadError
from offload.profilers.rests import PAUSE_S
from offload.serving.builtin_models import PROBE_DOWN, PROBE_UP
from offload.serving.client import ServerClient
from offload.serving.embedded import EmbeddedServer
from offload.serving.link_probes import WAIT_S
from offload.serving.message_bytes import CountingRelay
from offload.serving.split_session import request_times

if TYPE_CHECKING:
    from offload.runtimes.base import Array

_SIZES_BYTES = (4_000, 150_000, 600_000, 2_400_000)
_ROUNDS = 7
_COUNTED_BYTES = 1000
_UNCOUNTED = 3
"""The first requests name headers that later ones refer to."""
_COUNTED = 9


def measure_protocol(computing_s: float) -> tuple[ProtocolSample, ...]:
    """Requests of several sizes, each way, to a server on this machine that computes nothing; sizes interleaved.

    What such requests carry beside their tensors is counted afterwards, on another connection: a relay that counts
    takes time.

    Args:
        computing_s: What the model takes: the server waits as long, at most `WAIT_S`, before it answers.

    Raises:
        OffloadError: the server does not start or answer.
    """
    wait = {"wait_s": np.array([min(computing_s, WAIT_S)])}
    payloads = [np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8) for size in _SIZES_BYTES]
    samples: list[tuple[int, int, dict[str, float]]] = []
    with EmbeddedServer(threads=1) as server, ServerClient(server.address) as client:
        offset = client.clock_offset()
        if offset is None:
            raise OffloadError("the embedded server does not tell its clock")
        for round_number in range(_ROUNDS + 1):
            for payload in payloads:
                time.sleep(PAUSE_S)
                up = request_times(client.infer(PROBE_UP, {"payload": payload} | wait), offset)
                time.sleep(PAUSE_S)
                count = np.array([payload.size], np.int64)
                down = request_times(client.infer(PROBE_DOWN, {"count": count} | wait), offset)
                if round_number:  # the first round warms the connection up
                    samples.append((payload.size, 8, up))
                    samples.append((8, payload.size, down))
        message = message_bytes(server.address)
    return tuple(_sample(*sample, message) for sample in samples)


def message_bytes(address: str) -> tuple[int, int]:
    """Bytes that a request and its answer carry beside their tensors, on a connection in use.

    They hardly depend on the tensors' sizes (15 bytes more for 2.4 MB), but on the lengths of names: the request has
    two inputs, as much as one beside a name as long as tails have.

    Args:
        address: Of one of our own servers.

    Raises:
        OffloadError: the server does not answer.
    """
    payload = np.zeros(_COUNTED_BYTES, np.uint8)
    feeds: dict[str, Array] = {"payload": payload, "wait_s": np.zeros(1)}
    tensors_up, tensors_down = payload.nbytes + 8, 8
    found = []
    with CountingRelay(address) as relay, ServerClient(relay.address) as client:
        for request_number in range(_UNCOUNTED + _COUNTED):
            before = relay.uplink_bytes, relay.downlink_bytes
            client.infer(PROBE_UP, feeds)
            time.sleep(PAUSE_S)  # what acknowledges the answer
            if request_number >= _UNCOUNTED:
                found.append((relay.uplink_bytes - before[0], relay.downlink_bytes - before[1]))
    up, down = zip(*found, strict=True)
    return median_low(up) - tensors_up, median_low(down) - tensors_down


def _sample(
    uplink_bytes: int, downlink_bytes: int, times: dict[str, float], message: tuple[int, int]
) -> ProtocolSample:
    return ProtocolSample(
        uplink_bytes=uplink_bytes,
        downlink_bytes=downlink_bytes,
        encode_s=times["encode_s"],
        uplink_s=times["uplink_s"],
        decode_s=times["decode_s"],
        downlink_s=times["downlink_s"],
        uplink_message_bytes=message[0],
        downlink_message_bytes=message[1],
    )
