"""The digits of a scene: what each looks like, when it is there, and where."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from offload.datasets.digit_sources import glyphs
from offload.datasets.digits_in_motion.background import MARGIN
from offload.datasets.digits_in_motion.trajectories import FAMILIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.datasets.digits_in_motion.scene import SceneSettings

SMALLEST, LARGEST = 24, 160
"""Pixels that a digit's drawing is enlarged to."""
_SLOWEST, _FASTEST = 40.0, 360.0
"""Pixels a second."""
_SHORTEST, _LONGEST = 45, 240
"""Frames that a digit lives, if it does not leave."""
_OLDEST = 60
"""Frames that a digit has lived at most when a clip begins."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MovingDigit:
    """One digit from its birth to its death."""

    identity: int
    glyph: int
    """Index among the split's."""
    colour: tuple[int, int, int]
    born: int
    """Frame; below 0 for one that is there before the clip begins."""
    path: NDArray[np.float64]
    """Shape (frames of its life, 3): its centre on the background, and its size, pixels."""

    def lives(self, frame: int) -> bool:
        """Whether it is there."""
        return self.born <= frame < self.born + len(self.path)

    def place(self, frame: int) -> tuple[float, float, int]:
        """Centre on the background and size while it lives, pixels."""
        x, y, size = self.path[frame - self.born]
        return float(x), float(y), round(size)


def moving_digits(random: np.random.Generator, settings: SceneSettings) -> list[MovingDigit]:
    """As many at a time as the density asks for: where one ends its life, another begins."""
    drawings = len(glyphs(settings.split)[1])
    digits: list[MovingDigit] = []
    for _ in range(settings.density):
        born = -int(random.integers(0, _OLDEST))
        while born < settings.frames:
            which = int(random.integers(0, drawings))
            path = _path(random, settings)
            digits.append(
                MovingDigit(
                    identity=len(digits) + 1,
                    glyph=which,
                    colour=_colour(random),
                    born=born,
                    path=path,
                )
            )
            born += len(path)
    return digits


def _path(random: np.random.Generator, settings: SceneSettings) -> NDArray[np.float64]:
    families = FAMILIES[settings.split]
    family = families[int(random.integers(0, len(families)))]
    speed = random.uniform(_SLOWEST, _FASTEST) / settings.fps
    path = family(random, int(random.integers(_SHORTEST, _LONGEST)), speed)
    path[:, 0] += MARGIN + random.uniform(0, settings.width)
    path[:, 1] += MARGIN + random.uniform(0, settings.height)
    path[:, 2] *= math.exp(random.uniform(math.log(SMALLEST), math.log(LARGEST)))
    np.clip(path[:, 2], SMALLEST, LARGEST, out=path[:, 2])
    # No camera sees beyond the background's edge: its place is free for another.
    outside = ((path[:, :2] < 0) | (path[:, :2] > [settings.width + 2 * MARGIN, settings.height + 2 * MARGIN])).any(
        axis=1
    )
    return path[: max(1, int(outside.argmax()))] if outside.any() else path


def _colour(random: np.random.Generator) -> tuple[int, int, int]:
    """Bright or dark."""
    low, high = (190, 256) if random.integers(0, 2) else (0, 51)
    red, green, blue = (int(value) for value in random.integers(low, high, 3))
    return red, green, blue
