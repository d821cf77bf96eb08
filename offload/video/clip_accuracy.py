"""What a clip's answers were worth, all in one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.estimate import CONFIDENCE, Estimate
from offload.artifacts.video_profile import DetectionAccuracy
from offload.errors import OffloadError
from offload.video.accuracy import SHOWN_SCORE, as_truth, average_precision, confident, mistakes

if TYPE_CHECKING:
    from offload.video.detections import Detections
    from offload.video.truth import FrameTruth

_BLOCKS, _FEWEST = 6, 4
"""Of frames that are left out in turn, and how many of these must be left to tell anything."""


def clip_accuracy(
    found: Sequence[Detections], whole: Sequence[Detections], truth: Sequence[FrameTruth] | None
) -> DetectionAccuracy:
    """The accuracy of a clip's answers.

    Args:
        found: An answer about each frame.
        whole: What the detector finds in the whole of each.
        truth: Of each; None where there is none, and accuracies are against `whole`.

    Raises:
        OffloadError: there is nothing to find, or the detector finds nothing in whole frames.
    """
    intact = as_truth(confident(whole, SHOWN_SCORE))
    right = intact if truth is None else truth
    precision, against_whole = average_precision(found, right), average_precision(found, intact)
    for told, what in ((against_whole, "the detector finds nothing"), (precision, "there is nothing to find")):
        if math.isnan(told.ap50):
            raise OffloadError(f"{what} in {len(found)} frames", hint="take more --frames, or another clip or detector")
    wrong = mistakes(confident(found, SHOWN_SCORE), right)
    delays = [float(delay) for delay in wrong.delays] if truth is not None else []
    seen = [delay for delay in delays if math.isfinite(delay)]
    return DetectionAccuracy(
        ap50=precision.ap50,
        ap=precision.ap50_95,
        ap50_whole=against_whole.ap50,
        duplicates=wrong.duplicates / len(found),
        missed=float(wrong.missed_by_age.sum() / max(1, wrong.asked_by_age.sum())),
        new_object_delay_frames=sum(seen) / len(seen) if seen else None,
        never_found=1 - len(seen) / len(delays) if delays else None,
    )


@dataclass(frozen=True, kw_only=True)
class BlockedPrecision:
    """An AP50, and what it is without each block of frames that follow each other."""

    ap50: float
    without: tuple[float, ...]
    """nan where nothing is left to find."""


def blocked_precision(found: Sequence[Detections], right: Sequence[FrameTruth]) -> BlockedPrecision:
    """AP50 over all frames, and leaving out each block of them.

    Args:
        found: An answer about each frame.
        right: What is right about each.
    """
    import numpy as np

    without = []
    for block in np.array_split(np.arange(len(found)), min(_BLOCKS, len(found))):
        kept = [number for number in range(len(found)) if number not in block]
        left = average_precision([found[index] for index in kept], [right[index] for index in kept])
        without.append(left.ap50)
    return BlockedPrecision(ap50=average_precision(found, right).ap50, without=tuple(without))


def ap50_change(found: BlockedPrecision, whole: BlockedPrecision) -> Estimate:
    """By how much an AP50 differs from that of the whole frames' answers to the same frames; negative is a loss.

    The interval is that of a delete-one jackknife over blocks of frames that follow each other, which are alike
    (Künsch, "The jackknife and the bootstrap for general stationary observations", 1989); all that can be where there
    are too few blocks to tell.
    """
    import numpy as np
    from scipy.stats import t

    value = found.ap50 - whole.ap50
    changes = [one - other for one, other in zip(found.without, whole.without, strict=True)]
    told = [change for change in changes if math.isfinite(change)]
    count = len(told)
    if count < _FEWEST:
        return Estimate(value=value, low=-1.0, high=1.0)
    spread = math.sqrt((count - 1) * float(np.var(told)))
    half = float(t.ppf(0.5 + CONFIDENCE / 2, count - 1)) * spread
    return Estimate(value=value, low=max(-1.0, value - half), high=min(1.0, value + half))
