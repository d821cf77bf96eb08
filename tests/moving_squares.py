"""A folder of frames on which bright squares move, with its truth: for tests with a detector of bright places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from offload.video.truth import FrameTruth, GroundTruth, truth_file, write_truth
from tests.made_detectors import SPOTS

WIDTH, HEIGHT, FRAMES = 320, 192, 8


def frames_and_truth() -> tuple[list[np.ndarray], GroundTruth]:
    """Three squares of 16 pixels, one of each colour, that move by 8 pixels a frame; the blue one appears late."""
    frames, truths = [], []
    for number in range(FRAMES):
        frame, rows = np.zeros((HEIGHT, WIDTH, 3), np.uint8), []
        places = [(16 + 8 * number, 32, 0), (280 - 8 * number, 128, 1)] + [(160, 64 + 8 * number, 2)] * (number >= 3)
        for left, top, colour in places:
            frame[top : top + 16, left : left + 16, colour] = 255
            rows.append(((left, top, left + 16, top + 16), colour, colour, 1.0))
        frames.append(frame)
        truths.append(FrameTruth.of(rows))
    return frames, GroundTruth(classes=SPOTS.classes, frames=tuple(truths))


def write_squares(folder: Path, *, truth: bool = True) -> Path:
    """The clip as a folder of images, its truth beside it."""
    frames, told = frames_and_truth()
    clip = folder / "squares"
    clip.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(clip / f"{number:03d}.png")
    if truth:
        write_truth(told, truth_file(clip), {}, width=WIDTH, height=HEIGHT)
    return clip
