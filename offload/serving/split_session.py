"""Execute a divided model: the head here, the tail on a server, every step timed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from offload.artifacts.verification import RequestSample
from offload.graph.cuts import Cut
from offload.profilers.reference import waited_s
from offload.serving.client import ServerClient
from offload.serving.timing import ClockOffset, InferResult, ModelCounts

if TYPE_CHECKING:
    from offload.codecs.base import Array, Codec
    from offload.runtimes.base import Session

_NO_SERVER = dict.fromkeys(
    (
        *("encode_s", "uplink_s", "queue_s", "decode_s", "server_s", "downlink_s"),
        *("compute_input_s", "compute_output_s", "receive_s"),
    ),
    0.0,
)


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
    }


class SplitSession:
    """Runs one way of dividing a model.

    Args:
        head: The device's side and the inputs it reads; None when everything runs on the server.
        tail: Name of the model on the server; None when everything runs on the device.
        client: The connection; may be None only without a tail.
        cut: What crosses and what comes back.
        outputs: The model's outputs.
        codec: How the tensors cross.
        slowdown: An emulated slower device, 1 or more: it computes its side this many times over, and goes on until
            so many times the first run are over, since a run right after another is some percent faster. Resting
            instead would not do: a core that rested comes back slower.
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
        codec: Codec,
        slowdown: float = 1.0,
        offset: ClockOffset | None = None,
        downlink_s: float = 0.0,
    ) -> None:
        self._head, self._tail, self._client, self._cut = head, tail, client, cut
        self._outputs, self._codec = tuple(outputs), codec
        self._slowdown, self._offset, self._downlink_s = slowdown, offset, downlink_s

    @property
    def slowdown(self) -> float:
        """How many times over the device computes its side."""
        return self._slowdown

    def run(self, feeds: Mapping[str, Array], *, slowed: bool = True) -> tuple[dict[str, Array], RequestSample]:
        """One request: the model's outputs and where the time went.

        Args:
            feeds: The model's inputs.
            slowed: Whether the slower device is emulated, which changes times and nothing else.

        Raises:
            OffloadError: a side failed; the message says which.
        """
        waited_before_s = waited_s()
        started = time.perf_counter()
        known = {**feeds, **self._run_head(feeds, self._slowdown if slowed else 1.0)}
        computed = time.perf_counter()
        times: dict[str, Any] = dict(_NO_SERVER)
        latency_s = computed - started
        if self._tail is not None and self._client is not None:
            sent = {name: self._codec.encode(known[name]) for name in self._cut.crossing}
            encoded = time.perf_counter()
            before = None if self._offset is not None else self._client.statistics(self._tail)
            result = self._client.infer(self._tail, sent)
            known.update({name: result.outputs[name] for name in self._cut.returning})
            times = self._request_times(result, before)
            times["encode_s"] += encoded - computed
            latency_s = (encoded - started) + result.total_s
        outputs = {name: known[name] for name in self._outputs}
        waiting_s = max(0.0, waited_s() - waited_before_s)
        return outputs, RequestSample(device_s=computed - started, **times, latency_s=latency_s, waited_s=waiting_s)

    def _run_head(self, feeds: Mapping[str, Array], slowdown: float) -> dict[str, Array]:
        if self._head is None:
            return {}
        session, inputs = self._head
        needed = {name: feeds[name] for name in inputs}
        started = time.perf_counter()
        produced = session.run(needed)
        until = started + slowdown * (time.perf_counter() - started)
        for _ in range(int(slowdown) - 1):
            session.run(needed)
        while time.perf_counter() < until:
            pass
        return produced

    def _request_times(self, result: InferResult, before: ModelCounts | None) -> dict[str, float]:
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
        }
