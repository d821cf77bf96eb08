"""The objects that a video is believed to show: where each was in the last frames, as detectors told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offload.video.boxes import NO_BOXES
from offload.video.indexing import NEW, indexed

if TYPE_CHECKING:
    from offload.video.boxes import Boxes
    from offload.video.proposals.base import History, Predictor

PATIENCE = 3
"""Frames for which an object that was not found again is still looked for, where it is predicted to be; as many as it
was found in, less one, where these are fewer: what a detector imagines in a single frame is not looked for twice."""


class Tracks:
    """Boxes of each object in the last frames, kept up to date frame by frame.

    Args:
        predictor: Tells where each object is next.
        width: Of the frame, pixels.
        height: Likewise.
    """

    def __init__(self, predictor: Predictor, *, width: int, height: int) -> None:
        self._predictor, self._width, self._height = predictor, width, height
        self._history: History = np.zeros((0, predictor.window, 4))
        self._missed = np.zeros(0, np.int64)
        self._hits = np.zeros(0, np.int64)
        self.predicted: Boxes = NO_BOXES

    def __len__(self) -> int:
        return len(self._history)

    def predict(self) -> Boxes:
        """Where each is expected in the next frame, pixels; also kept as `predicted`."""
        if len(self):
            self.predicted = self._predictor.predict(self._history, width=self._width, height=self._height)
        else:
            self.predicted = NO_BOXES
        return self.predicted

    def update(self, found: Boxes) -> None:
        """What was found in the frame that `predict` was about; objects that were not stay as predicted for a while."""
        matched = indexed(self.predicted, found, width=self._width, height=self._height)
        old, new = matched[matched != NEW], found[matched == NEW]
        latest = self.predicted.copy()
        latest[old] = found[matched != NEW]
        missed = self._missed + 1
        missed[old] = 0
        hits = self._hits.copy()
        hits[old] += 1
        kept = missed <= np.minimum(PATIENCE, hits - 1)
        history = np.concatenate([self._history[kept, 1:], latest[kept, None]], axis=1)
        begun = np.full((len(new), self._predictor.window, 4), np.nan)
        begun[:, -1] = new
        self._history = np.concatenate([history, begun])
        self._missed = np.concatenate([missed[kept], np.zeros(len(new), np.int64)])
        self._hits = np.concatenate([hits[kept], np.ones(len(new), np.int64)])
