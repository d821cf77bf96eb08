"""What is drawn onto a run's frames: which colour is where, and that dashed lines have gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from offload.artifacts.video_run import VideoRun
from offload.video.annotating import (
    DEVICE,
    DUPLICATE,
    EXPANDED,
    FOUND,
    MISSED,
    PREDICTED,
    SMALL_FRAME,
    UNFOUNDED,
    Annotator,
    server_colour,
    shown,
)
from offload.video.drawing import Colour, Entry, Pen, draw_box, draw_dashed, draw_tag, rows
from tests import made_runs
from tests.moving_squares import HEIGHT, WIDTH, frames_and_truth

BLACK = (0, 0, 0)
PEN = Pen(line=2, letters=10)
IMAGES, TRUTH = frames_and_truth()


@pytest.fixture(scope="module")
def run() -> VideoRun:
    return made_runs.made_run("squares")


def annotated(run: VideoRun, number: int, *, judged: bool = True) -> np.ndarray:
    truth = TRUTH.frames[number] if judged else None
    return Annotator(run, judged=judged).annotated(IMAGES[number], run.frames[number], truth)


def is_colour(image: np.ndarray, colour: Colour) -> np.ndarray:
    """Where an image has exactly this colour, shape (height, width)."""
    return (image == np.array(colour, np.uint8)).all(axis=-1)


def outline(box: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the outermost pixels of a box."""
    left, top, right, bottom = (int(value) for value in box)
    inside = np.zeros((HEIGHT, WIDTH), np.bool_)
    inside[top:bottom, left:right] = True
    inside[top + 1 : bottom - 1, left + 1 : right - 1] = False
    return np.nonzero(inside)


def share(image: np.ndarray, box: tuple[float, ...], colour: Colour) -> float:
    """Which share of a box's outline has a colour."""
    return float(is_colour(image[:HEIGHT, :WIDTH], colour)[outline(box)].mean())


def test_a_box_is_drawn_within_itself() -> None:
    image = Image.new("RGB", (40, 30))
    draw_box(ImageDraw.Draw(image), (10, 5, 30, 25), FOUND, line=2)
    drawn = is_colour(np.asarray(image), FOUND)
    expected = np.zeros((30, 40), np.bool_)
    expected[5:25, 10:30] = True
    expected[7:23, 12:28] = False
    np.testing.assert_array_equal(drawn, expected)


def test_a_dashed_box_has_gaps_on_every_side() -> None:
    image = Image.new("RGB", (120, 90))
    draw_dashed(ImageDraw.Draw(image), (10, 10, 110, 80), PREDICTED, PEN)
    drawn = is_colour(np.asarray(image), PREDICTED)
    for side in (drawn[10, 10:110], drawn[79, 10:110], drawn[10:80, 10], drawn[10:80, 109]):
        ends = np.flatnonzero(np.diff(side.astype(int)))[:6]  # the last dash may be cut
        assert list(np.diff(ends)) == [PEN.dash[1], PEN.dash[0]] * 2 + [PEN.dash[1]]
    assert not drawn[12:78, 12:108].any()
    assert not drawn[:10].any()


@given(box=st.tuples(*[st.floats(-50, 1e15)] * 4), line=st.integers(1, 5))
def test_no_box_is_drawn_outside_an_image_or_fails(box: tuple[float, float, float, float], line: int) -> None:
    image = Image.new("RGB", (20, 10))
    draw = ImageDraw.Draw(image)
    draw_box(draw, box, FOUND, line=line)
    draw_dashed(draw, box, FOUND, Pen(line=line, letters=10))
    assert is_colour(np.asarray(image), FOUND).any()


@pytest.mark.parametrize("place", [(0, 0), (-30, -30), (500, 500)])
def test_words_stay_within_the_image(place: tuple[int, int]) -> None:
    image = Image.new("RGB", (100, 40))
    draw_tag(ImageDraw.Draw(image), place, "red 0.90", FOUND, PEN)
    behind = is_colour(np.asarray(image), FOUND)
    assert behind.any()
    high, wide = behind.any(axis=1).sum(), behind.any(axis=0).sum()
    assert (wide, high) == (PEN.width("red 0.90") + 4, 12)
    letters = np.asarray(image)[behind.any(axis=1)][:, behind.any(axis=0)]
    assert letters.sum(axis=-1).min() < 150  # dark on a bright colour


def test_entries_are_broken_into_lines_that_fit() -> None:
    entries = [Entry(words="a server", mark="box") for _ in range(9)]
    broken = rows(entries, PEN, 160)
    assert [entry for line in broken for entry in line] == entries
    assert len(broken) > 1
    assert rows([], PEN, 160) == [[]]
    assert len(rows([Entry(words="x" * 500)], PEN, 160)) == 1


def test_what_was_sent_has_its_servers_colour(run: VideoRun) -> None:
    image = annotated(run, 1)
    near, far = server_colour(0), server_colour(1)
    assert near != far
    assert share(image, made_runs.LEFT, near) > 0.9
    assert share(image, made_runs.RIGHT, far) > 0.8  # behind boxes within
    assert not is_colour(image[:HEIGHT], near)[:, 200:].any()
    assert not is_colour(image[:HEIGHT], far)[:, :150].any()


