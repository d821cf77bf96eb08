"""The settings of ELF's loop that a video profile tries.

One in the middle, from it each alone up and down, and last what should be good together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from offload.artifacts.video_profile import Setting

if TYPE_CHECKING:
    from offload.artifacts.video_profile import ReplayRecord

EXPANSIONS = (0.0, 0.1, 0.2, 0.3, 0.4)
INTERVALS = (1, 2, 3, 5, 8)
RATIOS = (0.3, 0.4, 0.5)
QUALITIES = (60, 80, 95)
QUALITY = 80
"""In the middle; what crops are timed with."""
_AXES = ("expansion", "interval", "ratio", "quality")
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
    middle = Setting(servers=servers, predictor=predictors[0], quality=QUALITY)
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

    As if changes added up: of AP50 their differences, of bytes their ratios. That only chooses what to measure.

    Args:
        replays: Of all that `settings` gives, in its order.
    """
    whole, middle = replays[0], replays[1]
    alone = [
        [
            replay
            for replay in replays[1:]
            if _changed(replay.setting, **{axis: getattr(middle.setting, axis)}) == middle.setting
        ]
        for axis in _AXES
    ]
    ways: list[tuple[float, float, Setting]] = []
    for parts in itertools.product(*alone):
        changes = {axis: getattr(part.setting, axis) for axis, part in zip(_AXES, parts, strict=True)}
        ap50 = middle.accuracy.ap50 + sum(part.accuracy.ap50 - middle.accuracy.ap50 for part in parts)
        size = math.prod(max(1.0, part.bytes_a_frame) / max(1.0, middle.bytes_a_frame) for part in parts)
        ways.append((ap50, size, _changed(middle.setting, **changes)))
    found = []
    for loss in _LOSSES:
        good = [way for way in ways if way[0] >= whole.accuracy.ap50 - loss]
        best = min(good, key=lambda way: way[1]) if good else max(ways, key=lambda way: (way[0], -way[1]))
        found.append(best[2])
    measured = {replay.setting for replay in replays}
    return [setting for setting in dict.fromkeys(found) if setting not in measured]


def _changed(setting: Setting, **fields: object) -> Setting:
    return setting.model_copy(update=fields)
