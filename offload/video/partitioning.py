"""Which regions of a frame go to which server: ELF's content- and resource-aware partitioning.

A server looks at one rectangle of a frame, in `fixed_s + pixels * seconds_per_pixel` (measured: time does not simply
follow area), and what the low-resolution frame takes on the server that has it. A frame is done when the last server
is: min over assignments of max_k T_k (Zhang et al., MobiCom 2021). Each box is whole in its server's region.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from offload.video.boxes import NO_BOXES, areas, clipped, coverages, hull
from offload.video.rebalancing import rebalanced
from offload.video.strips import capacity_strips, even_strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.video.boxes import Boxes

Rule = Literal["elf", "published", "equal"]
NOBODY = -1
"""Who looks at a box that is outside the frame."""


@dataclass(frozen=True, kw_only=True)
class ServerCost:
    """What one server takes for a rectangle."""

    fixed_s: float
    """Seconds for any, of which the smallest has nothing else."""
    seconds_per_pixel: float
    """Above 0."""
    extra_s: float = 0.0
    """Seconds that it is busy besides: with the low-resolution frame."""

    def __post_init__(self) -> None:
        if self.fixed_s < 0 or self.seconds_per_pixel <= 0 or self.extra_s < 0:
            raise ValueError("times are not negative, and each pixel takes some")

    def time_s(self, pixels: float) -> float:
        """For one rectangle; one without pixels is not sent."""
        return self.extra_s + (self.fixed_s + pixels * self.seconds_per_pixel if pixels > 0 else 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Partition:
    """A rectangle for each server, and the boxes that it is for."""

    regions: tuple[Boxes, ...]
    """For each server its rectangle, shape (1, 4), whole pixels; (0, 4) where it has none."""
    owner: NDArray[np.int64]
    """For each box its server, (boxes,); `NOBODY` for one outside the frame."""
    times_s: tuple[float, ...]
    """For each server, from the frame's start until it is done."""

    @property
    def slowest_s(self) -> float:
        """When the last server is done."""
        return max(self.times_s)


def strongest(servers: Sequence[ServerCost], pixels: float) -> int:
    """The server that takes least for so many pixels: the low-resolution frame goes there."""
    return min(range(len(servers)), key=lambda index: servers[index].time_s(pixels))


def with_compensation(servers: Sequence[ServerCost], pixels: float) -> tuple[ServerCost, ...]:
    """The servers in a frame whose small version, of so many pixels, goes to the strongest of them."""
    busy, index = list(servers), strongest(servers, pixels)
    busy[index] = replace(servers[index], extra_s=servers[index].time_s(pixels))
    return tuple(busy)


def compensation_strips(
    servers: Sequence[ServerCost], times_s: Sequence[float], ratio: float, *, width: int, height: int
) -> tuple[Boxes, ...]:
    """The frame in strips, one for each server to look at made small, so that all are done at once.

    Args:
        servers: At least one.
        times_s: When each is done with its region.
        ratio: Sides of what is sent, as a share of the strip's.
        width: Of the frame, pixels.
        height: Likewise.

    Returns:
        For each server, shape (1, 4), whole pixels; (0, 4) for one that has enough to do without.
    """
    small = [
        replace(server, extra_s=time_s, seconds_per_pixel=server.seconds_per_pixel * ratio**2)
        for server, time_s in zip(servers, times_s, strict=True)
    ]
    strips = even_strips(np.array([0.0, 0.0, width, height]), small, axis=0).round()
    return tuple(strip[None] if area else NO_BOXES for strip, area in zip(strips, areas(strips), strict=True))


def partitioned(boxes: Boxes, servers: Sequence[ServerCost], *, width: int, height: int) -> Partition:
    """Boxes to servers so that the last one is done early: published strips, and ours after them.

    The best of the published strips, along and across, of one server alone and of the frame's equal strips is taken,
    and boxes are moved off its slowest server as long as that helps.

    Args:
        boxes: Expanded region proposals, pixels.
        servers: At least one.
        width: Of the frame, pixels.
        height: Likewise.
    """
    return _partition(boxes, servers, width, height, _fewest_seconds)


