"""What is really in a clip: boxes, classes, identities and how much of each object is seen, frame by frame.

Read from COCO's JSON (one image a frame, in the order of their ids; `track_id` and `visibility` are taken where
annotations have them, groups marked `iscrowd` are left out) and from MOTChallenge's text; written as COCO.
"""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from offload.errors import OffloadError
from offload.video.boxes import areas, as_boxes, clipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.video.boxes import Boxes
    from offload.video.clips import ClipInfo

_FORMATS = "give COCO's .json or MOTChallenge's .txt"
_LEAST_MOT_COLUMNS = 6
_MOT_2015_COLUMNS = 10
"""Whose last three are places in the world; files with classes and visibility have nine."""
_ONLY_CLASS = "object"
_Row = tuple[tuple[float, float, float, float], int, int, float]
"""Box, label, identity, visible share."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameTruth:
    """The objects of one frame."""

    boxes: Boxes
    """Shape (count, 4), pixels, within the frame."""
    labels: NDArray[np.int64]
    """Indices of classes; (count,)."""
    ids: NDArray[np.int64]
    """The same for one object in all frames; (count,)."""
    visible: NDArray[np.float64]
    """Share of each that nothing hides, 0 to 1; (count,)."""

    @classmethod
    def of(cls, rows: Sequence[_Row]) -> FrameTruth:
        """From a row for each object: box, label, identity and visible share."""
        return cls(
            boxes=as_boxes(row[0] for row in rows),
            labels=np.array([row[1] for row in rows], np.int64),
            ids=np.array([row[2] for row in rows], np.int64),
            visible=np.array([row[3] for row in rows], np.float64),
        )

    def seen(self, least: float) -> FrameTruth:
        """Those of which at least this share is visible."""
        return self._chosen(self.visible >= least)

    def within(self, width: float, height: float) -> FrameTruth:
        """What of each lies in a frame; those of which nothing does are left out."""
        inside = clipped(self.boxes, width, height)
        return FrameTruth(boxes=inside, labels=self.labels, ids=self.ids, visible=self.visible)._chosen(
            areas(inside) > 0
        )

    def _chosen(self, which: NDArray[np.bool_]) -> FrameTruth:
        return FrameTruth(
            boxes=self.boxes[which], labels=self.labels[which], ids=self.ids[which], visible=self.visible[which]
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundTruth:
    """All frames of a clip."""

    classes: tuple[str, ...]
    frames: tuple[FrameTruth, ...]


def truth_file(clip: Path) -> Path:
    """Where a clip's ground truth is looked for: `clip.truth.json` beside `clip.mp4`, or beside a folder `clip`."""
    return clip.with_name(f"{clip.name if clip.is_dir() else clip.stem}.truth.json")


def load_truth(path: Path, clip: ClipInfo) -> GroundTruth:
    """The truth about a clip, its boxes cut to the frames.

    Args:
        path: COCO if it ends in .json, MOTChallenge if it ends in .txt or .csv.
        clip: What it is about.

    Raises:
        OffloadError: it cannot be read, or is about another clip.
    """
    kind = path.suffix.lower()
    if kind not in (".json", ".txt", ".csv"):
        raise OffloadError(f"{path} is no ground truth", hint=_FORMATS)
    try:
        text = path.read_text(encoding="utf-8-sig")
        truth = _coco(json.loads(text), clip, path) if kind == ".json" else _mot(text, clip)
    except OSError as error:
        raise OffloadError(f"{path} cannot be read: {error.strerror}", hint=_FORMATS) from error
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError, RecursionError, csv.Error) as error:
        raise OffloadError(f"{path} is damaged: {error!r:.120}", hint=_FORMATS) from error
    _check_fits(truth, clip, path)
    return GroundTruth(
        classes=truth.classes, frames=tuple(frame.within(clip.width, clip.height) for frame in truth.frames)
    )


def _coco(document: Any, clip: ClipInfo, path: Path) -> GroundTruth:
    images = sorted(document["images"], key=lambda image: image["id"])
    for image in images:
        size = image.get("width", clip.width), image.get("height", clip.height)
        if size != (clip.width, clip.height):
            raise _misfit(path, f"its images have {size[0]}x{size[1]} pixels, {clip.name} {clip.width}x{clip.height}")
    categories = sorted(document["categories"], key=lambda category: category["id"])
    index = {category["id"]: number for number, category in enumerate(categories)}
    rows: dict[Any, list[_Row]] = {image["id"]: [] for image in images}
    if len(rows) < len(images) or len(index) < len(categories):
        raise ValueError("an id stands twice")
    for number, annotation in enumerate(document["annotations"]):
        if annotation["image_id"] not in rows:
            raise _misfit(path, f"it has annotations of image {annotation['image_id']}, which it does not list")
        if annotation.get("iscrowd"):
            continue
        left, top, width, height = (float(value) for value in annotation["bbox"])
        identity = int(annotation.get("track_id", -1 - number))  # no other object's where there is none
        label, visible = index[annotation["category_id"]], float(annotation.get("visibility", 1.0))
        rows[annotation["image_id"]].append(((left, top, left + width, top + height), label, identity, visible))
    return GroundTruth(
        classes=tuple(str(category["name"]) for category in categories),
        frames=tuple(FrameTruth.of(found) for found in rows.values()),
    )


