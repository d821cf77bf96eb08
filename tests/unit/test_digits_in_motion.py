"""The embedded clip's scenes: what is told of a frame is what can be counted in it, and splits share nothing."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from offload.datasets.base import Split
from offload.datasets.digit_sources import glyphs, photographs
from offload.datasets.digits_in_motion import scene as subject
from offload.datasets.digits_in_motion.background import MARGIN, camera, mosaic, posts
from offload.datasets.digits_in_motion.drawings import drawing
from offload.datasets.digits_in_motion.moving import LARGEST, SMALLEST, moving_digits
from offload.datasets.digits_in_motion.scene import Scene, SceneSettings, compose, draw_scene
from offload.datasets.digits_in_motion.trajectories import FAMILIES

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SETTINGS = SceneSettings(split="test", seed=3, width=200, height=120, fps=15.0, frames=8, density=14)


def test_the_same_settings_make_the_same_frames() -> None:
    once, again = (list(draw_scene(SETTINGS)) for _ in range(2))
    for (frame, truth), (same, told) in zip(once, again, strict=True):
        np.testing.assert_array_equal(frame, same)
        for name in ("boxes", "labels", "ids", "visible"):
            np.testing.assert_array_equal(getattr(truth, name), getattr(told, name))
        assert (frame.shape, frame.dtype) == ((120, 200, 3), np.uint8)
    assert len({frame.tobytes() for frame, _ in once}) == SETTINGS.frames
    for other in (replace(SETTINGS, seed=4), replace(SETTINGS, split="train"), replace(SETTINGS, split="validation")):
        assert not (next(draw_scene(other))[0] == once[0][0]).all()


def test_splits_share_no_drawing() -> None:
    drawings = {split: {glyph.tobytes() for glyph in glyphs(split)[0]} for split in SPLITS}
    assert all(not drawings[one] & drawings[other] for one, other in itertools.combinations(SPLITS, 2))
    for split in SPLITS:
        scene = compose(replace(SETTINGS, split=split, frames=400))
        shown = {glyphs(split)[0][digit.glyph].tobytes() for digit in scene.digits}
        assert shown <= drawings[split]


def test_splits_share_no_photograph() -> None:
    """Each piece of the background is cut, or mirrored, from the split's own columns of the two photographs."""
    whole = np.concatenate([photographs(split) for split in SPLITS], axis=2)
    assert whole.shape == (2, 427, 640, 3)
    for split in SPLITS:
        laid, source = mosaic(np.random.default_rng(5), split, 64, 64), photographs(split)
        side = min(128, source.shape[2])
        for top, left in itertools.product((0, side, 2 * side), repeat=2):
            piece = laid[top : top + side, left : left + side]
            assert _is_cut_from(source, piece)
            others = [photographs(other) for other in SPLITS if other != split]
            assert not any(_is_cut_from(other, piece) for other in others if other.shape[2] >= piece.shape[1])


def _is_cut_from(source: NDArray[np.uint8], piece: NDArray[np.uint8]) -> bool:
    height, width = piece.shape[:2]
    for upright, ahead in itertools.product((1, -1), repeat=2):
        turned = piece[::upright, ::ahead]
        room = source[:, : source.shape[1] - height + 1, : source.shape[2] - width + 1]
        for which, y, x in np.argwhere((room == turned[0, 0]).all(axis=3)):
            if (source[which, y : y + height, x : x + width] == turned).all():
                return True
    return False


def test_splits_move_in_other_ways() -> None:
    assert not set(FAMILIES["train"]) & set(FAMILIES["test"])
    assert not set(FAMILIES["validation"]) & set(FAMILIES["test"])


@pytest.mark.parametrize("family", [*FAMILIES["train"], *FAMILIES["test"]], ids=lambda family: family.__name__)
def test_a_path_begins_where_it_is_put_and_keeps_to_its_speed(family) -> None:
    random, speed = np.random.default_rng(1), 6.0
    for frames in (2, 50, 240):
        path = family(random, frames, speed)
        assert path.shape == (frames, 3)
        assert path[0, :2] == pytest.approx([0, 0])
        assert (path[:, 2] > 0.3).all()
        assert (path[:, 2] < 3).all()
        steps = np.hypot(*np.diff(path[:, :2], axis=0).T)
        name = family.__name__
        if name in ("_constant", "_scaling"):
            assert steps == pytest.approx(np.full(frames - 1, speed))
        elif name == "_accelerated":
            assert (steps <= 2 * speed + 1e-9).all()
        elif name == "_reversing":
            assert np.isclose(steps, speed).mean() > 0.9 or frames < 50
            assert (steps <= speed + 1e-9).all()
            assert frames < 240 or np.hypot(*path[-1, :2]) <= 45 * speed
        elif name == "_circling":
            assert (steps <= speed + 1e-9).all()
            assert (steps > 0.98 * speed).all()