def published_strips(boxes: Boxes, servers: Sequence[ServerCost], *, width: int, height: int) -> Partition:
    """The paper's algorithm as it is, with upright strips; arguments as for `partitioned`."""
    return _partition(boxes, servers, width, height, lambda whole, servers, _: capacity_strips(whole, servers, axis=0))


def equal_strips(boxes: Boxes, servers: Sequence[ServerCost], *, width: int, height: int) -> Partition:
    """The frame itself in upright strips of one width, whatever is in them: what ELF is compared with.

    A box belongs to the strip that has most of it, and may be cut. Arguments as for `partitioned`.
    """
    strips = _frame_strips(len(servers), width, height)
    sides = areas(strips)
    return Partition(
        regions=tuple(strip[None] if area else NO_BOXES for strip, area in zip(strips, sides, strict=True)),
        owner=np.where(areas(clipped(boxes, width, height)) > 0, coverages(boxes, strips).argmax(axis=1), NOBODY),
        times_s=tuple(server.time_s(float(area)) for server, area in zip(servers, sides, strict=True)),
    )


RULES: dict[Rule, Callable[..., Partition]] = {
    "elf": partitioned,
    "published": published_strips,
    "equal": equal_strips,
}
"""By their names in plans."""


def fitted(region: Boxes, multiple: int, *, width: int, height: int) -> Boxes:
    """The smallest rectangle around each with sides that a detector's grid divides, inside the frame.

    A side that would be longer than the frame's is the frame's, whether the grid divides it or not.

    Args:
        region: Pixels, (regions, 4).
        multiple: Pixels.
        width: Of the frame, pixels.
        height: Likewise.
    """
    whole, frame = _whole_pixels(region, width, height), np.array([width, height])
    needed = whole[:, 2:] - whole[:, :2]
    sides = np.minimum(np.ceil(needed / multiple) * multiple, frame)
    low = np.clip(whole[:, :2] - (sides - needed) // 2, 0, frame - sides)
    return np.concatenate([low, low + sides], axis=1)


def _partition(
    boxes: Boxes,
    servers: Sequence[ServerCost],
    width: int,
    height: int,
    assigned: Callable[[Boxes, Sequence[ServerCost], Boxes], NDArray[np.int64]],
) -> Partition:
    """Regions shrunk to the boxes that a rule gave to their servers."""
    whole = _whole_pixels(boxes, width, height)
    seen = np.flatnonzero(areas(whole) > 0)
    owner = np.full(len(boxes), NOBODY, np.int64)
    if len(seen):
        owner[seen] = assigned(whole[seen], servers, _frame_strips(len(servers), width, height))
    regions = tuple(hull(whole[owner == server]) for server in range(len(servers)))
    times_s = tuple(server.time_s(float(areas(region).sum())) for server, region in zip(servers, regions, strict=True))
    return Partition(regions=regions, owner=owner, times_s=times_s)


def _fewest_seconds(whole: Boxes, servers: Sequence[ServerCost], strips: Boxes) -> NDArray[np.int64]:
    starts = np.stack(
        [
            capacity_strips(whole, servers, axis=0),
            capacity_strips(whole, servers, axis=1),
            coverages(whole, strips).argmax(axis=1),
            np.full(len(whole), strongest(servers, float(areas(hull(whole)).sum()))),
        ]
    )
    costs = np.array([[server.extra_s, server.fixed_s, server.seconds_per_pixel] for server in servers]).T
    return rebalanced(whole, starts, costs)


def _frame_strips(count: int, width: int, height: int) -> Boxes:
    edges = np.round(np.linspace(0, width, count + 1))
    return np.stack([edges[:-1], np.zeros(count), edges[1:], np.full(count, float(height))], axis=1)


def _whole_pixels(boxes: Boxes, width: int, height: int) -> Boxes:
    """Out to whole pixels, inside the frame."""
    inside = clipped(boxes, width, height)
    return np.concatenate([np.floor(inside[:, :2]), np.ceil(inside[:, 2:])], axis=1)