def _mot(text: str, clip: ClipInfo) -> GroundTruth:
    """Lines of frame, identity, left, top, width, height, flag, class and visible share; the last three may be missing.

    Frames and pixels are counted from 1, and a flag of 0 says not to consider the line (Milan et al., "MOT16", 2016).
    """
    found: list[tuple[int, float | None, tuple[float, float, float, float], int, float]] = []
    for line in csv.reader(text.splitlines()):
        if not line:
            continue
        if len(line) < _LEAST_MOT_COLUMNS:
            raise ValueError(f"a line of {len(line)} columns")
        values = [float(value) for value in line]
        if values[0] < 1:
            raise ValueError(f"frame {values[0]:g}: MOTChallenge counts from 1")
        if len(values) > _LEAST_MOT_COLUMNS and values[6] == 0:
            continue
        left, top = values[2] - 1, values[3] - 1
        classed = _LEAST_MOT_COLUMNS + 1 < len(values) < _MOT_2015_COLUMNS
        visible = values[8] if classed and len(values) > _LEAST_MOT_COLUMNS + 2 else 1.0
        box = (left, top, left + values[4], top + values[5])
        found.append((int(values[0]), values[7] if classed else None, box, int(values[1]), visible))
    names = sorted({-math.inf if name is None else name for _, name, *_ in found})
    rows: dict[int, list[_Row]] = defaultdict(list)
    for frame, name, box, identity, visible in found:
        rows[frame].append((box, names.index(-math.inf if name is None else name), identity, visible))
    frames = max(clip.frames, max(rows, default=0))  # the last frames may show nothing
    return GroundTruth(
        classes=tuple(_ONLY_CLASS if math.isinf(name) else f"{name:g}" for name in names),
        frames=tuple(FrameTruth.of(rows[number]) for number in range(1, frames + 1)),
    )


def _check_fits(truth: GroundTruth, clip: ClipInfo, path: Path) -> None:
    if len(truth.frames) != clip.frames:
        raise _misfit(path, f"it tells of {len(truth.frames)} frames, {clip.name} has {clip.frames}")
    for number, frame in enumerate(truth.frames):
        values = frame.boxes
        if not np.isfinite(values).all() or (values[:, 2:] < values[:, :2]).any():
            raise OffloadError(f"{path} is damaged: a box of frame {number} is none", hint="check its width and height")
        outside = (values[:, 0] >= clip.width) | (values[:, 1] >= clip.height) | (values[:, 2:] <= 0).any(axis=1)
        if outside.any():
            raise _misfit(path, f"a box of frame {number} lies outside {clip.width}x{clip.height} pixels")
        if not ((frame.visible >= 0) & (frame.visible <= 1)).all():
            raise OffloadError(f"{path} is damaged: a visibility of frame {number} is no share", hint="it is 0 to 1")


def _misfit(path: Path, what: str) -> OffloadError:
    return OffloadError(f"{path} is not about this clip: {what}", hint="give the clip's own ground truth")


def write_truth(truth: GroundTruth, path: Path, about: Mapping[str, Any], *, width: int, height: int) -> None:
    """Write COCO's JSON, with `track_id` and `visibility`.

    Args:
        truth: What to write.
        path: Where.
        about: What to tell of how the clip was made; becomes COCO's `info`.
        width: Of the frames, pixels.
        height: Likewise.

    Raises:
        OSError: the file cannot be written.
    """
    annotations: list[dict[str, Any]] = []
    for number, frame in enumerate(truth.frames):
        for box, label, identity, visible in zip(frame.boxes, frame.labels, frame.ids, frame.visible, strict=True):
            left, top, right, bottom = (float(value) for value in box)
            annotations.append(
                {
                    "id": len(annotations) + 1,  # COCO's own evaluation takes 0 for no annotation
                    "image_id": number,
                    "category_id": int(label),
                    "bbox": [round(value, 2) for value in (left, top, right - left, bottom - top)],
                    "area": round((right - left) * (bottom - top), 2),
                    "iscrowd": 0,
                    "track_id": int(identity),
                    "visibility": math.floor(float(visible) * 1000) / 1000,
                }
            )
    document = {
        "info": dict(about),
        "images": [
            {"id": number, "file_name": f"{number:06d}", "width": width, "height": height}
            for number in range(len(truth.frames))
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(truth.classes)],
        "annotations": annotations,
    }
    path.write_text(json.dumps(document), encoding="utf-8")
