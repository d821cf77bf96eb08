"""Fixed overlapping tiles, shared out over the servers: what one does without looking at the content.

The tiles are those of supervision's `InferenceSlicer` (its `slice_wh` and `overlap_wh`), merged as it does, by
non-maximum suppression alone; they overlap by a fifth of a side, SAHI's default. Of all divisions into columns and
rows that one is taken whose last server is done first, of several the one with the fewest tiles.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from offload.video.boxes import areas
from offload.video.detections import Detections
from offload.video.merging import suppressed
from offload.video.methods.base import Ask, FramePlan, there

if TYPE_CHECKING:
    from offload.video.boxes import Boxes
    from offload.video.clips import Frame
    from offload.video.partitioning import ServerCost

OVERLAP = 0.2
"""Of a tile's sides: SAHI's default."""
_MOST_TILES = 4
"""For each server; more would be mostly overlap."""


@dataclass(kw_only=True)
class Tiles:
    """The same tiles in every frame, a `Method`; its shares follow what the servers take.

    Args:
        width: Of the frame, pixels.
        height: Likewise.
        multiple: Tiles have sides that are multiples of this: the detector's grid.
        servers: What each server is thought to take, None for one that is not there; may be replaced at any time. Those
            at first decide how large tiles are.
    """

    width: int
    height: int
    multiple: int
    servers: Sequence[ServerCost | None]
    tiles: Boxes = field(init=False)

    def __post_init__(self) -> None:
        _, costs = there(self.servers)
        self.tiles = best_tiles(costs, self.width, self.height, self.multiple)

    def plan(self, number: int, frame: Frame | None = None) -> FramePlan:
        """See `Method`; what the frame shows does not matter."""
        names, costs = there(self.servers)
        if not costs:
            return FramePlan(number=number, asks=())
        asks = [
            Ask(server=names[server], region=self.tiles[tile, None])
            for tile, server in _shared_out(areas(self.tiles).tolist(), costs)
        ]
        return FramePlan(number=number, asks=tuple(asks))

    def take(self, plan: FramePlan, answers: Sequence[tuple[Ask, Detections]]) -> Detections:
        """See `Method`; what tiles without an answer show is missing."""
        found = Detections.together([part for _, part in answers])
        return found.chosen(suppressed(found))


def tile_boxes(width: int, height: int, tile: tuple[int, int]) -> Boxes:
    """Tiles of one size that overlap by `OVERLAP` at least and cover a frame, row by row, (tiles, 4).

    Args:
        width: Of the frame, pixels.
        height: Likewise.
        tile: Width and height of a tile, pixels; a tile is no larger than the frame.
    """
    lefts, tops = _starts(width, tile[0]), _starts(height, tile[1])
    rows = [
        (left, top, min(left + tile[0], width), min(top + tile[1], height))
        for top, left in itertools.product(tops, lefts)
    ]
    return np.array(rows, np.float64)


def best_tiles(servers: Sequence[ServerCost], width: int, height: int, multiple: int) -> Boxes:
    """The tiles whose last server is done first; the frame as it is where there is no server."""
    most = _MOST_TILES * len(servers)
    found = [tile_boxes(width, height, (width, height))]
    for columns, rows in itertools.product(range(1, most + 1), repeat=2):
        if 1 < columns * rows <= most:
            tile = _side(width, columns, multiple), _side(height, rows, multiple)
            found.append(tile_boxes(width, height, tile))
    if not servers:
        return found[0]
    return min(found, key=lambda tiles: (_last_s(areas(tiles).tolist(), servers), len(tiles)))


def _side(whole: int, count: int, multiple: int) -> int:
    """Of tiles of which so many cover a side: `count` of them, less the overlaps."""
    side = whole / (count - OVERLAP * (count - 1))
    return min(whole, math.ceil(side / multiple) * multiple)


def _starts(whole: int, side: int) -> list[int]:
    """Where tiles begin, as `InferenceSlicer` has it: the last one ends where the frame does."""
    if whole <= side:
        return [0]
    stride = max(1, side - int(OVERLAP * side))
    return [*range(0, whole - side, stride), whole - side]


def _shared_out(pixels: Sequence[float], servers: Sequence[ServerCost]) -> list[tuple[int, int]]:
    """Each tile with its server: the largest first, each to the server that is then done first."""
    busy_s = [0.0] * len(servers)
    shares = []
    for tile in sorted(range(len(pixels)), key=lambda index: -pixels[index]):
        done_s = [busy + server.time_s(pixels[tile]) for busy, server in zip(busy_s, servers, strict=True)]
        server = min(range(len(servers)), key=done_s.__getitem__)
        busy_s[server] = done_s[server]
        shares.append((tile, server))
    return shares


def _last_s(pixels: Sequence[float], servers: Sequence[ServerCost]) -> float:
    """When the last server is done."""
    busy_s = [0.0] * len(servers)
    for tile, server in _shared_out(pixels, servers):
        busy_s[server] += servers[server].time_s(pixels[tile])
    return max(busy_s)
