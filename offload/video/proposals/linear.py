"""Straight on: each side of a box moves along the line that fits its last places best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offload.video.proposals.base import newest_frames, seen, within_frame

if TYPE_CHECKING:
    from offload.video.boxes import Boxes
    from offload.video.proposals.base import History

WINDOW = 4
"""Frames; of 2 to 8 the best on made trajectories for validation, noise of 0 to 5 % of a side."""


class Linear:
    """A least-squares line through the newest frames; an object seen once stays.

    Args:
        window: Frames that the line is fitted to, at least 2.
    """

    name = "linear"

    def __init__(self, window: int = WINDOW) -> None:
        self.window = window

    def predict(self, history: History, *, width: float, height: float) -> Boxes:
        """See `Predictor.predict`."""
        newest, velocity = fitted_line(newest_frames(history, self.window))
        return within_frame(newest + velocity, width, height)


def fitted_line(history: History) -> tuple[Boxes, Boxes]:
    """The least-squares line through all frames in which an object was seen.

    Returns:
        Where the line is in the newest frame, pixels, and by how much it goes on each frame; (objects, 4) each. An
        object that was seen once has no velocity.

    Raises:
        ValueError: an object was seen in none of the frames.
    """
    weight = seen(history).astype(np.float64)[:, :, None]
    places = np.where(weight > 0, history, 0.0)
    time = np.arange(1 - history.shape[1], 1, dtype=np.float64)[None, :, None]
    count = weight.sum(axis=1)
    mean_time, mean_place = (weight * time).sum(axis=1) / count, places.sum(axis=1) / count
    away = weight * (time - mean_time[:, None])
    spread = (away * time).sum(axis=1)
    slope = (away * places).sum(axis=1)
    velocity = np.divide(slope, spread, out=np.zeros_like(slope), where=count > 1)
    return mean_place - velocity * mean_time, velocity
