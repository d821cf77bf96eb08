"""ELF's loop with a watch beside each of its functions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from offload.artifacts.video_profile import ElfFunction
from offload.video.methods.elf import Elf
from offload.video.tracks import Tracks

if TYPE_CHECKING:
    from offload.video.boxes import Boxes
    from offload.video.clips import Frame
    from offload.video.detections import Detections
    from offload.video.methods.base import Ask, FramePlan


@dataclass(kw_only=True)
class TimedElf(Elf):
    """`Elf` that keeps what each of its functions took in each frame.

    Expanding is what is left of planning, and merging what is left of taking the answers in.
    """

    took_s: dict[ElfFunction, list[float]] = field(init=False)
    """By function, in the order of frames."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._tracks = _TimedTracks(self.predictor, width=self.width, height=self.height)
        self._partition_s = 0.0
        self.took_s = {name: [] for name in get_args(ElfFunction)}

    def plan(self, number: int, frame: Frame | None = None) -> FramePlan:
        """See `Elf.plan`."""
        started = time.perf_counter()
        plan = super().plan(number, frame)
        planned_s = time.perf_counter() - started
        predict_s = self._watch.predict_s
        self.took_s["predict"].append(predict_s)
        self.took_s["partition"].append(self._partition_s)
        self.took_s["expand"].append(max(0.0, planned_s - predict_s - self._partition_s))
        return plan

    def asks(self, number: int, wanted: Boxes) -> tuple[Ask, ...]:
        """See `Elf.asks`."""
        started = time.perf_counter()
        asked = super().asks(number, wanted)
        self._partition_s = time.perf_counter() - started
        return asked

    def take(self, plan: FramePlan, answers: Sequence[tuple[Ask, Detections]]) -> Detections:
        """See `Elf.take`."""
        started = time.perf_counter()
        found = super().take(plan, answers)
        taken_s = time.perf_counter() - started
        self.took_s["index"].append(self._watch.update_s)
        self.took_s["merge"].append(max(0.0, taken_s - self._watch.update_s))
        return found

    @property
    def _watch(self) -> _TimedTracks:
        if not isinstance(self._tracks, _TimedTracks):
            raise AssertionError("its tracks have no watch")
        return self._tracks


class _TimedTracks(Tracks):
    """`Tracks` that keep what their last calls took."""

    predict_s = update_s = 0.0

    def predict(self) -> Boxes:
        started = time.perf_counter()
        predicted = super().predict()
        self.predict_s = time.perf_counter() - started
        return predicted

    def update(self, found: Boxes) -> None:
        started = time.perf_counter()
        super().update(found)
        self.update_s = time.perf_counter() - started
