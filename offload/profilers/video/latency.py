"""What a detector takes for crops of several sizes and shapes."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from offload.artifacts.video_profile import CropRecord
from offload.profilers.reference import waited_s
from offload.profilers.rests import PAUSE_S

if TYPE_CHECKING:
    from offload.detectors.base import Detector
    from offload.progress import Progress
    from offload.runtimes.base import Session
    from offload.video.clips import Frame

_SHARES = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.01)
"""Of the frame's area."""
_ASPECTS = (16 / 9, 1.0, 9 / 16)


def crop_sizes(width: int, height: int, multiple: int) -> list[tuple[int, int]]:
    """Sizes that are worth measuring in a frame: the whole one, and crops of several areas and shapes."""
    sizes: list[tuple[int, int]] = []
    for index, share in enumerate(_SHARES):
        aspect = width / height if share == 1 else _ASPECTS[index % len(_ASPECTS)]
        side = math.sqrt(share * width * height)
        wide, high = min(width, side * math.sqrt(aspect)), min(height, side / math.sqrt(aspect))
        rounded = [max(multiple, round(each / multiple) * multiple) for each in (wide, high)]
        sizes.append((width, height) if share == 1 else (rounded[0], rounded[1]))
    return list(dict.fromkeys(sizes))


def measure_crops(
    detector: Detector, session: Session, frame: Frame, *, rounds: int, progress: Progress
) -> tuple[CropRecord, ...]:
    """Time a detector's model on crops, in rounds over all sizes, each after a rest.

    Raises:
        OffloadError: the model cannot be run on one.
        KeyboardInterrupt: interrupted in the first round; a later interrupt ends the rounds.
    """
    height, width = frame.shape[:2]
    sizes = crop_sizes(width, height, detector.multiple)
    feeds = [{detector.input: detector.prepared(frame[:high, :wide])[0]} for wide, high in sizes]
    samples: list[list[float]] = [[] for _ in sizes]
    progress.start("timing the detector", rounds)
    for number in range(rounds):
        try:
            for feed, found in zip(feeds, samples, strict=True):
                session.run(feed)
                time.sleep(PAUSE_S)
                waited_s()  # wakes the core, as a request's arrival does
                started = time.perf_counter()
                session.run(feed)
                found.append(time.perf_counter() - started)
        except KeyboardInterrupt:
            if number == 0:
                raise
            break
        progress.advance()
    progress.finish()
    return tuple(
        CropRecord(width=wide, height=high, samples_s=tuple(found))
        for (wide, high), found in zip(sizes, samples, strict=True)
    )
