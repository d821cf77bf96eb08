"""What a detector takes for crops of several sizes and shapes, from JPEG file to answer."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from offload.artifacts.video_profile import CropRecord
from offload.profilers.reference import waited_s
from offload.profilers.rests import PAUSE_S
from offload.profilers.video.replay import jpeg, pixels_of

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    detector: Detector, session: Session, frame: Frame, *, quality: int, rounds: int, progress: Progress
) -> tuple[CropRecord, ...]:
    """Time decoding crops of a frame and a detector's model on them, in rounds over all sizes, each after a rest.

    Raises:
        OffloadError: the model cannot be run on one.
        KeyboardInterrupt: interrupted in the first round; a later interrupt ends the rounds.
    """
    height, width = frame.shape[:2]
    sizes = crop_sizes(width, height, detector.multiple)
    files = [jpeg(detector.sent(frame[:high, :wide])[0], quality) for wide, high in sizes]
    samples: list[list[tuple[float, float]]] = [[] for _ in sizes]
    answer_bytes = [0] * len(sizes)
    progress.start("timing the detector", rounds)
    for number in range(rounds):
        try:
            for index, file in enumerate(files):
                outputs = session.run({detector.input: detector.prepared(pixels_of(file))[0]})
                answer_bytes[index] = sum(array.nbytes for array in outputs.values())
                time.sleep(PAUSE_S)
                waited_s()  # wakes the core, as a request's arrival does
                started = time.perf_counter()
                feed, _ = detector.prepared(pixels_of(file))
                decoded = time.perf_counter()
                session.run({detector.input: feed})
                samples[index].append((decoded - started, time.perf_counter() - decoded))
        except KeyboardInterrupt:
            if number == 0:
                raise
            break
        progress.advance()
    progress.finish()
    return crop_records(sizes, samples, answer_bytes)


def crop_records(
    sizes: Sequence[tuple[int, int]],
    samples: Sequence[Sequence[tuple[float, float]]],
    answer_bytes: Sequence[int],
) -> tuple[CropRecord, ...]:
    """For a document.

    Args:
        sizes: Width and height of each, pixels.
        samples: For each, what decoding and the detector took in each run, seconds.
        answer_bytes: For each, of the detector's answer.
    """
    return tuple(
        CropRecord(
            width=wide,
            height=high,
            samples_s=tuple(detector_s for _, detector_s in found),
            decode_s=tuple(decode_s for decode_s, _ in found),
            answer_bytes=answered,
        )
        for (wide, high), found, answered in zip(sizes, samples, answer_bytes, strict=True)
    )
