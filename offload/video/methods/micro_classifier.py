"""Whether the last answer still holds for a frame: a logistic regression on what changed in a small grey picture.

FilterForward (Canel et al., SysML 2019) decides with micro-classifiers on the device which frames are worth sending.
Theirs look at a mobile network's features, for which a device that hardly computes has no time; this one looks at grey
values, and costs a few milliseconds.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offload.video.boxes import areas
from offload.video.proposals.weights_file import PredictorWeights, WeightsKind, read_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.video.boxes import Boxes
    from offload.video.clips import Frame

    Look = NDArray[np.float64]
    """Grey values of a small picture, 0 to 1, shape (HIGH, WIDE)."""

WIDE, HIGH = 320, 180
FEATURES, CHANGES = 5, 3
"""How many features there are, and how many of them, the first, tell of change."""
SHAPES = {"mean": (FEATURES,), "std": (FEATURES,), "weight": (FEATURES,), "bias": (1,), "threshold": (1,)}
"""Of the weights: features less `mean`, over `std`, times `weight`, plus `bias`; sent from `threshold` on."""
KIND = WeightsKind(
    format="offload frame filter 1", name="frame filter", remedy="install offload again: it comes with the program"
)
EMBEDDED = Path(__file__).parent / "weights" / "frame_filter.safetensors"
"""Trained on made clips of `digits-in-motion` for training: `python -m offload.training.recipes.frame_filter`."""


class MicroClassifier:
    """A trained one.

    Args:
        weights: Of `SHAPES`.
    """

    def __init__(self, weights: PredictorWeights) -> None:
        self.weights = weights
        self._tensors = {name: tensor.astype(np.float64) for name, tensor in weights.tensors.items()}

    def stale(self, features: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether the last answer no longer holds, from features (frames, FEATURES); (frames,)."""
        found: NDArray[np.bool_] = self.logits(features) >= self._tensors["threshold"][0]
        return found

    def logits(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of the last answer being stale, (frames,)."""
        tensors = self._tensors
        standard = (features - tensors["mean"]) / tensors["std"]
        told: NDArray[np.float64] = standard @ tensors["weight"] + tensors["bias"][0]
        return told


@cache
def embedded() -> MicroClassifier:
    """The one that comes with the program.

    Raises:
        OffloadError: its weights are damaged.
    """
    return MicroClassifier(read_weights(EMBEDDED, SHAPES, KIND))


def look_at(frame: Frame) -> Look:
    """A frame's small grey picture."""
    from PIL import Image

    step = max(1, min(frame.shape[0] // (2 * HIGH), frame.shape[1] // (2 * WIDE)))
    green = Image.fromarray(np.ascontiguousarray(frame[::step, ::step, 1]))
    return np.asarray(green.resize((WIDE, HIGH), Image.Resampling.BOX), np.float64) / 255


def features_of(sent: Look, now: Look, *, waited: int, boxes: Boxes, width: int, height: int) -> NDArray[np.float64]:
    """What is known of how much has changed, (FEATURES,).

    Args:
        sent: The last frame that was answered.
        now: This one.
        waited: Frames from that one to this one, from 1 on.
        boxes: Of the last answer, pixels.
        width: Of the frame, pixels.
        height: Likewise.
    """
    right, down = _shift(sent, now)
    side = float(np.median(np.sqrt(areas(boxes)))) if len(boxes) else float(min(width, height))
    moved = np.hypot(right * width / WIDE, down * height / HIGH) / max(side, 1.0)
    near = _inside(np.abs(now - sent), boxes, width, height)
    return np.array(
        [
            np.log(waited),
            np.log1p(moved),
            near.mean() if len(near) else np.abs(now - sent).mean(),
            np.log1p(len(boxes)),
            np.log(side / min(width, height)),
        ]
    )


def _shift(sent: Look, now: Look) -> tuple[float, float]:
    """By how many of its pixels the whole picture has moved right and down: the peak of its phase correlation."""
    window = np.outer(np.hanning(HIGH), np.hanning(WIDE))  # the picture's edges do not move with it
    then, there = (np.fft.rfft2((look - look.mean()) * window) for look in (sent, now))
    cross = there * np.conj(then)
    peaks = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-12), s=now.shape)
    row, column = np.unravel_index(int(peaks.argmax()), peaks.shape)
    return _finer(peaks[row], int(column)), _finer(peaks[:, column], int(row))


def _finer(values: NDArray[np.float64], peak: int) -> float:
    """The place of a peak between its neighbours, around which values are taken for a parabola; wraps around."""
    before, at, after = values[peak - 1], values[peak], values[(peak + 1) % len(values)]
    bend = before - 2 * at + after
    place = peak + (0.5 * float((before - after) / bend) if bend < 0 else 0.0)
    return place if place <= len(values) / 2 else place - len(values)


def _inside(changed: Look, boxes: Boxes, width: int, height: int) -> NDArray[np.float64]:
    """The mean change within each box, (boxes,)."""
    scale = np.array([WIDE / width, HIGH / height])
    low = np.clip(np.floor(boxes[:, :2] * scale), 0, (WIDE - 1, HIGH - 1)).astype(np.int64)
    high = np.maximum(np.ceil(boxes[:, 2:] * scale).astype(np.int64), low + 1)
    return np.array(
        [
            changed[top:bottom, left:right].mean()
            for (left, top), (right, bottom) in zip(low.tolist(), high.tolist(), strict=True)
        ]
    )
