"""The published partitioning (Zhang et al., MobiCom 2021): strips as wide as their servers are fast.

The region that covers all boxes is cut into strips; each grows over the boxes that it half contains, unless one adds
too much to its time; what is left over is merged into a neighbour, where the frame is done no later if there is such
a one, the times computed again after each; the caller shrinks each strip to what it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from offload.video.boxes import areas, coverages, hull

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.video.boxes import Boxes
    from offload.video.partitioning import ServerCost

_MOST_ADDED = 0.2
"""Share of a strip's time that a box may add to it; the paper has such a threshold, without its value."""
_Box = tuple[float, float, float, float]


def capacity_strips(boxes: Boxes, servers: Sequence[ServerCost], *, axis: int) -> NDArray[np.int64]:
    """A server for each box, (boxes,).

    Args:
        boxes: At least one, each with an area; pixels.
        servers: In the order of their strips.
        axis: 0 for strips from left to right, 1 from top to bottom.
    """
    strips = even_strips(hull(boxes)[0], servers, axis=axis)
    inside = coverages(boxes, strips)
    regions: list[_Box] = [tuple(strip) for strip in strips.tolist()]
    rows: list[_Box] = [tuple(box) for box in boxes.tolist()]
    most_s = [(1 + _MOST_ADDED) * _time_s(server, strip) for server, strip in zip(servers, regions, strict=True)]
    owner: NDArray[np.int64] = inside.argmax(axis=1)
    left_over = []
    for index in np.argsort(-areas(boxes), kind="stable").tolist():
        server = int(owner[index])
        grown = _around(regions[server], rows[index])
        if inside[index, server] >= 0.5 and _time_s(servers[server], grown) <= most_s[server]:
            regions[server] = grown
        else:
            left_over.append(index)
    for index in left_over:
        times_s = [_time_s(server, region) for server, region in zip(servers, regions, strict=True)]
        options = []
        for server in np.flatnonzero(inside[index]).tolist():
            grown = _around(regions[server], rows[index])
            after_s = _time_s(servers[server], grown)
            options.append((max(after_s, *times_s), after_s - times_s[server], server, grown))
        _, _, owner[index], regions[owner[index]] = min(options)
    return owner


def even_strips(whole: NDArray[np.float64], servers: Sequence[ServerCost], *, axis: int) -> Boxes:
    """As wide as lets all servers end together; none for one that is busy for longer anyhow.

    Args:
        whole: What is cut, shape (4,), with an area.
        servers: In the order of their strips.
        axis: 0 for strips from left to right, 1 from top to bottom.
    """
    pixels = float(areas(whole[None])[0])
    busy_s = np.array([server.extra_s + server.fixed_s for server in servers])
    speed = np.array([1 / server.seconds_per_pixel for server in servers])
    used = np.ones(len(servers), np.bool_)
    while True:
        end_s = (pixels + (busy_s * speed)[used].sum()) / speed[used].sum()
        late = used & (busy_s >= end_s)
        if not late.any():
            break
        used &= ~late
    shares = np.where(used, (end_s - busy_s) * speed, 0.0) / pixels
    edges = whole[axis] + (whole[axis + 2] - whole[axis]) * np.minimum(np.cumsum([0.0, *shares]), 1.0)
    edges[-1] = whole[axis + 2]
    strips = np.repeat(whole[None], len(servers), axis=0)
    strips[:, axis], strips[:, axis + 2] = edges[:-1], edges[1:]
    return strips


def _around(one: _Box, other: _Box) -> _Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _time_s(server: ServerCost, region: _Box) -> float:
    return server.time_s((region[2] - region[0]) * (region[3] - region[1]))
