"""What a detector found in a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from offload.video.boxes import NO_BOXES, moved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from offload.video.boxes import Boxes


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """Objects, each with a box, a score and a class."""

    boxes: Boxes
    """Shape (count, 4), pixels of the frame."""
    scores: NDArray[np.float64]
    """Shape (count,), 0 to 1."""
    labels: NDArray[np.int64]
    """Shape (count,), indices of classes."""

    @classmethod
    def none(cls) -> Self:
        """Nothing found."""
        return cls(boxes=NO_BOXES, scores=np.zeros(0), labels=np.zeros(0, np.int64))

    @classmethod
    def together(cls, parts: Sequence[Detections]) -> Self:
        """All that several found, in order."""
        if not parts:
            return cls.none()
        return cls(
            boxes=np.concatenate([part.boxes for part in parts]),
            scores=np.concatenate([part.scores for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def chosen(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        """Those that a mask or indices name."""
        return type(self)(boxes=self.boxes[which], scores=self.scores[which], labels=self.labels[which])

    def placed(self, *, left: float, top: float, scale: float = 1.0) -> Self:
        """From the pixels of a crop to the frame's.

        Args:
            left: Where the crop begins in the frame, pixels.
            top: Likewise.
            scale: Frame pixels for each pixel of the crop.
        """
        return type(self)(boxes=moved(self.boxes * scale, left, top), scores=self.scores, labels=self.labels)
