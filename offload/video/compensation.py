"""ELF's low-resolution compensation: once in a few frames the whole frame, made small, shows what has just appeared.

Zhang et al., MobiCom 2021, who publish a down-sampling of 0.4 to 0.5 every third frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.video.boxes import coverages

if TYPE_CHECKING:
    from offload.video.boxes import Boxes
    from offload.video.detections import Detections

_INSIDE = 0.9
"""Share of a box from which a region that has it shows the whole object: coarse boxes are a little off."""


@dataclass(frozen=True, kw_only=True)
class Compensation:
    """How often, and how small."""

    interval: int
    """Every so many frames, from the first on; 1 is each."""
    ratio: float
    """Of the frame's sides, above 0 to 1."""

    def __post_init__(self) -> None:
        if self.interval < 1 or not 0 < self.ratio <= 1:
            raise ValueError("an interval from 1 on and a ratio above 0, to 1")

    def due(self, number: int) -> bool:
        """Whether a frame, counted from 0, has one."""
        return number % self.interval == 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the small frame, pixels."""
        return max(1, round(width * self.ratio)), max(1, round(height * self.ratio))


def newly_found(small: Detections, regions: Boxes) -> Detections:
    """What the small frame shows and no region shows whole; within regions full resolution has the last word.

    An object that a region's edge cuts is kept: `merging.merged`, given this as a further part, decides whether it
    or the piece stays.

    Args:
        small: Found in the small frame, boxes in the frame's pixels.
        regions: What servers answered about in full resolution, (regions, 4).
    """
    return small.chosen(coverages(small.boxes, regions).max(axis=1, initial=0.0) < _INSIDE)
