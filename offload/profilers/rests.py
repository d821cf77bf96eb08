"""How a run is timed: after a rest, as a request finds the machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offload.runtimes.base import Array, Session

PAUSE_S = 0.02
"""Requests come one at a time: a run is timed after a rest, not in a loop, where it would be a few percent faster."""


def timed_after_rest(session: Session, feeds: Mapping[str, Array]) -> float:
    """Seconds of one run, after another that brings back what was there before other sessions ran, and a rest.

    Raises:
        OffloadError: the session cannot be run.
    """
    session.run(feeds)
    time.sleep(PAUSE_S)
    started = time.perf_counter()
    session.run(feeds)
    return time.perf_counter() - started
