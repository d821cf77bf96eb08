"""The simplest predictor: everything stays where it was last seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offload.video.proposals.base import newest_frames, within_frame

if TYPE_CHECKING:
    from offload.video.boxes import Boxes
    from offload.video.proposals.base import History


class Hold:
    """Repeats the last box."""

    name = "hold"
    window = 1

    def predict(self, history: History, *, width: float, height: float) -> Boxes:
        """See `Predictor.predict`."""
        return within_frame(newest_frames(history, self.window)[:, -1], width, height)
