"""`spoken-digits`: synthetic, speech-like sequences of 3 to 7 digits; the answer is the sequence.

Nobody spoke them. Each digit is the few sounds of its English name, each sound three resonances (formants) above a
buzzing source, or a band of noise, or both, laid out directly as the log-mel frames that a recogniser would be given:
128 frames of 10 ms, 32 bands up to 4 kHz. A speaker is a vocal tract's length, a pitch, a tempo, a tilt and small
habits for each sound; a recording adds its own noise and its own loudness in each band. Speakers are divided among the
splits before anything is composed. It serves to train and measure codecs on sequences with a CTC target; error rates on
it say nothing about recognising people. Formants are roughly the averages for men in Peterson and Barney (1952),
written from memory.

An example depends on its split and index only. Frames are rounded to 256 levels, so that differences in the last digit
between processors do not show.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from offload.datasets.base import Split, Task
from offload.datasets.draws import Keys, between, draws
from offload.datasets.examples import Inputs, check_task
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor

Frames = NDArray[np.float32]
Floats = NDArray[np.float64]

NAME = "spoken-digits"
FRAMES, BANDS, DIGITS = 128, 32, 10
SIZES: dict[Split, int] = {"train": 6_000, "validation": 500, "test": 1_000}
_SPEAKERS: dict[Split, tuple[int, int]] = {"train": (0, 80), "validation": (80, 96), "test": (96, 128)}
"""First speaker, and the one after the last."""
_KEYS: dict[Split, int] = {"train": 4, "validation": 5, "test": 6}
_SHORTEST, _LONGEST = 3, 7
_BATCH = 32

_SOUNDS: dict[str, tuple[float, float, float, float, float, float, float]] = {
    # Formants in Hz, how loud the buzz is, how loud the noise is, where the noise is (Hz), usual length in frames.
    "": (500, 1500, 2500, 0.0, 0.0, 2000, 0),
    "iy": (270, 2290, 3010, 1.0, 0.0, 2000, 5),
    "ih": (390, 1990, 2550, 1.0, 0.0, 2000, 4),
    "eh": (530, 1840, 2480, 1.0, 0.0, 2000, 5),
    "ah": (640, 1190, 2390, 1.0, 0.0, 2000, 5),
    "aa": (730, 1090, 2440, 1.0, 0.0, 2000, 6),
    "ao": (570, 840, 2410, 1.0, 0.0, 2000, 6),
    "uw": (300, 870, 2240, 0.9, 0.0, 2000, 7),
    "ow": (450, 900, 2300, 0.9, 0.0, 2000, 5),
    "w": (300, 650, 2200, 0.6, 0.0, 2000, 3),
    "r": (420, 1300, 1650, 0.7, 0.0, 2000, 3),
    "n": (250, 1450, 2500, 0.45, 0.0, 2000, 4),
    "v": (280, 1100, 2300, 0.3, 0.15, 2600, 3),
    "z": (250, 1600, 2500, 0.25, 0.5, 3600, 4),
    "s": (300, 1700, 2600, 0.0, 0.7, 3700, 5),
    "th": (300, 1400, 2500, 0.0, 0.2, 2800, 3),
    "f": (300, 1200, 2400, 0.0, 0.25, 2200, 4),
    "t": (300, 1700, 2600, 0.0, 0.6, 3200, 2),
    "k": (300, 1900, 2400, 0.0, 0.5, 1800, 2),
}
_NAMES = (
    "z ih r ow", "w ah n", "t uw", "th r iy", "f ao r", "f aa iy v", "s ih k s", "s eh v ah n", "eh iy t", "n aa iy n",
)  # fmt: skip
_PARTS = 5
"""Sounds of the longest name."""
_PER_DIGIT = 1 + _PARTS + 1
_HABITS = 4 + 3 * len(_SOUNDS)


def load(tensor: Tensor, split: Split, task: Task | None) -> Inputs:
    """One split, for a model whose input is `tensor`.

    Raises:
        OffloadError: the model's input has another shape, or the task is another than ctc.
    """
    if tensor.shape != (1, FRAMES, BANDS) or tensor.dtype != "float32":
        raise OffloadError(
            f"{NAME} is 1×{FRAMES}×{BANDS} float32, the model's input is {'×'.join(map(str, tensor.shape))} "
            f"{tensor.dtype}",
            hint="use digits_deepspeech, or a model with that input",
        )
    indices = np.arange(SIZES[split])
    return Inputs(
        name=NAME,
        task=check_task(task, "ctc", name=NAME),
        answers=answers(split, indices),
        values=compose(split, indices),
    )


def answers(split: Split, indices: NDArray[np.int64]) -> list[tuple[int, ...]]:
    """The digits of the sequences with these indices."""
    digits, counts = _digits(_drawn(split, indices))
    return [tuple(map(int, row[:count])) for row, count in zip(digits, counts, strict=True)]


def compose(split: Split, indices: NDArray[np.int64]) -> Frames:
    """The sequences with these indices, shape (indices, 128, 32), float32. Any index from 0 makes one."""
    frames = np.empty((len(indices), FRAMES, BANDS), np.float32)
    for start in range(0, len(indices), _BATCH):
        part = slice(start, start + _BATCH)
        frames[part] = _composed(split, np.asarray(indices[part], np.int64))
    return frames


def _drawn(split: Split, indices: NDArray[np.int64]) -> Keys:
    keys = np.asarray(indices, np.uint64) + np.uint64(_KEYS[split] << 48)
    return draws(keys, 16 + _LONGEST * _PER_DIGIT + BANDS)


def _digits(drawn: Keys) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    each = drawn[:, 16 : 16 + _LONGEST * _PER_DIGIT : _PER_DIGIT]
    return between(each, 0, DIGITS), between(drawn[:, 0], _SHORTEST, _LONGEST + 1)


def _unit(drawn: Keys, low: float, high: float) -> Floats:
    """Uniform numbers between two."""
    return low + (high - low) * ((drawn >> np.uint64(40)).astype(np.float64) / (1 << 24))


@cache
def _tables() -> tuple[NDArray[np.int64], Floats]:
    """The sounds of each digit, shape (10, 5), 0 where there is none; and what each sound is, shape (sounds, 7)."""
    order = list(_SOUNDS)
    names = np.zeros((DIGITS, _PARTS), np.int64)
    for digit, name in enumerate(_NAMES):
        sounds = [order.index(sound) for sound in name.split()]
        names[digit, : len(sounds)] = sounds
    return names, np.array(list(_SOUNDS.values()))


def _composed(split: Split, indices: NDArray[np.int64]) -> Frames:
    drawn = _drawn(split, indices)
    first, end = _SPEAKERS[split]
    speakers = between(drawn[:, 1], first, end).astype(np.uint64) + np.uint64(7 << 48)
    habits = draws(speakers, _HABITS)
    sounds = _timeline(drawn, tempo=_unit(habits[:, 0], 0.58, 1.15))
    said = _said(sounds, habits)
    centres = _band_centres()
    formants, buzz, noise, place = said[..., :3], said[..., 3, None], said[..., 4, None], said[..., 5, None]
    resonance = sum(
        gain / (1 + ((centres - formants[..., which, None]) / width) ** 2)
        for which, (gain, width) in enumerate(((1.0, 90.0), (0.6, 120.0), (0.35, 180.0)))
    )
    pitch = _unit(habits[:, 1], 90, 230)[:, None, None]
    harmonics = 1 + 0.6 * np.cos(2 * np.pi * centres / pitch) * (centres < 1200)
    tilt = np.exp(-centres / 1000 * _unit(habits[:, 2], 0.1, 0.6)[:, None, None])
    hiss = np.exp(-(((centres - place) / 700) ** 2))
    power = buzz**2 * resonance**2 * harmonics * tilt + (0.5 * noise) ** 2 * hiss
    floor = 10 ** _unit(drawn[:, 2], -2.5, -0.65)[:, None, None]
    colour = np.exp(-centres / 1500 * _unit(drawn[:, 3], -0.5, 1.0)[:, None, None])
    level = np.log(power * _grain(drawn, 1) + floor * colour * _grain(drawn, 2))
    level += _unit(drawn[:, 4], -1.0, 1.0)[:, None, None]
    level += _unit(drawn[:, -BANDS:], -0.3, 0.3)[:, None, :]
    return _rounded(level / 2 + 2)


def _timeline(drawn: Keys, tempo: Floats) -> NDArray[np.int64]:
    """Which sound is heard in each frame, shape (examples, frames); silence before, between and after digits."""
    names, table = _tables()
    digits, counts = _digits(drawn)
    lengths = np.zeros((len(drawn), 1 + _LONGEST * (_PARTS + 1)))
    sounds = np.zeros((len(drawn), lengths.shape[1] + 1), np.int64)
    for position in range(_LONGEST):
        place = drawn[:, 16 + position * _PER_DIGIT :]
        there = position < counts
        parts = slice(1 + position * (_PARTS + 1), 1 + position * (_PARTS + 1) + _PARTS)
        sounds[:, parts] = names[digits[:, position]] * there[:, None]
        lengths[:, parts] = table[sounds[:, parts], 6] * tempo[:, None] * _unit(place[:, 1 : 1 + _PARTS], 0.8, 1.2)
        lengths[:, parts.stop] = _unit(place[:, 1 + _PARTS], 0.5, 4) * there
    total = lengths.sum(axis=1)
    lengths *= np.minimum(1, (FRAMES - 4) / total)[:, None]
    lengths[:, 0] = 2 + (FRAMES - 4 - np.minimum(total, FRAMES - 4)) * _unit(drawn[:, 5], 0, 1)
    ends = np.cumsum(lengths, axis=1)
    at = (np.arange(FRAMES)[None, :, None] + 0.5 >= ends[:, None, :]).sum(axis=2)
    return np.take_along_axis(sounds, at, axis=1)


def _said(sounds: NDArray[np.int64], habits: Keys) -> Floats:
    """What is heard in each frame, as this speaker says it, gliding from sound to sound; (examples, frames, 6)."""
    _, table = _tables()
    own = _unit(habits[:, 4:_HABITS], 0.88, 1.12).reshape(len(habits), len(table), 3)
    tracts = _unit(habits[:, 3], 0.82, 1.28)[:, None, None]  # shorter ones resonate higher
    said = table[sounds][..., :6].copy()
    said[..., :3] *= np.take_along_axis(own, sounds[..., None], axis=1) * tracts
    padded = np.pad(said, ((0, 0), (2, 2), (0, 0)), mode="edge")
    weights = np.array([1, 2, 3, 2, 1]) / 9
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis=1)
    return np.asarray(windows @ weights)


def _grain(drawn: Keys, which: int) -> Floats:
    """How a noisy spectrum's power scatters about its mean; shape (examples, frames, bands), mean 1."""
    noise = (
        draws(drawn[:, 6] ^ np.uint64(which), FRAMES * BANDS // 2).astype("<u8").view("<u4").reshape(-1, FRAMES, BANDS)
    )
    first, second = (noise & 0xFFFF) / 65536, (noise >> 16) / 65536
    return 0.3 + 0.7 * (first + second)


def _band_centres() -> Floats:
    """Centres of the bands in Hz, equally spaced in mel: 2595 log10(1 + f / 700)."""
    top = 2595 * np.log10(1 + 4000 / 700)
    return np.asarray(700 * (10 ** (np.linspace(80, top, BANDS) / 2595) - 1))


def _rounded(level: Floats) -> Frames:
    """To sixteenths, from -8 to 8."""
    return (np.clip(np.round(level * 16), -128, 127) / 16).astype(np.float32)
