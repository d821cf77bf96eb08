"""What a model has done since it was loaded, counted as Triton's ModelStatistics counts it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any


@dataclass(kw_only=True)
class RequestTimes:
    """Where one request's time on the server went, nanoseconds."""

    queue_ns: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0
    decode_ns: int = 0
    """Of `compute_input_ns`: decoding payloads."""


class ModelCounters:
    """Counts and summed durations of one loaded model; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_inference_ms = 0
        self._success = [0, 0]
        self._fail = [0, 0]
        self._phases = RequestTimes()

    def record_success(self, times: RequestTimes, total_ns: int) -> None:
        """One inference answered in `total_ns`."""
        with self._lock:
            self._last_inference_ms = time.time_ns() // 1_000_000
            self._success[0] += 1
            self._success[1] += total_ns
            self._phases.queue_ns += times.queue_ns
            self._phases.compute_input_ns += times.compute_input_ns
            self._phases.compute_infer_ns += times.compute_infer_ns
            self._phases.compute_output_ns += times.compute_output_ns

    def record_failure(self, total_ns: int) -> None:
        """One inference refused or failed after `total_ns`."""
        with self._lock:
            self._fail[0] += 1
            self._fail[1] += total_ns

    def fill(self, message: Any) -> None:
        """Write the counters into a `ModelStatistics` message."""
        with self._lock:
            count = self._success[0]
            message.last_inference = self._last_inference_ms
            message.inference_count = count
            message.execution_count = count
            stats = message.inference_stats
            stats.success.count, stats.success.ns = self._success
            stats.fail.count, stats.fail.ns = self._fail
            durations = (
                (stats.queue, self._phases.queue_ns),
                (stats.compute_input, self._phases.compute_input_ns),
                (stats.compute_infer, self._phases.compute_infer_ns),
                (stats.compute_output, self._phases.compute_output_ns),
            )
            for duration, nanoseconds in durations:
                duration.count, duration.ns = count, nanoseconds
