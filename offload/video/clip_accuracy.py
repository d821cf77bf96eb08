"""What a clip's answers were worth, all in one."""

from __future__ import annotations

import math
from collections.abc import Sequence
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


def ap50_change(
    found: Sequence[Detections], whole: Sequence[Detections], truth: Sequence[FrameTruth] | None
) -> Estimate:
    """By how much the AP50 of answers differs from that of the whole frames' answers; negative is a loss.

    The interval is that of a delete-one jackknife over blocks of frames that follow each other, which are alike
    (Künsch, "The jackknife and the bootstrap for general stationary observations", 1989); all that can be where there
    are too few frames to tell.

    Args:
        found: An answer about each frame.
        whole: What the detector finds in the whole of each.
        truth: Of each; None where there is none, and accuracies are against `whole`.
    """
    import numpy as np
    from scipy.stats import t

    right = as_truth(confident(whole, SHOWN_SCORE)) if truth is None else truth
    value = _difference(found, whole, right)
    blocks = np.array_split(np.arange(len(found)), min(_BLOCKS, len(found)))
    without = []
    for block in blocks:
        kept = [number for number in range(len(found)) if number not in block]
        told = _difference([found[i] for i in kept], [whole[i] for i in kept], [right[i] for i in kept])
        if math.isfinite(told):
            without.append(told)
    count = len(without)
    if count < _FEWEST:
        return Estimate(value=value, low=-1.0, high=1.0)
    spread = math.sqrt((count - 1) * float(np.var(without)))
    half = float(t.ppf(0.5 + CONFIDENCE / 2, count - 1)) * spread
    return Estimate(value=value, low=max(-1.0, value - half), high=min(1.0, value + half))


def _difference(found: Sequence[Detections], whole: Sequence[Detections], right: Sequence[FrameTruth]) -> float:
    if not found:
        return math.nan
    return average_precision(found, right).ap50 - average_precision(whole, right).ap50
