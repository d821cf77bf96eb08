"""Where the digits of made clips are, without a pixel drawn: what predictors of region proposals learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from offload.datasets.digits_in_motion.background import camera
from offload.datasets.digits_in_motion.drawings import drawing
from offload.datasets.digits_in_motion.moving import MovingDigit, moving_digits
from offload.video.boxes import areas, as_boxes, clipped
from offload.video.proposals.trajectories import Trajectories

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.datasets.base import Split
    from offload.datasets.digits_in_motion.scene import SceneSettings
    from offload.video.boxes import Boxes

_SPLITS: dict[Split, int] = {"train": 1, "validation": 2, "test": 3}
_KEY = 4
"""Tells these draws from those of clips: no clip shows the very paths that were learnt from."""


def drawn_trajectories(settings: SceneSettings) -> Trajectories:
    """The boxes of a scene's digits as its frames would show them, by the split's families; nothing hides another.

    Args:
        settings: Of a scene; the paths are not those of the clip with the same settings.
    """
    random = np.random.default_rng([settings.seed, _SPLITS[settings.split], _KEY])
    return _seen(settings, camera(random, settings.frames, settings.fps), moving_digits(random, settings))


def _seen(settings: SceneSettings, corners: NDArray[np.int64], digits: Sequence[MovingDigit]) -> Trajectories:
    """What a camera whose frames have these left and top corners, (frames, 2), sees."""
    paths: list[Boxes] = []
    for digit in digits:
        first = max(0, digit.born)
        end = max(first, min(settings.frames, digit.born + len(digit.path)))
        boxes = as_boxes(_box(settings.split, digit, frame) for frame in range(first, end))
        boxes = clipped(boxes - np.tile(corners[first:end], 2), settings.width, settings.height)
        shown = np.flatnonzero(areas(boxes) > 0)
        paths.extend(boxes[run] for run in np.split(shown, np.flatnonzero(np.diff(shown) != 1) + 1))
    return Trajectories(
        paths=tuple(path for path in paths if len(path) > 1), width=settings.width, height=settings.height
    )


def _box(split: Split, digit: MovingDigit, frame: int) -> tuple[int, int, int, int]:
    """Around the ink, pixels of the background."""
    x, y, size = digit.place(frame)
    drawn = drawing(split, digit.glyph, size)
    left, top = (round(middle - len(drawn.ink) / 2) for middle in (x, y))
    box = drawn.box
    return box[0] + left, box[1] + top, box[2] + left, box[3] + top
