"""Measure a model layer by layer, so that the layers add up to what the model really takes.

The unprofiled whole is the truth. Layer times come from the runtime's profiler under the settings of real
execution (all optimisations on) and are mapped back to original layers. Both are measured in interleaved rounds,
each with a reference kernel, until the whole's median is known to the asked precision or the time is up.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from offload.artifacts.estimate import Estimate, median_estimate
from offload.artifacts.profile import KernelGroup, ModelIdentity, Profile, clean_rounds
from offload.graph.model_graph import ModelGraph
from offload.models.loaded import LoadedModel
from offload.profilers.divided import divided_runs
from offload.profilers.instruments import InstrumentedSession, instrumented
from offload.profilers.reference import EmptyCall, ReferenceKernel, dirty_rounds, waited_s
from offload.profilers.rests import PAUSE_S
from offload.progress import NullProgress, Progress
from offload.runtimes.base import Runtime

if TYPE_CHECKING:
    from offload.runtimes.base import Array, Session

_WARM_UP_RUNS = 3
_ROUNDS_A_TAKE = 3
_LOADING_SHARE = 0.2
"""Loading the model again and again may take this share of the time cap."""
_DIVIDING_SHARE = 0.1
"""Running the model in two parts may take this share of the time cap on top of it."""
_SHORTEST_SHARE = 0.1
"""Measuring takes this share of the time cap at least: a machine's speed changes over seconds, and what all falls into
one of them does not show it."""
_MIN_ROUNDS = 15
_MAX_ROUNDS = 400


def random_feeds(graph: ModelGraph, *, seed: int = 0) -> dict[str, Array]:
    """Inputs for a model: floats uniform in [0, 1), integers 0, from a seeded generator."""
    import ml_dtypes  # noqa: F401  gives NumPy the dtype bfloat16
    import numpy as np

    generator = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for name in graph.inputs:
        tensor = graph.tensor_by_name[name]
        dtype = np.dtype(tensor.dtype)
        if "float" in dtype.name:
            feeds[name] = generator.random(tensor.shape).astype(dtype)
        else:
            feeds[name] = np.zeros(tensor.shape, dtype)
    return feeds


def profile_model(
    model: LoadedModel,
    runtime: Runtime,
    identity: ModelIdentity,
    *,
    threads: int,
    precision: float = 0.02,
    max_time_s: float = 60.0,
    power_w: float | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Measure a model on this machine.

    Args:
        model: What to measure.
        runtime: What runs it.
        identity: What to record about it.
        threads: Threads of the runtime.
        precision: Stop when the 95 % interval of the whole's median is within this fraction either way.
        max_time_s: Stop after this many seconds of rounds in any case.
        power_w: Declared power while computing.
        progress: Told of rounds done.

    Raises:
        OffloadError: the model cannot be loaded or run.
    """
    progress = progress or NullProgress()
    with tempfile.TemporaryDirectory(prefix="offload-profile-") as folder:
        progress.start("optimising")
        feeds = random_feeds(model.graph)
        profiled = instrumented(model, runtime, threads=threads, folder=Path(folder))
        reference = ReferenceKernel(runtime, threads=threads)
        progress.finish()
        call = EmptyCall(runtime, threads=threads)
        rounds = _Rounds(lambda: runtime.load(model.whole, threads=threads), profiled, reference, call, feeds)
        stopped = rounds.measure(precision, max_time_s, progress)
        timed = profiled.finish()
    groups = tuple(
        KernelGroup(
            layers=group.layers,
            kernels=group.kernels,
            samples_s=tuple(group.samples_s[run] for run in rounds.profiled_runs),
        )
        for group in timed
    )
    profile = Profile.create(
        model=identity,
        graph=model.graph,
        source="measured",
        runtime=runtime.identity(threads=threads),
        whole_s=tuple(rounds.whole_s),
        profiled_s=tuple(rounds.profiled_s),
        groups=groups,
        reference_s=tuple(rounds.reference_s),
        empty_call_s=tuple(rounds.empty_call_s),
        waited_s=tuple(rounds.waited_s),
        takes=tuple(rounds.takes),
        dirty_rounds=rounds.dirty,
        stopped=stopped,
        precision_reached=rounds.whole.relative_half_width,
        power_w=power_w,
    )
    if stopped == "interrupted" or profile.runtime.compiled:  # each part would be compiled anew
        return profile
    budget_s = _DIVIDING_SHARE * max_time_s
    try:
        divided = divided_runs(profile, model, runtime, feeds, threads=threads, budget_s=budget_s, progress=progress)
    except KeyboardInterrupt:
        return profile.model_copy(update={"stopped": "interrupted"})
    return profile.model_copy(update={"divided": divided})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Round:
    """One round of one profile."""

    reference_s: float
    empty_call_s: float
    whole_s: float
    waited_s: float
    profiled_s: float
    profiled_run: int
    """Which run of the profiled session was timed."""
    take: int
    """Which load of the model was timed."""


