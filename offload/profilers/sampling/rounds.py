"""The rounds in which a random network is timed, with and without the instrument that tells of its kernels."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from offload.profilers.reference import EmptyCall, ReferenceKernel, waited_s
from offload.profilers.rests import PAUSE_S
from offload.runtimes.base import Runtime

_ROUNDS_S = 0.3
"""What the rounds of one network take at least, within the number of rounds."""
_FEWEST_ROUNDS, _MOST_ROUNDS = 4, 8


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """What the rounds of one network told."""

    reference_s: float
    """The reference kernel meanwhile, the median."""
    empty_call_s: float
    """The empty call meanwhile, the median."""
    whole_s: tuple[float, ...]
    """The network without the instrument, one sample a round."""
    runs: tuple[int, ...]
    """Which run of the instrument was each round's."""


def timed_rounds(
    plain: Callable[[], object], instrument: Callable[[], int], runtime: Runtime, *, threads: int
) -> Rounds:
    """Run a network with and without the instrument in interleaved rounds, each run after a rest.

    Args:
        plain: Runs the network once; it has run before.
        instrument: Runs it once with the instrument, and says which run of it that was.
        runtime: What it runs on, and what shows how fast the machine is meanwhile.
        threads: Of the runtime.
    """
    reference, call = ReferenceKernel(runtime, threads=threads), EmptyCall(runtime, threads=threads)
    references: list[float] = []
    calls: list[float] = []
    wholes: list[float] = []
    runs: list[int] = []
    started = time.perf_counter()
    while len(wholes) < _MOST_ROUNDS:
        if len(wholes) >= _FEWEST_ROUNDS and time.perf_counter() - started > _ROUNDS_S:
            break
        references.append(reference.time_once())
        calls.append(call.time_once())
        plain()
        time.sleep(PAUSE_S)
        waited_s()  # as in a profile, whose timed runs find the core awake
        begun = time.perf_counter()
        plain()
        wholes.append(time.perf_counter() - begun)
        instrument()
        time.sleep(PAUSE_S)
        runs.append(instrument())
    return Rounds(reference_s=median(references), empty_call_s=median(calls), whole_s=tuple(wholes), runs=tuple(runs))
