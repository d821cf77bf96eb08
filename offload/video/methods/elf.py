"""ELF's loop on the device, frame by frame (Zhang et al., MobiCom 2021): what to send where, and what came of it.

Pure: nothing here sends, measures or detects. `plan` says which rectangle each server is to look at, `take` merges the
answers, and the detectors' own answers are what the next frame's regions are predicted from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from offload.video.boxes import NO_BOXES, areas
from offload.video.compensation import Compensation, newly_found
from offload.video.expansion import expanded
from offload.video.merging import merged
from offload.video.methods.base import Ask, FramePlan, there, whole_frame
from offload.video.partitioning import (
    RULES,
    Rule,
    compensation_strips,
    fitted,
    strongest,
    with_compensation,
)
from offload.video.tracks import Tracks

if TYPE_CHECKING:
    from offload.artifacts.video_profile import Setting
    from offload.video.boxes import Boxes
    from offload.video.clips import Frame
    from offload.video.detections import Detections
    from offload.video.partitioning import ServerCost
    from offload.video.proposals.base import Predictor

TRACKED_SCORE = 0.3
"""Objects that are less likely are answered, but no region is sent for them."""


@dataclass(frozen=True, kw_only=True)
class ElfSettings:
    """What a plan decides."""

    expansion: float
    """Share of a box's sides by which it grows on each side."""
    compensation: Compensation | None
    """None where no small frame is sent."""
    rule: Rule = "elf"
    multiple: int = 32
    """Regions have sides that are multiples of this: the detector's grid."""

    @classmethod
    def of(cls, setting: Setting, multiple: int) -> Self:
        """Those of a profile's or plan's setting, for a detector with this grid."""
        small = Compensation(interval=setting.interval, ratio=setting.ratio) if setting.interval else None
        return cls(expansion=setting.expansion, compensation=small, rule=setting.rule, multiple=multiple)


@dataclass(kw_only=True)
class Elf:
    """The loop's state, a `Method`.

    Args:
        settings: What was planned.
        predictor: Of regions.
        width: Of the frame, pixels.
        height: Likewise.
        servers: What each server is thought to take, None for one that is not there; may be replaced at any time.
    """

    settings: ElfSettings
    predictor: Predictor
    width: int
    height: int
    servers: Sequence[ServerCost | None]
    _tracks: Tracks = field(init=False)

    def __post_init__(self) -> None:
        self._tracks = Tracks(self.predictor, width=self.width, height=self.height)

    def plan(self, number: int, frame: Frame | None = None) -> FramePlan:
        """See `Method`; what the frame shows does not matter."""
        predicted = self._tracks.predict()
        wanted = expanded(predicted, self.settings.expansion, width=self.width, height=self.height)
        wanted = wanted[areas(wanted) > 0]
        return FramePlan(number=number, predicted=predicted, wanted=wanted, asks=self.asks(number, wanted))

    def asks(self, number: int, wanted: Boxes) -> tuple[Ask, ...]:
        """Which rectangles go to which server for these expanded boxes; what takes longest is sent first.

        Of a first frame nothing is expected: all of it is looked at, in strips, where a small frame (the paper's way)
        would leave what it does not show to the next one. Later small frames are shared, in strips as wide as lets all
        servers end together; by the published rule the strongest server has all of one.
        """
        names, costs = there(self.servers)
        if not costs:
            return ()
        width, height, rule, small = self.width, self.height, self.settings.rule, self.settings.compensation
        first = number == 0 and not len(wanted)
        if first:
            rule = "equal"
        due, asked = small if small is not None and small.due(number) and not first else None, []
        if due is not None and rule == "published":
            pixels = math.prod(due.size(width, height))
            on, costs = strongest(costs, pixels), with_compensation(costs, pixels)
            asked.append(Ask(server=names[on], region=whole_frame(width, height), scale=due.ratio))
        regions = [
            fitted(region, self.settings.multiple, width=width, height=height)
            for region in RULES[rule](wanted, costs, width=width, height=height).regions
        ]
        asked += [Ask(server=name, region=region) for name, region in zip(names, regions, strict=True) if len(region)]
        if due is not None and rule != "published":
            times_s = [cost.time_s(float(areas(region).sum())) for cost, region in zip(costs, regions, strict=True)]
            strips = compensation_strips(costs, times_s, due.ratio, width=width, height=height)
            asked += [
                Ask(server=name, region=strip, scale=due.ratio)
                for name, strip in zip(names, strips, strict=True)
                if len(strip)
            ]
        return tuple(sorted(asked, key=lambda ask: ask.pixels, reverse=True))

    def take(self, plan: FramePlan, answers: Sequence[tuple[Ask, Detections]]) -> Detections:
        """See `Method`; objects in regions without an answer stay tracked where they were predicted for a while."""
        found = merged_answers(answers, width=self.width, height=self.height)
        self._tracks.update(found.boxes[found.scores >= TRACKED_SCORE])
        return found


def merged_answers(answers: Sequence[tuple[Ask, Detections]], *, width: int, height: int) -> Detections:
    """What regions and the small frame show together.

    Args:
        answers: With what was found, in the frame's pixels.
        width: Of the frame, pixels.
        height: Likewise.
    """
    parts = [(ask.region, found) for ask, found in answers if ask.scale == 1]
    seen = np.concatenate([NO_BOXES, *(region for region, _ in parts)])
    parts += [(ask.region, newly_found(small, seen)) for ask, small in answers if ask.scale != 1]
    return merged(parts, width=width, height=height)
