"""Timing a torch program call by call, by clocks and events that the test holds in its hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from offload.errors import OffloadError
from offload.models.loaded import LoadedTorchModel
from offload.profilers.torch_layers import ClockStopwatch, EventStopwatch, InstrumentedTorchSession
from offload.runtimes.torch import TorchRuntime
from tests.runtimes import loaded


class FakeStream:
    """A GPU's stream: events get their times when it is waited for."""

    def __init__(self) -> None:
        self.now_ms = 0.0
        self.waited = 0
        self.made = 0
        self.pending: list[tuple[FakeEvent, float]] = []

    def new_event(self) -> FakeEvent:
        self.made += 1
        return FakeEvent()

    def synchronize(self) -> None:
        self.waited += 1
        for event, at_ms in self.pending:
            event.at_ms = at_ms
        self.pending.clear()


class FakeEvent:
    at_ms = float("nan")

    def record(self, stream: FakeStream) -> None:
        stream.now_ms += 1.5
        stream.pending.append((self, stream.now_ms))

    def elapsed_time(self, end: Any) -> float:
        return end.at_ms - self.at_ms


@pytest.fixture(scope="module")
def model() -> LoadedTorchModel:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    return loaded(module, {"x": torch.rand(1, 3, 8, 8)})


FEEDS = {"x": np.zeros((1, 3, 8, 8), np.float32)}


def test_a_clock_times_what_is_between_two_marks() -> None:
    ticks: Iterator[float] = iter([1.0, 3.0, 10.0, 10.5])
    stopwatch = ClockStopwatch(lambda: next(ticks))
    for _ in range(4):
        stopwatch.mark()
    assert stopwatch.read() == [2.0, 0.5]
    stopwatch.reset()
    assert stopwatch.read() == []


def test_every_layer_is_a_group_and_has_a_sample_of_every_run(model: LoadedTorchModel) -> None:
    seconds = itertools.count()
    session = InstrumentedTorchSession(
        model, TorchRuntime(), threads=1, stopwatch=ClockStopwatch(lambda: float(next(seconds) ** 2))
    )
    assert [session.run(FEEDS), session.run(FEEDS)] == [0, 1]
    groups = session.finish()
    assert [group.layers for group in groups] == [(0,), (1,), (2,), (3,)]
    assert [group.kernels for group in groups] == [1, 1, 0, 1], "a view runs no kernel"
    assert [group.samples_s[0] for group in groups] == [1.0, 5.0, 9.0, 13.0]
    assert {len(group.samples_s) for group in groups} == {2}


def test_a_gpu_is_waited_for_once_a_run_and_its_events_are_used_again(model: LoadedTorchModel) -> None:
    stream = FakeStream()
    stopwatch = EventStopwatch(stream.new_event, stream)
    session = InstrumentedTorchSession(model, TorchRuntime(), threads=1, stopwatch=stopwatch)
    session.run(FEEDS)
    assert stream.waited == 1
    session.run(FEEDS)
    assert stream.waited == 2
    assert stream.made == 2 * len(model.graph.layers)
    assert all(sample == pytest.approx(1.5e-3) for group in session.finish() for sample in group.samples_s)


def test_marks_of_an_interrupted_run_are_forgotten(model: LoadedTorchModel) -> None:
    class Interrupting(ClockStopwatch):
        left = 4

        def mark(self) -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            super().mark()

    session = InstrumentedTorchSession(model, TorchRuntime(), threads=1, stopwatch=Interrupting())
    with pytest.raises(KeyboardInterrupt):
        session.run(FEEDS)
    assert session.run(FEEDS) == 0
    assert {len(group.samples_s) for group in session.finish()} == {1}


def test_the_interpreter_computes_what_the_session_computes(model: LoadedTorchModel) -> None:
    class Peeking(InstrumentedTorchSession):
        answers: dict[str, Any]

        def _take(self, step: Any, values: dict[str, Any]) -> None:
            super()._take(step, values)
            self.answers = dict(values)

    x = np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32)
    session = Peeking(model, TorchRuntime(), threads=1)
    session.run({"x": x})
    expected = TorchRuntime().load(model.whole, threads=1).run({"x": x})["output"]
    np.testing.assert_array_equal(session.answers["output"].numpy(), expected)
    assert set(session.answers) == {"output"}, "values are freed after their last use"


def test_a_missing_compiler_is_one_line(model: LoadedTorchModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.exc import InvalidCxxCompiler

    def without_compiler(*_: Any, **__: Any) -> Any:
        def fail(*_: Any) -> None:
            raise InvalidCxxCompiler

        return fail

    monkeypatch.setattr(torch, "compile", without_compiler)
    with pytest.raises(OffloadError, match="No working C") as caught:
        TorchRuntime(compiled=True).load(model.whole, threads=1)
    assert "\n" not in caught.value.message
    assert "leave out --compile" in caught.value.hint


def test_memory_that_runs_out_is_one_line(model: LoadedTorchModel, monkeypatch: pytest.MonkeyPatch) -> None:
    session = TorchRuntime().load(model.whole, threads=1)

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has ...")

    monkeypatch.setattr(session, "_module", full)
    with pytest.raises(OffloadError) as caught:
        session.run(FEEDS)
    assert caught.value.message == "torch cannot run the model: the device is out of memory"
    assert "--batch" in caught.value.hint
