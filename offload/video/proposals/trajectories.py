"""Where objects of a clip really were, as what predictors learn from and are judged by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from offload.video.boxes import NO_BOXES, areas, clipped
from offload.video.indexing import NEW, indexed
from offload.video.truth import FrameTruth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from offload.video.boxes import Boxes
    from offload.video.detections import Detections
    from offload.video.proposals.base import History
    from offload.video.truth import GroundTruth

LEAST_SEEN = 0.25
"""Share of an object that must be visible for a detector to be expected to find it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectories:
    """Objects of one clip."""

    paths: tuple[Boxes, ...]
    """One for each time that an object came into sight: its boxes frame by frame, shape (frames, 4), pixels."""
    width: float
    """Of the frames, pixels."""
    height: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """What predictors are asked, and what was right."""

    history: History
    """Shape (examples, window, 4), as a detector might have told it; NaN before an object came into sight."""
    right: Boxes
    """Where each really was in the frame after; (examples, 4)."""
    width: float
    """Of the frames, pixels."""
    height: float

    def __len__(self) -> int:
        return len(self.right)


def trajectories_of(truth: GroundTruth, *, width: float, height: float) -> Trajectories:
    """The paths in a clip's truth, the objects in the order of their identities.

    Args:
        truth: Of the clip.
        width: Of the frames, pixels.
        height: Likewise.
    """
    frames: dict[int, list[tuple[int, Boxes]]] = {}
    for number, frame in enumerate(truth.frames):
        visible = frame.seen(LEAST_SEEN)
        boxes = clipped(visible.boxes, width, height)
        shown = areas(boxes) > 0
        for box, identity in zip(boxes[shown], visible.ids[shown], strict=True):
            frames.setdefault(int(identity), []).append((number, box))
    paths: list[Boxes] = []
    for identity in sorted(frames):
        numbers = np.array([number for number, _ in frames[identity]])
        boxes = np.stack([box for _, box in frames[identity]])
        paths.extend(np.split(boxes, np.flatnonzero(np.diff(numbers) != 1) + 1))
    return Trajectories(paths=tuple(path for path in paths if len(path) > 1), width=width, height=height)


def followed(found: Sequence[Detections], *, width: float, height: float) -> tuple[FrameTruth, ...]:
    """What a detector found as if it were the truth, identities as indexing tells them from frame to frame.

    Args:
        found: In each frame of a clip.
        width: Of the frames, pixels.
        height: Likewise.
    """
    frames: list[FrameTruth] = []
    before, ids, known = NO_BOXES, np.zeros(0, np.int64), 0
    for one in found:
        matched = indexed(before, one.boxes, width=width, height=height)
        new = matched == NEW
        told = np.empty(len(one), np.int64)
        told[~new] = ids[matched[~new]]
        told[new] = known + np.arange(new.sum())
        before, ids, known = one.boxes, told, known + int(new.sum())
        frames.append(FrameTruth(boxes=one.boxes, labels=one.labels, ids=told, visible=np.ones(len(one))))
    return tuple(frames)


def divided(trajectories: Trajectories, every: int) -> tuple[Trajectories, Trajectories]:
    """Those to learn from, and every so many-th path, the first among them, to be judged by."""
    rest = tuple(path for index, path in enumerate(trajectories.paths) if index % every)
    return replace(trajectories, paths=rest), replace(trajectories, paths=trajectories.paths[::every])


def examples_of(trajectories: Trajectories, *, window: int, noise: float = 0.0, seed: int = 0) -> Examples:
    """Every frame of every path but its first, with the frames before it.

    Args:
        trajectories: Where objects were.
        window: How many frames before it are told.
        noise: Standard deviation of where a detector says that a box's side is, as a share of the box's width or
            height; independent from frame to frame. What is right has none.
        seed: Of that noise.
    """
    random = np.random.default_rng(seed)
    width, height = trajectories.width, trajectories.height
    histories, right = [np.zeros((0, window, 4))], [NO_BOXES]
    for path in trajectories.paths:
        told = np.concatenate([np.full((window - 1, 4), np.nan), _detected(path, noise, random, width, height)])
        windows = np.lib.stride_tricks.sliding_window_view(told, window, axis=0)[:-1]
        histories.append(windows.transpose(0, 2, 1))
        right.append(path[1:])
    return Examples(history=np.concatenate(histories), right=np.concatenate(right), width=width, height=height)


def _detected(path: Boxes, noise: float, random: np.random.Generator, width: float, height: float) -> Boxes:
    sides = np.tile(path[:, 2:] - path[:, :2], 2)
    told = path + random.normal(0, 1, path.shape) * noise * sides
    ordered = np.concatenate([np.minimum(told[:, :2], told[:, 2:]), np.maximum(told[:, :2], told[:, 2:])], axis=1)
    return clipped(ordered, width, height)
