"""Frames are sent whole or not at all: a micro-classifier on the device decides (FilterForward, SysML 2019).

A frame that is not sent has the last answer. So is one that was sent and not answered, and the next is asked about
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from offload.video.detections import Detections
from offload.video.methods.base import FramePlan
from offload.video.methods.micro_classifier import features_of, look_at
from offload.video.methods.whole import whole_asks

if TYPE_CHECKING:
    from offload.video.clips import Frame
    from offload.video.methods.base import Ask
    from offload.video.methods.micro_classifier import Look, MicroClassifier
    from offload.video.partitioning import ServerCost

_FOLLOWED = 0.3
"""Score from which an object of the last answer tells where to look for change."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Answered:
    """The last frame that has an answer of its own."""

    number: int
    look: Look
    found: Detections


@dataclass(kw_only=True)
class FrameFilter:
    """A `Method`.

    Args:
        classifier: Decides.
        width: Of the frame, pixels.
        height: Likewise.
        servers: What each server is thought to take, None for one that is not there; may be replaced at any time.
    """

    classifier: MicroClassifier
    width: int
    height: int
    servers: Sequence[ServerCost | None]
    _last: _Answered | None = field(default=None, init=False)
    _look: Look | None = field(default=None, init=False)

    def plan(self, number: int, frame: Frame) -> FramePlan:
        """See `Method`."""
        self._look = look_at(frame)
        if self._last is not None and not self._stale(self._last, number, self._look):
            return FramePlan(number=number, asks=())
        return FramePlan(number=number, asks=whole_asks(self.servers, self.width, self.height))

    def take(self, plan: FramePlan, answers: Sequence[tuple[Ask, Detections]]) -> Detections:
        """See `Method`."""
        if answers and self._look is not None:
            found = Detections.together([part for _, part in answers])
            self._last = _Answered(number=plan.number, look=self._look, found=found)
        return self._last.found if self._last is not None else Detections.none()

    def _stale(self, last: _Answered, number: int, look: Look) -> bool:
        boxes = last.found.boxes[last.found.scores >= _FOLLOWED]
        features = features_of(
            last.look, look, waited=number - last.number, boxes=boxes, width=self.width, height=self.height
        )
        return bool(self.classifier.stale(np.array([features]))[0])
