"""ELF's loop on the device, frame by frame (Zhang et al., MobiCom 2021): what to send where, and what came of it.

Pure: nothing here sends, measures or detects. `plan` says which rectangle each server is to look at, `take` merges the
answers, and the detectors' own answers are what the next frame's regions are predicted from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from offload.video.boxes import NO_BOXES, areas
from offload.video.compensation import Compensation, newly_found
from offload.video.expansion import expanded
from offload.video.merging import merged
from offload.video.partitioning import RULES, Rule, ServerCost, fitted, strongest, with_compensation
from offload.video.tracks import Tracks

if TYPE_CHECKING:
    from offload.video.boxes import Boxes
    from offload.video.detections import Detections
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


@dataclass(frozen=True, kw_only=True, eq=False)
class FramePlan:
    """What is to be done with a frame."""

    number: int
    predicted: Boxes
    """Where objects are expected."""
    wanted: Boxes
    """These, expanded."""
    regions: tuple[Boxes, ...]
    """For each server, shape (1, 4), whole pixels; (0, 4) for one that gets none."""
    small_on: int | None
    """The server that gets the small frame, too; None when none is due."""
    expected_s: tuple[float, ...]
    """When each server is thought to be done, from the costs it is thought to have."""

    @property
    def pixels(self) -> float:
        """Of all regions; the small frame is not among them."""
        return float(sum(areas(region).sum() for region in self.regions))


@dataclass(kw_only=True)
class Elf:
    """The loop's state.

    Args:
        settings: What was planned.
        predictor: Of regions.
        width: Of the frame, pixels.
        height: Likewise.
        servers: What each server is thought to take; may be replaced at any time.
    """

    settings: ElfSettings
    predictor: Predictor
    width: int
    height: int
    servers: Sequence[ServerCost]
    _tracks: Tracks = field(init=False)

    def __post_init__(self) -> None:
        self._tracks = Tracks(self.predictor, width=self.width, height=self.height)

    def plan(self, number: int) -> FramePlan:
        """What each server is to look at in a frame, counted from 0; to be followed by `take`."""
        settings = self.settings
        predicted = self._tracks.predict()
        wanted = expanded(predicted, settings.expansion, width=self.width, height=self.height)
        wanted = wanted[areas(wanted) > 0]
        servers, small_on = self.servers, None
        if settings.compensation is not None and settings.compensation.due(number):
            wide, high = settings.compensation.size(self.width, self.height)
            servers, small_on = with_compensation(self.servers, wide * high), strongest(self.servers, wide * high)
        partition = RULES[settings.rule](wanted, servers, width=self.width, height=self.height)
        regions = tuple(
            fitted(region, settings.multiple, width=self.width, height=self.height) if len(region) else NO_BOXES
            for region in partition.regions
        )
        expected_s = tuple(
            server.time_s(float(areas(region).sum())) for server, region in zip(servers, regions, strict=True)
        )
        return FramePlan(
            number=number, predicted=predicted, wanted=wanted, regions=regions, small_on=small_on,
            expected_s=expected_s,
        )  # fmt: skip

    def take(self, plan: FramePlan, answers: Mapping[int, Detections], small: Detections | None) -> Detections:
        """What the frame shows, from the servers that answered; regions without an answer keep what was predicted.

        Args:
            plan: What `plan` gave.
            answers: By server, in the frame's pixels.
            small: What the small frame showed, in the frame's pixels; None where there was none.
        """
        parts = [(plan.regions[server], found) for server, found in answers.items()]
        if small is not None:
            seen = np.concatenate([NO_BOXES, *(region for region, _ in parts)])
            frame = np.array([[0.0, 0.0, self.width, self.height]])
            parts.append((frame, newly_found(small, seen)))
        found = merged(parts, width=self.width, height=self.height)
        self._tracks.update(found.boxes[found.scores >= TRACKED_SCORE])
        return found
