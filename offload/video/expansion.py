"""Making predicted boxes larger, so that an object is inside though the prediction is a little off (ELF)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offload.video.boxes import clipped

if TYPE_CHECKING:
    from offload.video.boxes import Boxes


def expanded(boxes: Boxes, share: float, *, width: float, height: float) -> Boxes:
    """Each box by a share of its own sides on each side, as far as the frame reaches.

    Args:
        boxes: Pixels.
        share: 0.2 makes a box of 100 pixels one of 140.
        width: Of the frame, pixels.
        height: Likewise.
    """
    more = np.maximum(boxes[:, 2:] - boxes[:, :2], 0) * share
    return clipped(np.concatenate([boxes[:, :2] - more, boxes[:, 2:] + more], axis=1), width, height)
