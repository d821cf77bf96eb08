"""The full frame to the fastest server: what everything else is compared with (ELF's "SO", single offloading)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.video.detections import Detections
from offload.video.methods.base import Ask, FramePlan, there, whole_frame
from offload.video.partitioning import strongest

if TYPE_CHECKING:
    from offload.video.clips import Frame
    from offload.video.partitioning import ServerCost


@dataclass(kw_only=True)
class Whole:
    """Every frame as it is, a `Method`; a frame without an answer shows nothing.

    Args:
        width: Of the frame, pixels.
        height: Likewise.
        servers: What each server is thought to take, None for one that is not there; may be replaced at any time.
    """

    width: int
    height: int
    servers: Sequence[ServerCost | None]

    def plan(self, number: int, frame: Frame | None = None) -> FramePlan:
        """See `Method`; what the frame shows does not matter."""
        return FramePlan(number=number, asks=whole_asks(self.servers, self.width, self.height))

    def take(self, plan: FramePlan, answers: Sequence[tuple[Ask, Detections]]) -> Detections:
        """See `Method`."""
        return Detections.together([found for _, found in answers])


def whole_asks(servers: Sequence[ServerCost | None], width: int, height: int) -> tuple[Ask, ...]:
    """The full frame to the server that takes least for it; nothing where no server is there."""
    names, costs = there(servers)
    if not costs:
        return ()
    return (Ask(server=names[strongest(costs, width * height)], region=whole_frame(width, height)),)
