"""Ask several options in interleaved rounds, so that the slow ones do not eat the run."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from offload.artifacts.verification import RequestSample, Stop
from offload.profilers.rests import PAUSE_S
from offload.progress import Progress

LEAST = 3
"""Requests without which an option counts as not measured."""
LEAST_OF_CHOSEN = 5
"""Requests of the chosen option however long they take, and what an interrupted run is kept for."""
WINDOW_REQUESTS = 10
_STABLE_WINDOWS = 3
_STABLE_WITHIN = 0.1
_REFERENCE_EVERY = 3
_TURN_REQUESTS = 3
_BRIEF_S = 0.1
"""Requests shorter than this feel what ran before them: 3 % of 7 ms was seen."""
_SHORTEST_RUN_S = 30.0
_RESERVED_SHARE = 1 / 3
_OTHERS_SHARE = 2.0
_RECENT = 9


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When a run ends: whichever is reached first. Without a duration it also ends when the latency is stable."""

    requests: int | None
    """Requests of the chosen option."""
    duration_s: float | None

    @property
    def least(self) -> int:
        """Requests of any other option, or it counts as not measured."""
        return min(LEAST, self.requests or LEAST)

    @property
    def least_of_chosen(self) -> int:
        """Requests of the chosen option, even beyond the duration."""
        return min(LEAST_OF_CHOSEN, self.requests or LEAST_OF_CHOSEN)

    def length_s(self, turn_s: float) -> float:
        """How long the run may take when a request of the chosen option takes `turn_s`."""
        if self.duration_s is not None:
            return self.duration_s
        return max(_SHORTEST_RUN_S, (self.requests or 0) * turn_s * (1 + _OTHERS_SHARE))


@dataclass(frozen=True, kw_only=True)
class Contender:
    """An option that can be asked."""

    ask: Callable[[], RequestSample]
    """One request."""
    request_s: float
    """What one takes, as found while warming up."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a run brought."""

    samples: tuple[tuple[RequestSample, ...], ...]
    """By contender; fewer than `Budget.least` for those left out."""
    request_s: tuple[float, ...]
    """What one request took last, by contender."""
    available_s: float
    """What there was for the fewest requests of the other contenders."""
    refused: frozenset[int]
    """Contenders that the run could not afford."""
    stopped: Stop
    measuring_s: float


def is_stable(latencies_s: Sequence[float], *, window: int = WINDOW_REQUESTS) -> bool:
    """Whether the last three windows' medians are within 10 % of their mean, as perf_analyzer means stable."""
    import numpy as np

    needed = _STABLE_WINDOWS * window
    if not window or len(latencies_s) < needed:
        return False
    medians = np.median(np.reshape(latencies_s[-needed:], (_STABLE_WINDOWS, window)), axis=1)
    return bool(np.all(np.abs(medians / medians.mean() - 1) <= _STABLE_WITHIN))


def measure(
    contenders: Sequence[Contender],
    *,
    budget: Budget,
    between: Callable[[], None],
    progress: Progress,
    clock: Callable[[], float] = time.perf_counter,
    rest: Callable[[float], None] = time.sleep,
) -> Measured:
    """Requests of each contender in interleaved rounds; the first contender is the chosen option.

    The chosen option has a turn in every round. The others share twice the time it takes: one that is as fast has
    nearly as many turns, a slow one few. A third of the run is reserved beside that for the fewest requests of each,
    a part in each third of the run; those for which it does not suffice, the slowest first, are not asked at all.
    A turn of brief requests is one that does not count, so that what ran before is forgotten (profiles are made so,
    too), and three that do; a turn of longer requests is one. The order within a round is random.

    Args:
        contenders: The chosen option, then the others.
        budget: When to end.
        between: Called before every third round.
        progress: Told of requests of the chosen option, or of seconds when there is a duration.
        clock: Seconds from any origin.
        rest: Waits for so many seconds, before every request.

    Raises:
        OffloadError: a request failed.
        KeyboardInterrupt: too early for the requests so far to mean anything; later ones end the run.
    """
    return _Run(contenders, budget, between, progress, clock, rest).go()


class _Entrant:
    """A contender, what it answered and what time it may still take."""

    def __init__(self, contender: Contender) -> None:
        self.ask, self.request_s = contender.ask, contender.request_s
        self.samples: list[RequestSample] = []
        self.recent_s: deque[float] = deque(maxlen=_RECENT)
        self.credit_s = 0.0
        """Its part of the chosen option's time that it has not taken yet; below 0 when it was ahead."""
        self.allowed_s = 0.0
        """What it may take, whatever its credit, for the fewest requests; 0 when the run cannot afford them."""
        self.taken_s = 0.0

    @property
    def turn(self) -> int:
        """Requests that count in a turn."""
        return _TURN_REQUESTS if self.request_s < _BRIEF_S else 1

    @property
    def turn_s(self) -> float:
        """What a turn takes."""
        settling = self.request_s < _BRIEF_S
        return (self.turn + settling) * (self.request_s + PAUSE_S)

    def least_s(self, requests: int) -> float:
        """What so many requests take."""
        return math.ceil(requests / self.turn) * self.turn_s

    def note(self, sample: RequestSample, took_s: float) -> None:
        """An answer that counts, and how long asking took."""
        self.samples.append(sample)
        self.recent_s.append(took_s)
        self.request_s = statistics.median(self.recent_s)