def test_a_small_frame_is_flagged(run: VideoRun) -> None:
    for number in range(len(IMAGES)):
        image = annotated(run, number)
        sent = number % 3 == 0
        assert is_colour(image, SMALL_FRAME).any() == sent
        assert (share(image, made_runs.WHOLE, server_colour(0)) > 0.8) == sent


def test_predicted_boxes_are_dashed_and_expanded_ones_whole(run: VideoRun) -> None:
    image = annotated(run, 2)
    (predicted,) = run.frames[2].predicted
    assert 0.4 < share(image, predicted, PREDICTED) < 0.8
    left, top, right, bottom = predicted
    wanted = (left - 4, top - 4, right + 4, bottom + 4)  # 25 % of 16 pixels on each side
    assert share(image, wanted, EXPANDED) > 0.9
    first = annotated(run, 0)  # nothing is predicted before anything was found
    assert not is_colour(first[:HEIGHT], PREDICTED).any()


def test_what_is_found_missed_and_told_twice(run: VideoRun) -> None:
    red, green = TRUTH.frames[5].boxes[:2]
    image = annotated(run, 5)
    assert share(image, tuple(green), FOUND) > 0.7
    twice = (red[0], red[1] + 4, red[2], red[3] - 4)
    assert share(image, twice, DUPLICATE) > 0.5
    assert share(image, made_runs.UNFOUNDED, UNFOUNDED) > 0.9
    blue = TRUTH.frames[5].boxes[2]
    assert share(image, tuple(blue), MISSED) > 0.9
    assert share(annotated(run, 4), tuple(TRUTH.frames[4].boxes[1]), MISSED) > 0.7
    assert not is_colour(annotated(run, 2), MISSED)[:HEIGHT].any()
    assert len(shown(run.frames[5])) == 4  # what is hardly likely is not


def test_without_truth_nothing_is_judged(run: VideoRun) -> None:
    image = annotated(run, 5, judged=False)
    for colour in (MISSED, DUPLICATE):
        assert not is_colour(image, colour).any()
    red = TRUTH.frames[5].boxes[0]
    assert share(image, (red[0], red[1] + 4, red[2], red[3] - 4), FOUND) > 0.5


def test_what_nobody_looked_at_is_dashed(run: VideoRun) -> None:
    record = run.frames[2]  # red, green, and one that is hardly likely
    held = run.model_copy(update={"frames": (record.model_copy(update={"held": 2}),)})
    image = Annotator(held, judged=True).annotated(IMAGES[2], held.frames[0], TRUTH.frames[2])
    red, green = TRUTH.frames[2].boxes
    assert share(image, tuple(red), FOUND) > 0.7
    assert 0.3 < share(image, tuple(green), FOUND) < 0.8


def test_what_the_device_looked_at_is_not_a_servers(run: VideoRun) -> None:
    asks = tuple(ask.model_copy(update={"on_device": True}) for ask in run.frames[1].asks)
    alone = run.model_copy(update={"frames": (run.frames[1].model_copy(update={"asks": asks}),)})
    image = Annotator(alone, judged=False).annotated(IMAGES[1], alone.frames[0])
    assert share(image, made_runs.LEFT, DEVICE) > 0.9
    assert not is_colour(image[:HEIGHT], server_colour(0)).any()
    assert is_colour(image[HEIGHT:], DEVICE).any()


def test_the_legend_explains_every_colour_that_may_be_drawn(run: VideoRun) -> None:
    legend = annotated(run, 2)[HEIGHT:]
    for colour in (PREDICTED, EXPANDED, server_colour(0), server_colour(1), FOUND, MISSED, DUPLICATE, UNFOUNDED):
        assert is_colour(legend, colour).any()
    alone = run.model_copy(update={"frames": (run.frames[0],)})
    image = Annotator(alone, judged=False).annotated(IMAGES[0], run.frames[0])[HEIGHT:]
    for colour in (PREDICTED, MISSED, DUPLICATE):  # grey ones are at the edges of letters, too
        assert not is_colour(image, colour).any()


def test_canvases_are_even_and_of_one_size_and_leave_the_frame_as_it_was(run: VideoRun) -> None:
    odd = run.model_copy(update={"clip": run.clip.model_copy(update={"width": 319, "height": 191})})
    annotator = Annotator(odd, judged=True)
    assert annotator.width == 320
    assert annotator.height % 2 == 0
    frame = np.ascontiguousarray(IMAGES[3][:191, :319])
    before = frame.copy()
    canvas = annotator.annotated(frame, run.frames[3], TRUTH.frames[3])
    assert canvas.shape == (annotator.height, annotator.width, 3)
    assert canvas.dtype == np.uint8
    np.testing.assert_array_equal(frame, before)


def test_a_frame_of_more_servers_than_colours_and_with_long_names(run: VideoRun) -> None:
    many = run.model_copy(update={"servers": tuple(f"{number}" * 90 for number in range(12))})
    image = annotated(many, 1)
    assert is_colour(image[HEIGHT:], server_colour(7)).any()
    assert server_colour(8) == server_colour(0)


def test_pixels_far_from_anything_are_the_clips(run: VideoRun) -> None:
    image = annotated(run, 1)
    np.testing.assert_array_equal(image[180:192, 0:100], IMAGES[1][180:192, 0:100])
    assert is_colour(image[40:44, 60:120], BLACK).all()
