"""One clip's scene: what moves over what, seen by a camera that moves, too; drawn frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from offload.datasets.digits_in_motion.background import camera, mosaic, posts
from offload.datasets.digits_in_motion.drawings import drawing
from offload.datasets.digits_in_motion.moving import MovingDigit, moving_digits
from offload.video.truth import FrameTruth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.datasets.base import Split
    from offload.video.clips import Frame

_SPLITS: dict[Split, int] = {"train": 1, "validation": 2, "test": 3}
_DRIFT, _DRIFT_PERIOD_S = 0.12, 7.0
"""How brightness goes up and down, as a share, and how long that takes."""
_NOISE = 4.0
"""Standard deviation of the sensor's noise, of 255."""
_NOISE_VALUES, _BAND = 1 << 21, 1 << 16
"""How many numbers the noise is made of, and how many of a frame's are exposed at once: they fit the processor's
cache."""
_LEAST_SEEN, _LEAST_SIDE = 0.05, 2
"""Share of a digit, and pixels of its box in the frame, that must be there for it to be in the frame's truth."""


@dataclass(frozen=True, kw_only=True)
class SceneSettings:
    """What a clip is to be like."""

    split: Split
    seed: int
    """From 0 on."""
    width: int
    height: int
    fps: float
    frames: int
    density: int
    """Digits at a time; of them some are beside the frame, where the camera may yet look."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """All that chance decides about a clip."""

    settings: SceneSettings
    background: NDArray[np.uint8]
    """Shape (height, width, 3), larger than a frame."""
    camera: NDArray[np.int64]
    """Left and top of each frame on the background, shape (frames, 2)."""
    posts: list[tuple[int, int, int]]
    """Left and right on the background, and the left end of what they look like."""
    digits: list[MovingDigit]
    """A later one is in front of those before it."""
    brightness: NDArray[np.uint16]
    """Of each frame, in 1/128."""
    noise: NDArray[np.int64]
    """Where each frame's noise begins among the numbers that it is taken from."""


def draw_scene(settings: SceneSettings) -> Iterator[tuple[Frame, FrameTruth]]:
    """Each frame with its truth, the same for the same settings.

    Boxes are of all of a digit's ink that the frame has room for, also of what others hide; which share of the ink is
    seen stands beside them.
    """
    scene = compose(settings)
    for number in range(settings.frames):
        yield _draw(scene, number)


def compose(settings: SceneSettings) -> Scene:
    """Let chance decide."""
    random = np.random.default_rng([settings.seed, _SPLITS[settings.split]])
    time = np.arange(settings.frames) / settings.fps / _DRIFT_PERIOD_S
    drift = _DRIFT * np.sin(2 * math.pi * (time + random.uniform()))
    return Scene(
        settings=settings,
        background=mosaic(random, settings.split, settings.width, settings.height),
        camera=camera(random, settings.frames, settings.fps),
        posts=posts(random, settings.width),
        digits=moving_digits(random, settings),
        brightness=np.rint(128 * (1 + drift)).astype(np.uint16),
        noise=random.integers(0, _NOISE_VALUES, settings.frames),
    )


def _draw(scene: Scene, number: int) -> tuple[Frame, FrameTruth]:
    width, height = scene.settings.width, scene.settings.height
    left, top = (int(value) for value in scene.camera[number])
    frame = scene.background[top : top + height, left : left + width].copy()
    owners = np.zeros((height, width), np.uint16)  # whose ink is seen at each pixel, 0 for none's
    living = [digit for digit in scene.digits if digit.lives(number)]
    pasted = [_paste(digit, frame, owners, mark, scene, number) for mark, digit in enumerate(living, start=1)]
    for begin, end, look in scene.posts:
        low, high = max(0, begin - left), min(width, end - left)
        if low < high:
            source = look + left + low - begin
            frame[:, low:high] = scene.background[top : top + height, source : source + high - low]
            owners[:, low:high] = 0
    _expose(frame, scene.brightness[number], int(scene.noise[number]))
    rows = []
    for mark, (digit, shown) in enumerate(zip(living, pasted, strict=True), start=1):
        if shown is None:
            continue
        place, ink, box = shown
        visible = np.count_nonzero(owners[place] == mark) / ink
        if visible >= _LEAST_SEEN and min(box[2] - box[0], box[3] - box[1]) >= _LEAST_SIDE:
            rows.append((box, 0, digit.identity, visible))
    return frame, FrameTruth.of(rows)


_Shown = tuple[tuple[slice, slice], int, tuple[float, float, float, float]]
"""Which part of the frame a drawing takes, how many pixels of ink it has in all, and their box in the frame."""


def _paste(
    digit: MovingDigit, frame: Frame, owners: NDArray[np.uint16], mark: int, scene: Scene, number: int
) -> _Shown | None:
    """Draw a digit over what is there, and mark where its ink is; None where it is outside the frame."""
    from PIL import Image

    height, width = owners.shape
    x, y, size = digit.place(number)
    drawn = drawing(scene.settings.split, digit.glyph, size)
    side = len(drawn.ink)
    left, top = (
        round(middle - side / 2) - int(edge) for middle, edge in zip((x, y), scene.camera[number], strict=True)
    )
    low_x, high_x, low_y, high_y = max(0, left), min(width, left + side), max(0, top), min(height, top + side)
    if low_x >= high_x or low_y >= high_y:
        return None
    place = (slice(low_y, high_y), slice(low_x, high_x))
    part = (slice(low_y - top, high_y - top), slice(low_x - left, high_x - left))
    patch, corners = Image.fromarray(frame[place]), (low_x - left, low_y - top, high_x - left, high_y - top)
    red, green, blue = digit.colour
    patch.paste((255 - red, 255 - green, 255 - blue), mask=drawn.halo.crop(corners))
    patch.paste(digit.colour, mask=drawn.opacity.crop(corners))
    frame[place] = np.asarray(patch)
    mine = owners[place]
    mine[drawn.covering[part]] = 0
    mine[drawn.ink[part]] = mark
    box_left, box_top, box_right, box_bottom = drawn.box
    box = (
        float(max(0, left + box_left)),
        float(max(0, top + box_top)),
        float(min(width, left + box_right)),
        float(min(height, top + box_bottom)),
    )
    return place, int(np.count_nonzero(drawn.ink)), box


def _expose(frame: Frame, brightness: np.uint16, start: int) -> None:
    """What the sensor makes of the light: the whole frame brighter or darker, and noise; in place."""
    values, noise = frame.reshape(-1), _noise()
    for band in range(0, values.size, _BAND):
        part = values[band : band + _BAND]
        light = part.astype(np.uint16)
        light *= brightness
        light >>= np.uint16(7)
        noisy = light.view(np.int16)
        at = (start + band) % _NOISE_VALUES
        noisy += noise[at : at + len(part)]
        np.clip(noisy, 0, 255, out=noisy)
        part[:] = noisy


@cache
def _noise() -> NDArray[np.int16]:
    """The same for all clips, which begin elsewhere in it with every frame; it begins again at its end."""
    numbers = np.random.default_rng(0).normal(0, _NOISE, _NOISE_VALUES).round().astype(np.int16)
    return np.concatenate([numbers, numbers[:_BAND]])
