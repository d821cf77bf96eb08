"""The columns of Triton's perf_analyzer, so that a verification can be read by what reads its CSV files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from offload.artifacts.verification import Measurement, RequestSample
from offload.reports.document import Scalar

COLUMNS = (
    "Concurrency",
    "Inferences/Second",
    "Client Send",
    "Network+Server Send/Recv",
    "Server Queue",
    "Server Compute Input",
    "Server Compute Infer",
    "Server Compute Output",
    "Client Recv",
    "p50 latency",
    "p90 latency",
    "p95 latency",
    "p99 latency",
)
"""As `perf_analyzer -f FILE` writes them in its concurrency mode."""
_PARTS: dict[str, Callable[[RequestSample], float | None]] = {
    "Client Send": lambda sample: sample.encode_s,
    "Server Queue": lambda sample: sample.queue_s,
    "Server Compute Input": lambda sample: sample.compute_input_s,
    "Server Compute Infer": lambda sample: sample.server_s,
    "Server Compute Output": lambda sample: sample.compute_output_s,
    "Client Recv": lambda sample: sample.receive_s,
}


def perf_analyzer_record(measurement: Measurement, *, batch: int) -> dict[str, Scalar]:
    """One option as a row of perf_analyzer's report.

    Durations are whole microseconds, means over the requests, as there. Requests are made one at a time
    (concurrency 1), and `Inferences/Second` is what that gives without the rests between them. The latency is that of
    the whole request, so what the parts leave of its mean is what the device computes. As there, the network is what
    the client waited less the server's parts, and never below 0. A part that the file does not tell is empty.
    """
    samples = measurement.samples
    mean_s = _mean([sample.latency_s for sample in samples]) or 0.0
    row: dict[str, Scalar] = {"Concurrency": 1, "Inferences/Second": round(batch / mean_s, 3)}
    parts = {name: _mean([part(sample) for sample in samples]) for name, part in _PARTS.items()}
    known = [seconds for seconds in parts.values() if seconds is not None]
    device_s = _mean([sample.device_s for sample in samples]) or 0.0
    network_s = max(0.0, mean_s - device_s - sum(known)) if len(known) == len(parts) else None
    latencies = {f"p{number} latency": seconds for number, seconds in measurement.percentiles_s.items()}
    durations = {"Network+Server Send/Recv": network_s, **parts, **latencies}
    row |= {name: None if seconds is None else round(seconds * 1e6) for name, seconds in durations.items()}
    return {name: row[name] for name in COLUMNS}


def _mean(values: Sequence[float | None]) -> float | None:
    """None when any is not known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
