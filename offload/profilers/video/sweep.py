"""The settings of ELF's loop that a video profile tries.

One in the middle, from it each alone up and down, and last what should be good together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from offload.artifacts.video_profile import Setting

if TYPE_CHECKING:
    from offload.artifacts.video_profile import ReplayRecord

EXPANSIONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.7)
INTERVALS = (1, 2, 3, 5, 8)
RATIOS = (0.3, 0.4, 0.5, 0.6, 0.75)
QUALITIES = (60, 80, 95)
QUALITY = 80
"""In the middle; what crops are timed with."""
_AXES = ("expansion", "interval", "ratio", "quality")
_LEAST_LOST = 0.002
_LOSSES = (0.005, 0.01, 0.02)
"""Of AP50 against the whole frame, for each of which the fewest bytes are looked for."""
WHOLE = Setting(servers=1, rule="equal", interval=0, quality=QUALITY)
"""Each frame as it is, which all else is compared with."""


def settings(servers: int, predictors: Sequence[str]) -> list[Setting]:
    """What to try, each once: the frame as it is first, then the middle, then the rest.

    Args:
        servers: How many there are at most.
        predictors: Names, the best one first, which is in the middle.
    """
    middle = Setting(servers=servers, interval=2, ratio=0.6, predictor=predictors[0], quality=QUALITY)
    tried = [WHOLE, middle]
    tried += [_changed(middle, expansion=expansion) for expansion in EXPANSIONS]
    tried += [_changed(middle, interval=interval) for interval in INTERVALS]
    tried += [_changed(middle, ratio=ratio) for ratio in RATIOS]
    tried += [_changed(middle, predictor=predictor) for predictor in predictors]
    tried += [_changed(middle, servers=count) for count in range(1, servers + 1)]
    tried += [_changed(middle, rule="published"), _changed(middle, rule="equal", interval=0)]
    tried += [_changed(each, quality=quality) for quality in QUALITIES for each in (middle, WHOLE)]
    return list(dict.fromkeys(tried))


def combinations(replays: Sequence[ReplayRecord]) -> list[Setting]:
    """Settings of several changes that are worth measuring, after each change was measured alone.

    As if each change multiplied what the middle loses of AP50 against the whole frame, and its bytes, whatever else is
    changed. By as many times as combinations that were measured lose more than that, all others are taken to lose more,
    too. That only chooses what to measure.

    Args:
        replays: Of all that `settings` gives, in its order, and then of combinations.
    """
    whole, middle = replays[0], replays[1]
    measured = {replay.setting: replay for replay in replays}
    alone = [[replay for replay in replays[1:] if _apart(replay, middle) <= {axis}] for axis in _AXES]
    ways: list[tuple[float, float, Setting]] = []
    worse: list[float] = []
    for parts in itertools.product(*alone):
        changes = {axis: getattr(part.setting, axis) for axis, part in zip(_AXES, parts, strict=True)}
        lost = _lost(whole, middle) * math.prod(_lost(whole, part) / _lost(whole, middle) for part in parts)
        size = math.prod(max(1.0, part.bytes_a_frame) / max(1.0, middle.bytes_a_frame) for part in parts)
        setting = _changed(middle.setting, **changes)
        if setting not in measured:
            ways.append((lost, size, setting))
        elif sum(part is not middle for part in parts) > 1:
            worse.append(_lost(whole, measured[setting]) / lost)
    times = max(1.0, median(worse or [1.0]))
    found = []
    for most_lost in _LOSSES:
        good = [way for way in ways if way[0] * times <= most_lost]
        if good:
            found.append(min(good, key=lambda way: way[1])[2])
        elif ways:
            found.append(min(ways, key=lambda way: way[:2])[2])
    return list(dict.fromkeys(found))


def _lost(whole: ReplayRecord, replay: ReplayRecord) -> float:
    """AP50 against the whole frame, as far as it can be told from none."""
    return max(_LEAST_LOST, whole.accuracy.ap50 - replay.accuracy.ap50)


def _apart(replay: ReplayRecord, other: ReplayRecord) -> set[str]:
    """In what two settings differ."""
    return {name for name in Setting.model_fields if getattr(replay.setting, name) != getattr(other.setting, name)}


def _changed(setting: Setting, **fields: object) -> Setting:
    return setting.model_copy(update=fields)