class _Run:
    def __init__(
        self,
        contenders: Sequence[Contender],
        budget: Budget,
        between: Callable[[], None],
        progress: Progress,
        clock: Callable[[], float],
        rest: Callable[[float], None],
    ) -> None:
        import numpy as np

        self._entrants = [_Entrant(contender) for contender in contenders]
        self._chosen, *self._others = self._entrants
        self._budget, self._between, self._progress = budget, between, progress
        self._clock, self._rest = clock, rest
        self._order = np.random.default_rng(0)
        self._last: _Entrant | None = None
        length_s = budget.length_s(self._chosen.request_s + PAUSE_S)
        beside_chosen_s = length_s - self._chosen.least_s(budget.least_of_chosen)
        self._available_s = max(0.0, min(_RESERVED_SHARE * length_s, beside_chosen_s))
        credit_s = (
            min(1.0, _OTHERS_SHARE / max(1, len(self._others)))
            * (beside_chosen_s - self._available_s)
            / (1 + _OTHERS_SHARE)
        )
        reserved_s = 0.0
        for other in sorted(self._others, key=lambda entrant: entrant.request_s):
            least_s = other.least_s(budget.least)
            reserved_s += max(0.0, least_s - max(0.0, credit_s))
            if reserved_s <= self._available_s:
                other.allowed_s = least_s
        self._share = min(1.0, _OTHERS_SHARE / max(1, sum(other.allowed_s > 0 for other in self._others)))

    def go(self) -> Measured:
        self._progress.start("verifying", self._budget.duration_s or self._budget.requests)
        self._started = self._told = self._clock()
        number = 0
        try:
            while True:
                stopped = self._ended()
                owed = [other for other in self._others if self._is_owed(other, done=1.0)]
                if stopped is not None and not owed:
                    break
                if number % _REFERENCE_EVERY == 0:
                    self._between()
                    self._last = None
                self._round(number, owed if stopped is not None else [self._chosen, *self._due()])
                number += 1
        except KeyboardInterrupt:
            if len(self._chosen.samples) < LEAST_OF_CHOSEN:
                raise
            stopped = "interrupted"
        finally:
            self._progress.finish()
        return Measured(
            samples=tuple(tuple(entrant.samples) for entrant in self._entrants),
            request_s=tuple(entrant.request_s for entrant in self._entrants),
            available_s=self._available_s,
            refused=frozenset(i for i, entrant in enumerate(self._entrants) if i and not entrant.allowed_s),
            stopped=stopped,
            measuring_s=self._clock() - self._started,
        )

    @property
    def _elapsed_s(self) -> float:
        return self._clock() - self._started

    def _ended(self) -> Stop | None:
        count, budget = len(self._chosen.samples), self._budget
        if budget.requests is not None and count >= budget.requests:
            return "requests"
        if budget.duration_s is not None:
            over = self._elapsed_s + self._chosen.request_s > budget.duration_s
            return "duration" if over and count >= budget.least_of_chosen else None
        return "stable" if is_stable([sample.latency_s for sample in self._chosen.samples]) else None

    def _done(self) -> float:
        """How much of the run is over, as a fraction."""
        requests, duration_s = self._budget.requests, self._budget.duration_s
        by_requests = len(self._chosen.samples) / requests if requests else 0.0
        return max(by_requests, self._elapsed_s / duration_s if duration_s else 0.0)

    def _is_owed(self, other: _Entrant, *, done: float) -> bool:
        """Whether it lags behind the fewest requests, spread over the run, and may still take time for them."""
        least = self._budget.least
        pace = min(least, 1 + int(least * done))
        return len(other.samples) < pace and other.taken_s < other.allowed_s

    def _due(self) -> list[_Entrant]:
        done, duration_s = self._done(), self._budget.duration_s
        left_s = math.inf if duration_s is None else duration_s - self._elapsed_s
        return [
            other
            for other in self._others
            if self._is_owed(other, done=done) or (other.allowed_s and other.turn_s <= min(other.credit_s, left_s))
        ]

    def _round(self, number: int, entrants: list[_Entrant]) -> None:
        for entrant in (entrants[place] for place in self._order.permutation(len(entrants))):
            taken_s = self._turn(entrant, number)
            entrant.taken_s += taken_s
            entrant.credit_s -= taken_s
            if entrant is self._chosen:
                for other in self._others:
                    other.credit_s = min(other.credit_s + self._share * taken_s, 2 * other.turn_s)

    def _turn(self, entrant: _Entrant, number: int) -> float:
        """The requests of one turn; how long they took, in seconds."""
        began = self._clock()
        if entrant is not self._last and entrant.request_s < _BRIEF_S:
            self._rest(PAUSE_S)
            entrant.ask()
        self._last = entrant
        limit = self._budget.requests or math.inf
        for _ in range(entrant.turn):
            if len(entrant.samples) >= limit:
                break
            self._rest(PAUSE_S)  # as the profile was made
            started_s = self._elapsed_s
            sample = replace(entrant.ask(), round_number=number, started_s=started_s)
            entrant.note(sample, self._elapsed_s - started_s)
            if entrant is self._chosen:
                self._tell()
        return self._clock() - began

    def _tell(self) -> None:
        now = self._clock()
        self._progress.advance(1.0 if self._budget.duration_s is None else now - self._told)
        self._told = now
