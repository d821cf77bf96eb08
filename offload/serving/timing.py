"""Where the time of a request went, from the client's clock and, where it tells them, the server's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from offload.runtimes.base import Array


@dataclass(frozen=True, kw_only=True)
class ServerTimes:
    """What our own server tells about one request; its clock, nanoseconds."""

    received_ns: int
    sent_ns: int
    queue_ns: int
    compute_input_ns: int
    compute_infer_ns: int
    compute_output_ns: int
    decode_ns: int = 0
    """Of `compute_input_ns`: decoding payloads; 0 from a server of a version that decodes none."""

    @classmethod
    def of_response(cls, response: Any) -> Self | None:
        """From a `ModelInferResponse`; None when the server does not tell."""
        told = {
            key: response.parameters[f"offload_{key}"].int64_param
            for key in cls.__dataclass_fields__
            if f"offload_{key}" in response.parameters
        }
        return cls(**told) if {*told, "decode_ns"} == set(cls.__dataclass_fields__) else None

    @property
    def total_s(self) -> float:
        """Between receiving the request and sending the response."""
        return (self.sent_ns - self.received_ns) / 1e9


@dataclass(frozen=True, kw_only=True)
class ClockOffset:
    """The server's clock minus ours, as NTP estimates it.

    A link that is slower one way than the other shifts it, by no more than the uncertainty.
    """

    offset_ns: int
    uncertainty_ns: int
    """Half the round trip it was estimated from."""


@dataclass(frozen=True, kw_only=True)
class InferResult:
    """Outputs of one inference, with the client's clock (`time.perf_counter_ns`) around each step."""

    outputs: Mapping[str, Array]
    encoding_ns: int
    started_ns: int
    finished_ns: int
    decoded_ns: int
    server: ServerTimes | None
    """None when the server does not tell its times."""

    @property
    def encode_s(self) -> float:
        """Making the request's tensors."""
        return (self.started_ns - self.encoding_ns) / 1e9

    @property
    def call_s(self) -> float:
        """The call, there and back."""
        return (self.finished_ns - self.started_ns) / 1e9

    @property
    def decode_s(self) -> float:
        """Making arrays of the response."""
        return (self.decoded_ns - self.finished_ns) / 1e9

    @property
    def total_s(self) -> float:
        """From arrays to arrays."""
        return (self.decoded_ns - self.encoding_ns) / 1e9

    @property
    def network_s(self) -> float:
        """The call without the server's part, as far as the server tells it."""
        return self.call_s - (self.server.total_s if self.server else 0.0)

    def uplink_s(self, offset: ClockOffset) -> float | None:
        """From starting the call to the server having the request; None when the server does not tell."""
        if self.server is None:
            return None
        return (self.server.received_ns - offset.offset_ns - self.started_ns) / 1e9

    def downlink_s(self, offset: ClockOffset) -> float | None:
        """From the server sending the response to having it here; None when the server does not tell."""
        if self.server is None:
            return None
        return (self.finished_ns - self.server.sent_ns + offset.offset_ns) / 1e9


def best_offset(results: Sequence[InferResult]) -> ClockOffset | None:
    """The clock offset from the result that spent the least time on the network; None when no server told its clock."""
    told = [(result, result.server) for result in results if result.server is not None]
    if not told:
        return None
    result, server = min(told, key=lambda pair: pair[0].network_s)
    forth_ns, back_ns = server.received_ns - result.started_ns, server.sent_ns - result.finished_ns
    return ClockOffset(offset_ns=(forth_ns + back_ns) // 2, uncertainty_ns=round(result.network_s * 1e9 / 2))


@dataclass(frozen=True, kw_only=True)
class ServerInfo:
    """What a server says about itself."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ModelCounts:
    """A model's statistics since it was loaded; durations are sums over its successes, seconds."""

    inferences: int
    executions: int
    success_count: int
    success_s: float
    fail_count: int
    fail_s: float
    queue_s: float
    compute_input_s: float
    compute_infer_s: float
    compute_output_s: float

    @classmethod
    def of_message(cls, message: Any) -> Self:
        """From a `ModelStatistics` message."""
        stats = message.inference_stats
        return cls(
            inferences=message.inference_count,
            executions=message.execution_count,
            success_count=stats.success.count,
            success_s=stats.success.ns / 1e9,
            fail_count=stats.fail.count,
            fail_s=stats.fail.ns / 1e9,
            queue_s=stats.queue.ns / 1e9,
            compute_input_s=stats.compute_input.ns / 1e9,
            compute_infer_s=stats.compute_infer.ns / 1e9,
            compute_output_s=stats.compute_output.ns / 1e9,
        )