class _Rounds:
    """The interleaved rounds of one profile."""

    def __init__(
        self,
        load: Callable[[], Session],
        profiled: InstrumentedSession,
        reference: ReferenceKernel,
        call: EmptyCall,
        feeds: Mapping[str, Array],
    ) -> None:
        self._load, self._profiled, self._reference, self._feeds = load, profiled, reference, feeds
        self._call = call
        self._loading_s = 0.0
        self._take = -1
        self._plain = self._next_take()
        self._done: list[_Round] = []
        """Whole rounds only: one is added in a single step, so an interrupt cannot leave a part of one."""

    @property
    def whole_s(self) -> list[float]:
        return [one.whole_s for one in self._done]

    @property
    def profiled_s(self) -> list[float]:
        return [one.profiled_s for one in self._done]

    @property
    def reference_s(self) -> list[float]:
        return [one.reference_s for one in self._done]

    @property
    def empty_call_s(self) -> list[float]:
        return [one.empty_call_s for one in self._done]

    @property
    def waited_s(self) -> list[float]:
        return [one.waited_s for one in self._done]

    @property
    def profiled_runs(self) -> list[int]:
        return [one.profiled_run for one in self._done]

    @property
    def takes(self) -> list[int]:
        return [one.take for one in self._done]

    @property
    def dirty(self) -> tuple[int, ...]:
        return dirty_rounds(self.reference_s, self.whole_s, self.waited_s)

    @property
    def whole(self) -> Estimate:
        return median_estimate([self._done[index].whole_s for index in clean_rounds(len(self._done), self.dirty)])

    def measure(
        self, precision: float, max_time_s: float, progress: Progress
    ) -> Literal["precision", "time cap", "interrupted"]:
        """Rounds until the precision or the time cap is reached; an interrupt keeps what was measured."""
        progress.start("measuring", _MIN_ROUNDS)
        for _ in range(_WARM_UP_RUNS):
            self._profiled.run(self._feeds)
        started = time.perf_counter()
        try:
            while len(self.whole_s) < _MAX_ROUNDS:
                self._one_round()
                if len(self._done) % _ROUNDS_A_TAKE == 0 and self._loading_s < _LOADING_SHARE * max_time_s:
                    self._plain = self._next_take()
                count = len(self.whole_s)
                elapsed = time.perf_counter() - started
                enough = count - len(self.dirty) >= _MIN_ROUNDS and elapsed >= _SHORTEST_SHARE * max_time_s
                if enough and self.whole.relative_half_width <= precision:
                    return "precision"
                if elapsed >= max_time_s and count >= 3:
                    return "time cap"
                progress.advance(total=self._expected_rounds(precision, max_time_s, elapsed))
        except KeyboardInterrupt:
            if len(self.whole_s) < 3:
                raise
            return "interrupted"
        finally:
            progress.finish()
        return "time cap"

    def _next_take(self) -> Session:
        """The model loaded anew and warm: where it lands in memory makes a difference that no rest of a run shows."""
        started = time.perf_counter()
        session = self._load()
        for _ in range(_WARM_UP_RUNS):
            session.run(self._feeds)
        self._loading_s += time.perf_counter() - started
        self._take += 1
        return session

    def _one_round(self) -> None:
        reference_s = self._reference.time_once()
        empty_call_s = self._call.time_once()
        self._plain.run(self._feeds)
        time.sleep(PAUSE_S)
        waited = waited_s()
        started = time.perf_counter()
        self._plain.run(self._feeds)
        whole_s = time.perf_counter() - started
        waited = max(0.0, waited_s() - waited)
        self._profiled.run(self._feeds)
        time.sleep(PAUSE_S)
        started = time.perf_counter()
        run = self._profiled.run(self._feeds)
        profiled_s = time.perf_counter() - started
        self._done.append(
            _Round(
                reference_s=reference_s,
                empty_call_s=empty_call_s,
                whole_s=whole_s,
                waited_s=waited,
                profiled_s=profiled_s,
                profiled_run=run,
                take=self._take,
            )
        )

    def _expected_rounds(self, precision: float, max_time_s: float, elapsed_s: float) -> float:
        """Rounds it will take: an interval shrinks with the square root of their number."""
        count = len(self.whole_s)
        wanted = count * (self.whole.relative_half_width / precision) ** 2 if count >= 5 else 0
        affordable = max_time_s / (elapsed_s / count)
        wanted = max(wanted, _MIN_ROUNDS, _SHORTEST_SHARE * affordable)
        return max(count + 1.0, min(wanted, affordable, _MAX_ROUNDS))