def test_as_many_digits_at_a_time_as_asked_for() -> None:
    settings = replace(SETTINGS, frames=600, density=9)
    digits = moving_digits(np.random.default_rng(0), settings)
    assert [sum(digit.lives(frame) for digit in digits) for frame in range(600)] == [9] * 600
    assert len({digit.identity for digit in digits}) == len(digits) > 2 * 9
    assert all(digit.identity > 0 for digit in digits)
    for digit in digits:
        assert ((digit.path[:, 2] >= SMALLEST) & (digit.path[:, 2] <= LARGEST)).all()
        x, y = digit.path[1:, 0], digit.path[1:, 1]
        assert ((x >= 0) & (x <= 200 + 2 * MARGIN) & (y >= 0) & (y <= 120 + 2 * MARGIN)).all()


def test_the_camera_stays_on_the_background() -> None:
    for seed in range(5):
        random = np.random.default_rng(seed)
        places = camera(random, 500, 15.0)
        assert places.min() >= 0
        assert places.max() <= 2 * MARGIN
        assert len(np.unique(places[:, 0])) > 50, "it moves"
        for begin, end, look in posts(random, 200):
            assert MARGIN <= begin < end <= MARGIN + 200
            assert 0 <= look <= 200 + 2 * MARGIN - (end - begin)


@pytest.mark.parametrize("size", [SMALLEST, 61, LARGEST])
def test_a_drawings_box_is_tight(size: int) -> None:
    for which in range(0, 200, 20):
        drawn = drawing("test", which, size)
        left, top, right, bottom = drawn.box
        ys, xs = np.nonzero(np.asarray(drawn.opacity) >= 96)
        assert (left, top, right, bottom) == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert 0.35 * size < bottom - top <= size + 2
        assert (drawn.covering | ~drawn.ink).all()
        assert drawn.covering.sum() > drawn.ink.sum()
        side = len(drawn.ink)
        assert min(left, top, side - right, side - bottom) > 0, "there is room for the halo"


def test_every_glyph_has_ink_at_the_smallest_size() -> None:
    for split in SPLITS:
        for which in range(0, len(glyphs(split)[1]), 7):
            assert drawing(split, which, SMALLEST).ink.sum() > 20


def painted(scene: Scene, number: int) -> dict[tuple[int, int], int]:
    """Whose ink is seen at which pixel of the frame, found one pixel after the other."""
    seen: dict[tuple[int, int], int] = {}
    left, top = (int(value) for value in scene.camera[number])
    for digit in scene.digits:
        if not digit.born <= number < digit.born + len(digit.path):
            continue
        x, y, size = digit.path[number - digit.born]
        drawn = drawing(scene.settings.split, digit.glyph, round(size))
        side = drawn.opacity.width
        for (row, column), covers in np.ndenumerate(drawn.covering):
            at = (round(x - side / 2) - left + column, round(y - side / 2) - top + row)
            if covers and 0 <= at[0] < scene.settings.width and 0 <= at[1] < scene.settings.height:
                seen[at] = digit.identity if drawn.ink[row, column] else 0
    for begin, end, _ in scene.posts:
        for column, row in itertools.product(range(begin - left, end - left), range(scene.settings.height)):
            seen.pop((column, row), None)
    return seen


