"""What a predictor of region proposals does, and what all of them need for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from offload.video.boxes import clipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.video.boxes import Boxes

    History = NDArray[np.float64]
    """Shape (objects, frames, 4): boxes in pixels, the newest frame last, NaN where an object was not seen."""


class Predictor(Protocol):
    """One way to tell where objects will be. Pure: nothing is kept from one call to the next."""

    @property
    def name(self) -> str:
        """As plans call it."""

    @property
    def window(self) -> int:
        """How many of the newest frames it looks at; it takes fewer, and leaves more alone."""

    def predict(self, history: History, *, width: float, height: float) -> Boxes:
        """The box of each object in the frame after the newest.

        Args:
            history: Shape (objects, frames, 4), at least one frame. NaN in the frames before an object was first seen;
                frames in which it was missed later may be NaN, too.
            width: Of the frame, pixels.
            height: Likewise.

        Returns:
            Shape (objects, 4), finite, ordered, within the frame; without area where an object is expected to have
            left it.

        Raises:
            ValueError: an object was seen in none of the frames.
        """


def seen(history: History) -> NDArray[np.bool_]:
    """In which frames each object was seen, shape (objects, frames).

    Raises:
        ValueError: an object was seen in none.
    """
    found: NDArray[np.bool_] = np.logical_not(np.isnan(history).any(axis=2))
    if not np.all(found.any(axis=1)):
        raise ValueError("an object was seen in none of the frames")
    return found


def last_seen(history: History) -> Boxes:
    """The newest box of each object, shape (objects, 4); raises as `seen` does."""
    newest = history.shape[1] - 1 - seen(history)[:, ::-1].argmax(axis=1)
    boxes: Boxes = history[np.arange(len(history)), newest]
    return boxes


def newest_frames(history: History, window: int) -> History:
    """The last frames alone; an object that was seen in none of them counts as being where it was seen last.

    Raises:
        ValueError: an object was seen in none of all frames.
    """
    newest = history[:, -window:]
    missed = np.all(np.isnan(newest), axis=(1, 2))
    if np.any(missed):
        newest = newest.copy()
        newest[missed, -1] = last_seen(history[missed])
    return newest


def within_frame(boxes: Boxes, width: float, height: float) -> Boxes:
    """Predicted boxes as `Predictor.predict` gives them: sides that crossed meet in the middle."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = np.maximum(boxes[:, 2:] - boxes[:, :2], 0) / 2
    return clipped(np.concatenate([middle - half, middle + half], axis=1), width, height)
