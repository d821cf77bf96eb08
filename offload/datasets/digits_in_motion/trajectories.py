"""How an object moves: its centre and its size over time, in pixels and frames.

Clips for training and for testing have other families: a predictor that learnt the ones has not seen the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.datasets.base import Split

    Path = NDArray[np.float64]
    """Shape (frames, 3): x and y of the centre from where it began, and the size as a multiple of that at first."""
    Family = Callable[[np.random.Generator, int, float], Path]
    """From a generator, frames and a speed in pixels a frame."""


def _constant(random: np.random.Generator, frames: int, speed: float) -> Path:
    time = np.arange(frames)
    right, down = _heading(random)
    return _path(right * speed * time, down * speed * time, np.ones(frames))


def _sinusoidal(random: np.random.Generator, frames: int, speed: float) -> Path:
    time = np.arange(frames)
    right, down = _heading(random)
    period, reach = random.uniform(20, 60), random.uniform(10, 60)
    swing = reach * np.sin(2 * math.pi * (time / period + random.uniform()))
    swing -= swing[0]
    return _path(right * speed * time - down * swing, down * speed * time + right * swing, np.ones(frames))


def _scaling(random: np.random.Generator, frames: int, speed: float) -> Path:
    path = _constant(random, frames, speed)
    path[:, 2] = np.exp(random.uniform(-0.5, 0.7) * np.arange(frames) / max(frames, 40))
    return path


def _accelerated(random: np.random.Generator, frames: int, speed: float) -> Path:
    """Pushed at random, held to twice the speed."""
    pushes = random.normal(0, speed / 8, (frames, 2))
    velocity = np.array(_heading(random)) * speed
    places = np.zeros((frames, 2))
    for frame in range(1, frames):
        velocity = velocity + pushes[frame]
        velocity *= min(1.0, 2 * speed / max(float(np.hypot(*velocity)), 1e-9))
        places[frame] = places[frame - 1] + velocity
    return _path(places[:, 0], places[:, 1], np.ones(frames))


def _reversing(random: np.random.Generator, frames: int, speed: float) -> Path:
    """Straight on, then straight back, at once."""
    time = np.arange(frames)
    half = random.integers(15, 45)
    along = speed * (half - np.abs((time + random.integers(0, half)) % (2 * half) - half))
    right, down = _heading(random)
    along = along - along[0]
    return _path(right * along, down * along, np.ones(frames))


def _circling(random: np.random.Generator, frames: int, speed: float) -> Path:
    """Around a point, while it grows and shrinks."""
    time, radius = np.arange(frames), random.uniform(40, 160)
    angle = 2 * math.pi * random.uniform() + random.choice([-1, 1]) * speed / radius * time
    right, down = radius * np.cos(angle), radius * np.sin(angle)
    size = 1 + 0.3 * np.sin(2 * math.pi * time / random.uniform(40, 90))
    return _path(right - right[0], down - down[0], size)


FAMILIES: Mapping[Split, tuple[Family, ...]] = {
    "train": (_constant, _sinusoidal, _scaling),
    "validation": (_constant, _sinusoidal, _scaling),
    "test": (_accelerated, _reversing, _circling),
}
"""By split; validation clips move as those for training do, with other objects."""


def _heading(random: np.random.Generator) -> tuple[float, float]:
    angle = random.uniform(0, 2 * math.pi)
    return math.cos(angle), math.sin(angle)


def _path(right: NDArray[np.floating], down: NDArray[np.floating], size: NDArray[np.floating]) -> Path:
    return np.stack([right, down, size], axis=1).astype(np.float64, copy=False)
