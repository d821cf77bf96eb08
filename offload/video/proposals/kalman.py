"""SORT's constant-velocity Kalman filter (Bewley et al., ICIP 2016), run over the window for all objects at once.

The state is [u, v, s, r] and the velocities of the first three: the box's centre in pixels, its area in square pixels
and its ratio of width to height, which is taken to stay. Nothing couples the four, so the filter of seven states is
four small ones, and covariances are a few numbers each. Variances are those of the authors' implementation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offload.video.boxes import areas, centres
from offload.video.proposals.base import newest_frames, seen, within_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.video.boxes import Boxes
    from offload.video.proposals.base import History

WINDOW = 5
"""Frames; of 3 to 20 the best on made trajectories for validation, noise of 0 to 5 % of a side."""
MEASURED = np.array([1.0, 1.0, 10.0, 10.0])
"""Variance of what a detector says of u, v, s and r."""
MOVED = np.array([1.0, 1.0, 1.0, 1.0])
"""Variance that a frame adds to each of them."""
PUSHED = np.array([1e-2, 1e-2, 1e-4, 0.0])
"""Variance that a frame adds to each one's velocity; r has none."""
FIRST = np.array([10.0, 10.0, 10.0, 10.0])
"""Variance of each of them when an object was just seen."""
FIRST_VELOCITY = np.array([1e4, 1e4, 1e4, 0.0])
"""Likewise of the velocities, of which nothing is known then."""
_LEAST_SIDE = 1e-3
"""Pixels; a box without area has no ratio."""


class Kalman:
    """The filter begins where an object was first seen in the window; where it was missed, nothing is measured.

    Args:
        window: Frames that it runs over.
    """

    name = "kalman"

    def __init__(self, window: int = WINDOW) -> None:
        self.window = window

    def predict(self, history: History, *, width: float, height: float) -> Boxes:
        """See `Predictor.predict`."""
        history = newest_frames(history, self.window)
        measured, there = _measured(history), seen(history)
        shape = (len(history), 4)
        state, velocity = np.zeros(shape), np.zeros(shape)
        variance, shared, of_velocity = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        begun = np.zeros((len(history), 1), np.bool_)
        for frame in range(history.shape[1]):
            state, velocity = _moved(state, velocity)
            variance = variance + 2 * shared + of_velocity + MOVED
            shared = shared + of_velocity
            of_velocity = of_velocity + PUSHED

            now = there[:, frame, None]
            gain = np.where(now, variance / (variance + MEASURED), 0.0)
            velocity_gain = np.where(now, shared / (variance + MEASURED), 0.0)
            surprise = measured[:, frame] - state
            state, velocity = state + gain * surprise, velocity + velocity_gain * surprise
            of_velocity = of_velocity - velocity_gain * shared
            variance, shared = (1 - gain) * variance, (1 - gain) * shared

            state = np.where(begun, state, measured[:, frame])
            velocity, shared = np.where(begun, velocity, 0.0), np.where(begun, shared, 0.0)
            variance = np.where(begun, variance, FIRST)
            of_velocity = np.where(begun, of_velocity, FIRST_VELOCITY)
            begun = begun | now
        state, _ = _moved(state, velocity)
        return within_frame(_boxes(state), width, height)


def _measured(history: History) -> NDArray[np.float64]:
    """[u, v, s, r] of each box, shape (objects, frames, 4); those of a box that was not seen are of no use."""
    boxes = np.nan_to_num(history).reshape(-1, 4)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], _LEAST_SIDE)
    columns = [centres(boxes), np.maximum(areas(boxes), _LEAST_SIDE**2)[:, None], (sides[:, 0] / sides[:, 1])[:, None]]
    return np.concatenate(columns, axis=1).reshape(history.shape)


def _moved(
    state: NDArray[np.float64], velocity: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A frame later; as SORT has it, an area that would vanish stays."""
    velocity = velocity.copy()
    velocity[:, 2] = np.where(state[:, 2] + velocity[:, 2] <= 0, 0.0, velocity[:, 2])
    return state + velocity, velocity


def _boxes(state: NDArray[np.float64]) -> Boxes:
    area, ratio = np.maximum(state[:, 2:3], 0.0), np.maximum(state[:, 3:4], 1e-6)
    half = np.concatenate([np.sqrt(area * ratio), np.sqrt(area / ratio)], axis=1) / 2
    return np.concatenate([state[:, :2] - half, state[:, :2] + half], axis=1)
