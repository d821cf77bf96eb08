"""Traces that are made up, by name: for a look at what a policy does before anything was recorded.

Nothing here is measured. The rates of `wifi`, `lte` and `3g` are those that JointDNN's Table 3 gives (after Huang et
al., MobiSys 2012); how they vary around them is an assumption: the logarithm of the rate follows an autoregression of
first order, a value a second.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

from offload.simulation.traces import Trace

STEP_S = 1.0
_KEPT = 0.9
"""How much of a second's deviation is left in the next."""

Generator = Callable[[float, float, random.Random], Trace]
"""From the plan's own value, the duration in seconds and a source of chance."""


def _levels(levels: Sequence[float], duration_s: float) -> Trace:
    """Each level for an equal part of the duration."""
    starts = tuple(duration_s * number / len(levels) for number in range(len(levels)))
    return Trace(starts_s=starts, values=tuple(levels), period_s=duration_s)


def _seconds(duration_s: float) -> int:
    return max(1, math.ceil(duration_s / STEP_S))


def _each_second(values: Sequence[float]) -> Trace:
    starts = tuple(number * STEP_S for number in range(len(values)))
    return Trace(starts_s=starts, values=tuple(values), period_s=len(values) * STEP_S)


def _around(middle: float, spread: float) -> Generator:
    """Rates that wander around a median; `spread` is the standard deviation of the logarithm."""

    def generate(_: float, duration_s: float, chance: random.Random) -> Trace:
        deviation, values = chance.gauss(0, spread), []
        for _second in range(_seconds(duration_s)):
            values.append(middle * math.exp(deviation))
            deviation = _KEPT * deviation + chance.gauss(0, spread * math.sqrt(1 - _KEPT**2))
        return _each_second(values)

    return generate


def _random_walk(least: float, most: float) -> Generator:
    """A walk in the logarithm, turned back at `least` and `most` times the plan's value; no load is below 1."""

    def generate(own: float, duration_s: float, chance: random.Random) -> Trace:
        low, high = math.log(own * least), math.log(own * most)
        place, values = math.log(own), []
        for _second in range(_seconds(duration_s)):
            values.append(math.exp(place))
            place = min(high, max(low, place + chance.gauss(0, 0.25)))
        return _each_second(values)

    return generate


def _ramp(own: float, duration_s: float, _: random.Random) -> Trace:
    """From the plan's own load to a hundred times that, by an equal factor each second."""
    count = _seconds(duration_s)
    return _each_second([own * 100 ** (number / max(1, count - 1)) for number in range(count)])


BANDWIDTHS: Mapping[str, Generator] = {
    "steps": lambda own, duration_s, _: _levels(
        [own * part for part in (1, 1 / 4, 1 / 16, 1 / 64, 1 / 16, 1 / 4)], duration_s
    ),
    "random-walk": _random_walk(1 / 50, 2.0),
    "wifi": _around(18.88e6, 0.5),
    "lte": _around(5.85e6, 0.7),
    "3g": _around(1.1e6, 0.6),
}
"""Rates in bits per second, by name."""
LOADS: Mapping[str, Generator] = {
    "steps": lambda own, duration_s, _: _levels([own * times for times in (1, 2, 5, 20, 5, 2)], duration_s),
    "random-walk": _random_walk(1.0, 50.0),
    "ramp": _ramp,
}
"""How many times longer the server takes, by name."""
