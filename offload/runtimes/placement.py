"""Which processors a pool's threads run on.

A worker that is woken after a pause often lands on the core of the thread that called it, which spins there until
the worker is done: milliseconds are lost in each parallel step. So workers are pinned to cores of their own, and the
caller keeps off these while it runs the model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@cache
def worker_processors(threads: int) -> tuple[int, ...]:
    """Processors for the `threads - 1` workers of a pool: one a physical core, the first core left to the caller.

    Empty, for no pinning, when there are too few cores or the system does not tell which this process may use.
    ONNX Runtime pins workers, too, when it is left to choose the number of threads.
    """
    cores: dict[str, int] = {}
    for processor in sorted(_allowed()):
        topology = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        try:
            siblings = topology.read_text(encoding="ascii").strip()
        except OSError:
            siblings = str(processor)
        cores.setdefault(siblings, processor)
    return tuple(cores.values())[1:threads] if len(cores) >= threads else ()


@contextmanager
def caller_off(workers: tuple[int, ...]) -> Iterator[None]:
    """Keep the calling thread off the workers' processors; costs two system calls, and nothing without workers."""
    allowed = _allowed() if workers else set()
    if not allowed - set(workers):
        yield
        return
    os.sched_setaffinity(0, allowed - set(workers))
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _allowed() -> set[int]:
    """Processors the calling thread may run on; empty where the system does not tell."""
    try:
        return os.sched_getaffinity(0)
    except (AttributeError, OSError):
        return set()