@pytest.mark.parametrize("seed", range(3))
def test_visible_shares_and_boxes_are_pixels_counted(seed: int) -> None:
    settings = replace(SETTINGS, seed=seed, frames=2)
    scene = compose(settings)
    hidden = 0
    for number, (_, truth) in enumerate(draw_scene(settings)):
        seen = painted(scene, number)
        counts = dict.fromkeys((digit.identity for digit in scene.digits), 0)
        for identity in seen.values():
            if identity:
                counts[identity] += 1
        told = dict(zip(truth.ids.tolist(), range(len(truth.ids)), strict=True))
        for digit in scene.digits:
            if not digit.lives(number):
                assert digit.identity not in told
                continue
            x, y, size = digit.path[number - digit.born]
            drawn = drawing("test", digit.glyph, round(size))
            share = counts[digit.identity] / drawn.ink.sum()
            if share < 0.05:
                assert digit.identity not in told
                continue
            index = told[digit.identity]
            hidden += 0.05 < share < 0.9
            assert truth.visible[index] == pytest.approx(share)
            assert truth.labels[index] == 0
            side = drawn.opacity.width
            origin = round(x - side / 2) - scene.camera[number][0], round(y - side / 2) - scene.camera[number][1]
            ys, xs = np.nonzero(drawn.ink)
            box = [xs.min() + origin[0], ys.min() + origin[1], xs.max() + 1 + origin[0], ys.max() + 1 + origin[1]]
            np.testing.assert_array_equal(truth.boxes[index], np.clip(box, 0, [200, 120, 200, 120]))
    assert hidden, "some are hidden in part"


def test_ink_that_is_seen_has_its_digits_colour() -> None:
    settings = replace(SETTINGS, frames=1, density=6, width=400, height=300)
    scene = compose(settings)
    ((frame, truth),) = draw_scene(settings)
    seen = painted(scene, 0)
    checked = 0
    for digit in scene.digits:
        if digit.identity not in truth.ids or not digit.lives(0):
            continue
        x, y, size = digit.path[-digit.born]
        drawn = drawing("test", digit.glyph, round(size))
        side = drawn.opacity.width
        solid = [
            (
                int(column) + round(x - side / 2) - int(scene.camera[0][0]),
                int(row) + round(y - side / 2) - int(scene.camera[0][1]),
            )
            for row, column in np.argwhere(np.asarray(drawn.opacity) == 255)
        ]
        mine = [frame[row, column] for column, row in solid if seen.get((column, row)) == digit.identity]
        if len(mine) > 30:
            wanted = np.clip(np.array(digit.colour) * int(scene.brightness[0]) / 128, 0, 255)
            np.testing.assert_allclose(np.mean(mine, axis=0), wanted, atol=4)
            checked += 1
    assert checked


def test_the_sensor_adds_noise_and_drifts() -> None:
    grey = np.full((300, 400, 3), 100, np.uint8)
    subject._expose(grey, np.uint16(140), 7)
    assert grey.mean() == pytest.approx(100 * 140 // 128, abs=0.1)
    assert grey.std() == pytest.approx(4.0, abs=0.1)
    white = np.full((30, 40, 3), 250, np.uint8)
    subject._expose(white, np.uint16(140), 2**21 - 5)
    assert white.min() > 230, "nothing wraps around"
    scene = compose(replace(SETTINGS, frames=200))
    assert 108 <= scene.brightness.min() < 118 < 138 < scene.brightness.max() <= 148


def test_posts_and_background_stand_still_under_the_camera() -> None:
    settings = replace(SETTINGS, frames=40, density=0, width=128, height=64)
    scene = compose(settings)
    world = scene.background.copy()
    for begin, end, look in scene.posts:
        world[:, begin:end] = scene.background[:, look : look + end - begin]
    for number, (frame, truth) in enumerate(draw_scene(settings)):
        left, top = scene.camera[number]
        seen = world[top : top + 64, left : left + 128] * (scene.brightness[number] / 128)
        assert np.abs(frame - np.clip(seen, 0, 255)).max() < 8 * 4, "noise is all that differs"
        assert len(truth.ids) == 0


def test_the_smallest_and_the_fullest_scene() -> None:
    for settings in (
        replace(SETTINGS, width=64, height=64, frames=3, density=1),
        replace(SETTINGS, width=66, height=400, frames=3, density=300, fps=240.0),
    ):
        frames = list(draw_scene(settings))
        assert [frame.shape for frame, _ in frames] == [(settings.height, settings.width, 3)] * 3
        for _, truth in frames:
            assert len(set(truth.ids.tolist())) == len(truth.ids)
            assert (truth.boxes[:, 2:] - truth.boxes[:, :2] >= 2).all()
            assert (truth.boxes <= [settings.width, settings.height] * 2).all()
            assert (truth.boxes >= 0).all()
            assert ((truth.visible >= 0.05) & (truth.visible <= 1)).all()
