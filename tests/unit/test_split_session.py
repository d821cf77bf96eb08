"""How a request is run and timed on the device's side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from offload.graph.cuts import make_cut
from offload.serving import split_session
from offload.serving.split_session import SplitSession
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
        codec=None,  # type: ignore[arg-type]
        slowdown=slowdown,
    )
    _, sample = session.run({name: np.zeros(1) for name in graph.inputs})
    assert session.repeats == runs
    assert len(takes_s) == 4 - runs
    assert clock.rests == runs - 1
    assert sample.device_s == pytest.approx(device_s)
    assert sample.latency_s == pytest.approx(device_s)
