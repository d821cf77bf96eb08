"""Which settings of ELF's loop are worth measuring together, once each was measured alone."""

from __future__ import annotations

import itertools

from offload.artifacts.video_profile import ReplayRecord, Setting
from offload.profilers.video.sweep import EXPANSIONS, INTERVALS, QUALITIES, RATIOS, WHOLE, combinations, settings
from tests.made_video_profiles import replay

_LOST = {
    "expansion": {0.0: 3.0, 0.1: 1.5, 0.7: 0.8},
    "interval": {1: 0.6, 2: 0.8, 5: 1.3, 8: 2.0},
    "ratio": {0.3: 4.0, 0.4: 2.0, 0.75: 0.5},
    "quality": {60: 1.2},
}
_BYTES = {
    "expansion": {0.0: 0.8, 0.1: 0.9, 0.3: 1.1, 0.4: 1.2, 0.7: 1.5},
    "interval": {1: 2.0, 2: 1.3, 5: 0.8, 8: 0.7},
    "ratio": {0.3: 0.7, 0.4: 0.85, 0.75: 1.6},
    "quality": {60: 0.6, 95: 2.5},
}
_MIDDLE = 0.02
"""AP50 that the middle loses."""


def _measured(setting: Setting, together: float = 0.0, middle: float = _MIDDLE) -> ReplayRecord:
    """As if changes multiplied losses and bytes, by tables; and several together lost some more."""
    if setting.whole:
        return replay(setting, ap50=0.8)
    told = {axis: getattr(setting, axis) for axis in _LOST}
    lost, size = middle, 10_000.0
    for axis, value in told.items():
        lost *= _LOST[axis].get(value, 1.0)
        size *= _BYTES[axis].get(value, 1.0)
    lost += together
    record = replay(setting.model_copy(update={"rule": "elf", "interval": 1, "quality": 80}), ap50=0.8 - lost)
    images = tuple(
        tuple(image.model_copy(update={"sent_bytes": round(size)}) for image in frame[:1]) for frame in record.images
    )
    return record.model_copy(update={"setting": setting, "images": images})


def _cheapest(most_lost: float) -> float:
    """Bytes of the cheapest setting of all there are that loses no more."""
    middle = settings(2, ("linear",))[1]
    every = [
        _measured(middle.model_copy(update={"expansion": p, "interval": n, "ratio": ratio, "quality": quality}))
        for p, n, ratio, quality in itertools.product(EXPANSIONS, INTERVALS, RATIOS, QUALITIES)
    ]
    return min(one.bytes_a_frame for one in every if one.accuracy.ap50 >= 0.8 - most_lost - 1e-9)


def test_the_cheapest_of_all_combinations_is_measured_where_changes_multiply() -> None:
    measured = [_measured(setting) for setting in settings(2, ("linear", "hold"))]
    found = combinations(measured)
    assert not {one.setting for one in measured} & set(found)
    assert len(set(found)) == len(found) <= 3
    every = [*measured, *map(_measured, found)]
    for most_lost in (0.01, 0.02):
        good = [one for one in every if one.accuracy.ap50 >= 0.8 - most_lost - 1e-9 and one.setting.rule == "elf"]
        assert min(one.bytes_a_frame for one in good) == _cheapest(most_lost)


def test_what_loses_more_together_than_was_thought_makes_the_next_ones_careful() -> None:
    measured = [_measured(setting) for setting in settings(2, ("linear", "hold"))]
    first = combinations(measured)
    worse = [_measured(setting, together=0.004) for setting in first]
    assert any(0.78 < one.accuracy.ap50 < 0.79 for one in worse)  # which was to lose a point at most
    second = combinations([*measured, *worse])
    assert not set(first) & set(second)
    assert any(_measured(setting, together=0.004).accuracy.ap50 >= 0.79 - 1e-9 for setting in second)


def test_where_nothing_finds_enough_what_finds_most_is_measured() -> None:
    measured = [_measured(setting, middle=0.15) for setting in settings(2, ("linear", "hold"))]
    found = combinations(measured)
    best = max(one.accuracy.ap50 for one in measured if not one.setting.whole)
    assert found
    assert all(_measured(setting, middle=0.15).accuracy.ap50 >= best for setting in found)
    assert WHOLE not in found
