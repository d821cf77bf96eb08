"""ELF as if it could see the future: regions from the ground truth of the very frame.

All else is ELF's, the small frame too, so that what ELF loses beside it is what its predictions lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.video.boxes import areas
from offload.video.expansion import expanded
from offload.video.methods.base import FramePlan
from offload.video.methods.elf import Elf, merged_answers

if TYPE_CHECKING:
    from offload.video.clips import Frame
    from offload.video.detections import Detections
    from offload.video.methods.base import Ask
    from offload.video.partitioning import ServerCost
    from offload.video.truth import FrameTruth


@dataclass(kw_only=True)
class Oracle:
    """A `Method`.

    Args:
        elf: What shares regions out; a new one, whose servers are this one's.
        truth: Of each frame that will be asked about.
    """

    elf: Elf
    truth: Sequence[FrameTruth]

    @property
    def servers(self) -> Sequence[ServerCost | None]:
        """What each server is thought to take."""
        return self.elf.servers

    @servers.setter
    def servers(self, now: Sequence[ServerCost | None]) -> None:
        self.elf.servers = now

    def plan(self, number: int, frame: Frame | None = None) -> FramePlan:
        """See `Method`."""
        boxes, elf = self.truth[number].boxes, self.elf
        wanted = expanded(boxes, elf.settings.expansion, width=elf.width, height=elf.height)
        wanted = wanted[areas(wanted) > 0]
        return FramePlan(number=number, predicted=boxes, wanted=wanted, asks=elf.asks(number, wanted))

    def take(self, plan: FramePlan, answers: Sequence[tuple[Ask, Detections]]) -> Detections:
        """See `Method`."""
        return merged_answers(answers, width=self.elf.width, height=self.elf.height)
