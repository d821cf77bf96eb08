"""Execute a divided model: the head here, the tail on a server, every step timed."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from offload.artifacts.verification import RequestSample
from offload.graph.cuts import Cut
from offload.profilers.reference import waited_s
from offload.profilers.rests import PAUSE_S
from offload.serving.client import ServerClient
from offload.serving.timing import ClockOffset, InferResult, ModelCounts

if TYPE_CHECKING:
    from offload.codecs.base import Array, Codec
    from offload.runtimes.base import Session

_NO_SERVER = dict.fromkeys(
    (
        *("encode_s", "uplink_s", "queue_s", "decode_s", "server_s", "downlink_s"),
        *("compute_input_s", "compute_output_s", "receive_s", "payload_decode_s"),
    ),
    0.0,
)
_MOST_REPEATS = 4


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How the one tensor that crosses is sent, when not as it is."""

    tensor: str
    """Its name."""
    codec: Codec
    """Encodes it."""
    input: str
    """The server's input that takes the payload."""
    decoder_s: float = 0.0
    """How long decoding takes within what the server computes, where its model decodes by itself; measured apart."""


@dataclass(frozen=True, kw_only=True)
class _DeviceSide:
    """What the device's side of one request gave."""

    produced: dict[str, Array]
    payload: bytes | None
    """None when the tensors cross as they are."""
    device_s: float
    encode_s: float


def request_times(result: InferResult, offset: ClockOffset) -> dict[str, float]:
    """The Breakdown fields of one request, from its client clock and the server's stamps; they sum to its total.

    What the server spends outside computing and queueing is decoding; making the answer belongs to its way back. What
    the runtime's own taking of tensors, making the answer and making arrays of it took of these is told beside them.

    Raises:
        ValueError: the server told no times.
    """
    server, uplink_s, downlink_s = result.server, result.uplink_s(offset), result.downlink_s(offset)
    if server is None or uplink_s is None or downlink_s is None:
        raise ValueError("the server told no times")
    queue_s, infer_s, output_s = server.queue_ns / 1e9, server.compute_infer_ns / 1e9, server.compute_output_ns / 1e9
    return {
        "encode_s": result.encode_s,
        "uplink_s": max(0.0, uplink_s),
        "queue_s": queue_s,
        "decode_s": max(0.0, server.total_s - queue_s - infer_s - output_s),
        "server_s": infer_s,
        "downlink_s": max(0.0, output_s + downlink_s + result.decode_s),
        "compute_input_s": server.compute_input_ns / 1e9,
        "compute_output_s": output_s,
        "receive_s": result.decode_s,
        "payload_decode_s": server.decode_ns / 1e9,
    }


