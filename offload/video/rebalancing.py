"""Better assignments of boxes to servers by local search, beyond the published strips.

A step takes the boxes of the slowest server and of another one and parts them anew, by a line along or across, so that
the later of the two is done earlier than the slowest was. Each step makes the sorted times smaller, so that it ends.
All assignments to begin with go on at once: numpy takes hardly longer for several than for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offload.video.boxes import centres

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.video.boxes import Boxes

_MOST_STEPS = 30
"""A bound on what a frame's search can take; it ends after fewer as a rule."""


def rebalanced(boxes: Boxes, starts: NDArray[np.int64], costs: NDArray[np.float64]) -> NDArray[np.int64]:
    """The best assignment that is found from several, a server for each box; never worse than the best of them.

    Args:
        boxes: At least one; pixels.
        starts: Assignments to begin with, (starts, boxes).
        costs: Seconds before any region, for a region of any size, and for each pixel, of each server; (3, servers).
    """
    # Right and bottom negated, the region around boxes is their minimum. Coordinates lead, for numpy's sake.
    bounds = np.concatenate([boxes[:, :2], -boxes[:, 2:]], axis=1).T
    order = np.argsort(centres(boxes), axis=0, kind="stable").T  # (axes, boxes)
    owners, ended = starts, []
    for _ in range(_MOST_STEPS):
        times_s = _server_times(bounds, owners, costs)
        after_s, parted = _parted_anew(bounds, order, owners, times_s.argmax(axis=1), costs)
        better = after_s < times_s.max(axis=1)
        ended.append(owners[~better])
        owners = parted[better]
        if not len(owners):
            break
    found = np.concatenate([*ended, owners])
    best: NDArray[np.int64] = found[_server_times(bounds, found, costs).max(axis=1).argmin()]
    return best


def _parted_anew(
    bounds: NDArray[np.float64],
    order: NDArray[np.int64],
    owners: NDArray[np.int64],
    slowest: NDArray[np.int64],
    costs: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """In each assignment the best line between the slowest server's boxes and another's.

    Returns:
        The later of these two servers' times, (starts,), and what is then whose, (starts, boxes).
    """
    starts, servers = np.arange(len(owners)), np.arange(costs.shape[1])
    # The boxes of the slowest with each other one (starts, servers, boxes), in order (4, starts, servers, axes, boxes).
    pooled = (owners == slowest[:, None])[:, None] | (owners[:, None] == servers[:, None])
    lined = np.where(pooled[:, :, order], bounds[:, None, None, order], np.inf)
    near, far = np.minimum.accumulate(lined, axis=-1), np.full_like(lined, np.inf)
    far[..., :-1] = np.minimum.accumulate(lined[..., :0:-1], axis=-1)[..., ::-1]
    near_pixels, far_pixels = _pixels(near), _pixels(far)
    its, others = costs[:, slowest, None, None, None], costs[:, :, None, None]
    ways = (
        np.maximum(_seconds(near_pixels, its), _seconds(far_pixels, others)),
        np.maximum(_seconds(far_pixels, its), _seconds(near_pixels, others)),
    )
    after_s = np.stack(ways, axis=1)
    after_s[starts, :, slowest] = np.inf  # with itself it has nothing to share
    least = after_s.reshape(len(starts), -1).argmin(axis=1)
    way, server, axis, last = np.unravel_index(least, after_s.shape[1:])
    takes = (np.argsort(order, axis=1)[axis] <= last[:, None]) ^ (way == 1)[:, None]
    cut = np.where(takes, slowest[:, None], server[:, None])
    return after_s[starts, way, server, axis, last], np.where(pooled[starts, server], cut, owners)


def _server_times(
    bounds: NDArray[np.float64], owners: NDArray[np.int64], costs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Seconds of each server in each assignment, (starts, servers)."""
    own = owners[:, None] == np.arange(costs.shape[1])[:, None]  # (starts, servers, boxes)
    return _seconds(_pixels(np.where(own, bounds[:, None, None], np.inf).min(axis=-1)), costs)


def _pixels(bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of regions (4, ...); 0 where their bounds are infinite."""
    pixels: NDArray[np.float64] = np.maximum(-(bounds[0] + bounds[2]), 0) * np.maximum(-(bounds[1] + bounds[3]), 0)
    return pixels


def _seconds(pixels: NDArray[np.float64], costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """For regions on servers (3, ...) that broadcast against them; nothing is sent of one without pixels."""
    extra, fixed, each = costs
    seconds: NDArray[np.float64] = extra + ((pixels > 0) * fixed + pixels * each)
    return seconds
