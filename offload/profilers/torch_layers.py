"""Run a torch program call by call and time each: by the clock on a CPU, by events on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from offload.models.aten_operators import is_view
from offload.models.loaded import LoadedTorchModel
from offload.models.torch_program import Value, Weight, substitute
from offload.profilers.instruments import GroupTimes
from offload.runtimes.torch import Border, TorchRuntime, torch_errors, torch_settings

if TYPE_CHECKING:
    import torch

    from offload.runtimes.base import Array


class Stopwatch(Protocol):
    """Marks moments of the device's own time, in pairs: before and after a layer."""

    def mark(self) -> None:
        """Mark now: what was asked of the device before is done, what is asked after has not begun."""

    def reset(self) -> None:
        """Forget all marks, as an interrupted run leaves them."""

    def read(self) -> list[float]:
        """Seconds between the marks of each pair since the last reset."""


class ClockStopwatch:
    """The processor's clock, for a device that is done when a call returns."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._marks: list[float] = []

    def mark(self) -> None:
        """See `Stopwatch.mark`."""
        self._marks.append(self._clock())

    def reset(self) -> None:
        """See `Stopwatch.reset`."""
        self._marks = []

    def read(self) -> list[float]:
        """See `Stopwatch.read`."""
        return [after - before for before, after in zip(self._marks[::2], self._marks[1::2], strict=True)]


class Stream(Protocol):
    """As torch.cuda.Stream."""

    def synchronize(self) -> None:
        """Wait until the device has done all that was asked of it in this stream."""


class Event(Protocol):
    """As torch.cuda.Event."""

    def record(self, stream: Any) -> None:
        """Take the time when the device comes to it in the stream."""

    def elapsed_time(self, end: Any) -> float:
        """Milliseconds from this event to another."""


class EventStopwatch:
    """Events in the GPU's stream, which it passes between kernels; it is waited for once, at the reading.

    Args:
        new_event: Makes an event that takes time; events are used again.
        stream: Where the device is asked to run the layers.
    """

    def __init__(self, new_event: Callable[[], Event], stream: Stream) -> None:
        self._new_event, self._stream = new_event, stream
        self._events: list[Event] = []
        self._marked = 0

    def mark(self) -> None:
        """See `Stopwatch.mark`."""
        if self._marked == len(self._events):
            self._events.append(self._new_event())
        self._events[self._marked].record(self._stream)
        self._marked += 1

    def reset(self) -> None:
        """See `Stopwatch.reset`."""
        self._marked = 0

    def read(self) -> list[float]:
        """See `Stopwatch.read`."""
        self._stream.synchronize()
        marked = self._events[: self._marked]
        return [before.elapsed_time(after) / 1e3 for before, after in zip(marked[::2], marked[1::2], strict=True)]


def stopwatch_for(device: torch.device) -> Stopwatch:
    """What tells time on a device."""
    if device.type == "cpu":
        return ClockStopwatch()
    import torch

    stream = torch.cuda.current_stream(device)
    return EventStopwatch(lambda: torch.cuda.Event(enable_timing=True), stream)  # type: ignore[no-untyped-call]


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One call, ready to be made."""

    operator: Callable[..., Any]
    args: Any
    """With `Value` in place of what flows; weights are on the device."""
    kwargs: Mapping[str, Any]
    results: Mapping[str, int | None]
    last_used: tuple[str, ...]
    """Values that nothing reads afterwards."""


class InstrumentedTorchSession:
    """A program whose calls are made one at a time, each between two marks of a stopwatch.

    Args:
        model: What to run.
        runtime: On what; a compiled one's program is run uncompiled, since a compiled whole has no layers.
        threads: Threads of one operator.
        stopwatch: What tells time; None takes the device's own.
    """

    def __init__(
        self, model: LoadedTorchModel, runtime: TorchRuntime, *, threads: int, stopwatch: Stopwatch | None = None
    ) -> None:
        self._graph, self._threads = model.graph, threads
        self._border = Border(runtime)
        self._stopwatch = stopwatch or stopwatch_for(self._border.device)
        with torch_errors("load"), torch_settings(threads):
            self._steps = self._prepare(model)
        self._runs_s: list[list[float]] = []

    def run(self, feeds: Mapping[str, Array]) -> int:
        """See `InstrumentedSession.run`."""
        with torch_errors("run"), torch_settings(self._threads):
            values: dict[str, Any] = {name: self._border.entering(feeds[name]) for name in self._graph.inputs}
            self._stopwatch.reset()
            for step in self._steps:
                self._take(step, values)
            for name in self._graph.outputs:
                self._border.leaving(values[name])
            self._runs_s.append(self._stopwatch.read())
        return len(self._runs_s) - 1

    def finish(self) -> tuple[GroupTimes, ...]:
        """See `InstrumentedSession.finish`; every layer is a group of its own."""
        return tuple(
            GroupTimes(
                layers=(index,),
                kernels=0 if is_view(layer.op) else 1,
                samples_s=[run_s[index] for run_s in self._runs_s],
            )
            for index, layer in enumerate(self._graph.layers)
        )

    def _take(self, step: _Step, values: dict[str, Any]) -> None:
        def concrete(leaf: Any) -> Any:
            return values[leaf.name] if isinstance(leaf, Value) else leaf

        args = substitute(step.args, concrete)
        kwargs = {key: substitute(value, concrete) for key, value in step.kwargs.items()}
        self._stopwatch.mark()
        made = step.operator(*args, **kwargs)
        self._stopwatch.mark()
        for name, position in step.results.items():
            values[name] = made if position is None else made[position]
        for name in step.last_used:
            del values[name]

    def _prepare(self, model: LoadedTorchModel) -> list[_Step]:
        import torch

        weights: dict[str, torch.Tensor] = {}

        def placed(leaf: Any) -> Any:
            if isinstance(leaf, Weight):
                if leaf.name not in weights:
                    weights[leaf.name] = self._border.placed(model.program.weights[leaf.name])
                return weights[leaf.name]
            return self._border.device if isinstance(leaf, torch.device) else leaf

        last = {name: index for index, layer in enumerate(self._graph.layers) for name in layer.inputs}
        return [
            _Step(
                operator=call.operator,
                args=substitute(call.args, placed),
                kwargs={key: substitute(value, placed) for key, value in call.kwargs.items()},
                results=call.results,
                last_used=tuple(
                    name
                    for name in (*layer.inputs, *layer.outputs)
                    if last.get(name, index) == index and name not in self._graph.outputs
                ),
            )
            for index, (call, layer) in enumerate(zip(model.program.calls, self._graph.layers, strict=True))
        ]