class SplitSession:
    """Runs one way of dividing a model.

    Args:
        head: The device's side and the inputs it reads; None when everything runs on the server.
        tail: Name of the model on the server; None when everything runs on the device.
        client: The connection; may be None only without a tail.
        cut: What crosses and what comes back.
        outputs: The model's outputs.
        encoding: How the crossing tensor is coded; None sends the tensors as they are.
        slowdown: An emulated slower or loaded device, 1 or more: its side, encoding included, is executed as many
            times, at most four, each after a rest as a request finds it, and the medians of both count so many times.
            Repeating without rests would not do: a run right after another is some percent faster, and what a rest
            costs is not the same every time.
        server_load: An emulated load of the server, 1 or more: what it computes, decoding of payloads included, counts
            so many times.
        offset: The server's clock; None where it does not tell its times, then `downlink_s` divides the network.
        downlink_s: The predicted way back, used only without `offset`.
    """

    def __init__(
        self,
        *,
        head: tuple[Session, Sequence[str]] | None,
        tail: str | None,
        client: ServerClient | None,
        cut: Cut,
        outputs: Sequence[str],
        encoding: Encoding | None = None,
        slowdown: float = 1.0,
        server_load: float = 1.0,
        offset: ClockOffset | None = None,
        downlink_s: float = 0.0,
    ) -> None:
        self._head, self._tail, self._client, self._cut = head, tail, client, cut
        self._outputs, self._encoding = tuple(outputs), encoding
        self._slowdown, self._server_load = slowdown, server_load
        self._offset, self._downlink_s = offset, downlink_s

    def run(self, feeds: Mapping[str, Array], *, slowed: bool = True) -> tuple[dict[str, Array], RequestSample]:
        """One request: the model's outputs and where the time went.

        Args:
            feeds: The model's inputs.
            slowed: Whether the slower sides are emulated, which changes times and nothing else.

        Raises:
            OffloadError: a side failed; the message says which.
        """
        waited_before_s = waited_s()
        here = self._run_device(feeds, self._slowdown if slowed else 1.0)
        known = {**feeds, **here.produced}
        times: dict[str, Any] = dict(_NO_SERVER)
        latency_s = here.device_s
        if self._tail is not None and self._client is not None:
            sent = self._sent(known, here.payload)
            before = None if self._offset is not None else self._client.statistics(self._tail)
            result = self._client.infer(self._tail, sent)
            known.update({name: result.outputs[name] for name in self._cut.returning})
            times = self._request_times(result, before)
            times["encode_s"] += here.encode_s
            loaded_s = self._load(times) if slowed else 0.0
            latency_s = here.device_s + here.encode_s + result.total_s + loaded_s
        outputs = {name: known[name] for name in self._outputs}
        waiting_s = max(0.0, waited_s() - waited_before_s)
        payload_bytes = None if here.payload is None else len(here.payload)
        return outputs, RequestSample(
            device_s=here.device_s, **times, latency_s=latency_s, waited_s=waiting_s, payload_bytes=payload_bytes
        )

    @property
    def repeats(self) -> int:
        """How many times a request executes the device's side."""
        works = self._head is not None or self._encoding is not None
        return min(math.ceil(self._slowdown), _MOST_REPEATS) if works else 1

    def _run_device(self, feeds: Mapping[str, Array], slowdown: float) -> _DeviceSide:
        produced: dict[str, Array] = {}
        payload = None
        device_s, encode_s = [0.0], [0.0]
        for number in range(self.repeats if slowdown > 1 else 1):
            if number:
                time.sleep(PAUSE_S)
                waited_s()  # reading it wakes the core, which profiles do before they time a run
            if self._head is not None:
                session, inputs = self._head
                needed = {name: feeds[name] for name in inputs}
                started = time.perf_counter()
                produced = session.run(needed)
                device_s[number:] = [time.perf_counter() - started]
            if self._encoding is not None:
                array = {**feeds, **produced}[self._encoding.tensor]
                started = time.perf_counter()
                payload = self._encoding.codec.encode(array)
                encode_s[number:] = [time.perf_counter() - started]
        return _DeviceSide(
            produced=produced,
            payload=payload,
            device_s=slowdown * statistics.median(device_s),
            encode_s=slowdown * statistics.median(encode_s),
        )

    def _sent(self, known: Mapping[str, Array], payload: bytes | None) -> dict[str, Array]:
        if self._encoding is None or payload is None:
            return {name: known[name] for name in self._cut.crossing}
        return {self._encoding.input: np.frombuffer(payload, np.uint8)}

    def _load(self, times: dict[str, float]) -> float:
        """Make what the server computed as slow as its emulated load does; the seconds that this adds."""
        computing_s = (self._server_load - 1) * times["server_s"]
        decoding_s = (self._server_load - 1) * times["payload_decode_s"]
        times["server_s"] += computing_s
        times["decode_s"] += decoding_s
        times["payload_decode_s"] += decoding_s
        return computing_s + decoding_s

    def _request_times(self, result: InferResult, before: ModelCounts | None) -> dict[str, float]:
        times = self._told_times(result, before)
        if self._encoding is not None and self._encoding.decoder_s:
            decoder_s = min(self._encoding.decoder_s, times["server_s"])
            times["server_s"] -= decoder_s
            times["decode_s"] += decoder_s
            times["payload_decode_s"] += decoder_s
        return times

    def _told_times(self, result: InferResult, before: ModelCounts | None) -> dict[str, float]:
        if self._offset is not None:
            return request_times(result, self._offset)
        if before is None or self._client is None or self._tail is None:
            raise ValueError("without the server's clock its statistics are needed")
        after = self._client.statistics(self._tail)
        queue_s = after.queue_s - before.queue_s
        decode_s = after.compute_input_s - before.compute_input_s
        infer_s = after.compute_infer_s - before.compute_infer_s
        output_s = after.compute_output_s - before.compute_output_s
        network_s = max(0.0, result.call_s - queue_s - decode_s - infer_s - output_s)
        downlink_s = min(self._downlink_s, network_s)
        return {
            "encode_s": result.encode_s,
            "uplink_s": network_s - downlink_s,
            "queue_s": queue_s,
            "decode_s": decode_s,
            "server_s": infer_s,
            "downlink_s": output_s + downlink_s + result.decode_s,
            "compute_input_s": decode_s,
            "compute_output_s": output_s,
            "receive_s": result.decode_s,
            "payload_decode_s": 0.0,
        }
