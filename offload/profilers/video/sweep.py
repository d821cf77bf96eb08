"""The settings of ELF's loop that a video profile tries: one in the middle, and from it each alone up and down."""

from __future__ import annotations

from collections.abc import Sequence

from offload.artifacts.video_profile import Setting

EXPANSIONS = (0.0, 0.1, 0.2, 0.3, 0.4)
INTERVALS = (1, 2, 3, 5, 8)
RATIOS = (0.3, 0.4, 0.5)
QUALITIES = (60, 80, 95)
QUALITY = 80
"""In the middle; what crops are timed with."""
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


def _changed(setting: Setting, **fields: object) -> Setting:
    return setting.model_copy(update=fields)
