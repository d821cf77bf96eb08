"""What every way of offloading frames does: ask servers about parts of a frame, and merge what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from offload.video.boxes import NO_BOXES, areas

if TYPE_CHECKING:
    from offload.video.boxes import Boxes
    from offload.video.clips import Frame
    from offload.video.detections import Detections
    from offload.video.partitioning import ServerCost


@dataclass(frozen=True, kw_only=True, eq=False)
class Ask:
    """One image that one server is to look at: a rectangle of a frame, perhaps made smaller."""

    server: int
    region: Boxes
    """Shape (1, 4), whole pixels of the frame."""
    scale: float = 1.0
    """Sides of what is sent, as a share of the rectangle's; above 0, to 1."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what is sent, pixels."""
        left, top, right, bottom = self.region[0]
        return max(1, round((right - left) * self.scale)), max(1, round((bottom - top) * self.scale))

    @property
    def pixels(self) -> int:
        """Of what is sent."""
        wide, high = self.size
        return wide * high


@dataclass(frozen=True, kw_only=True, eq=False)
class FramePlan:
    """What is to be done with a frame."""

    number: int
    asks: tuple[Ask, ...]
    """In the order in which they should be sent."""
    predicted: Boxes = field(default_factory=lambda: NO_BOXES)
    """Where objects are expected, by methods that expect any."""
    wanted: Boxes = field(default_factory=lambda: NO_BOXES)
    """These, expanded."""

    @property
    def pixels(self) -> int:
        """Of all that is sent."""
        return sum(ask.pixels for ask in self.asks)

    @property
    def largest_pixels(self) -> int:
        """Of the largest rectangle at full resolution."""
        return int(max((float(areas(ask.region)[0]) for ask in self.asks if ask.scale == 1), default=0.0))


class Method(Protocol):
    """One way, with what it remembers of a clip's earlier frames; a new one for each clip."""

    servers: Sequence[ServerCost | None]
    """What each server is thought to take just now; None for one that is not there. May be replaced at any time."""

    def plan(self, number: int, frame: Frame) -> FramePlan:
        """What to ask about a frame, counted from 0; to be followed by `take`."""

    def take(self, plan: FramePlan, answers: Sequence[tuple[Ask, Detections]]) -> Detections:
        """What the frame shows.

        Args:
            plan: What `plan` gave.
            answers: Those of its asks that were answered, with what was found, in the frame's pixels.
        """


def whole_frame(width: int, height: int) -> Boxes:
    """The rectangle that is all of a frame."""
    return np.array([[0.0, 0.0, width, height]])


def there(servers: Sequence[ServerCost | None]) -> tuple[tuple[int, ...], tuple[ServerCost, ...]]:
    """The indices of the servers that are there, and their costs."""
    found = [(index, cost) for index, cost in enumerate(servers) if cost is not None]
    return tuple(index for index, _ in found), tuple(cost for _, cost in found)
