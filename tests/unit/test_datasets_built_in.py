"""Data sets that are composed: the same bits everywhere, nothing shared between splits."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest

from offload.datasets import digits_in_clutter, spoken_digits
from offload.datasets.base import PixelScale, Split
from offload.datasets.catalogue import load_dataset
from offload.datasets.draws import between, draws, mixed, permuted
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
IMAGE = Tensor(name="input", shape=(1, 3, 64, 64), dtype="float32")
SPEECH = Tensor(name="input", shape=(1, 128, 32), dtype="float32")


def test_draws_are_splitmix() -> None:
    def reference(value: int) -> int:
        mask = 2**64 - 1
        value = (value + 0x9E3779B97F4A7C15) & mask
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
        return value ^ (value >> 31)

    values = [0, 1, 2**63 + 5, 2**64 - 1]
    assert [int(each) for each in mixed(np.array(values, np.uint64))] == [reference(value) for value in values]
    assert reference(0) == 0xE220A8397B1DCDAF  # the first number of SplitMix64 seeded with 0, as its authors publish
    drawn = draws(np.arange(50, dtype=np.uint64), 40)
    assert len(np.unique(drawn)) == drawn.size
    dice = between(drawn, -2, 4)
    assert sorted(set(dice.ravel())) == [-2, -1, 0, 1, 2, 3]
    assert dice.mean() == pytest.approx(0.5, abs=0.15)
    assert sorted(permuted(100, key=3)) == list(range(100))
    assert list(permuted(100, key=3)) != list(permuted(100, key=4))


@pytest.mark.parametrize("split", SPLITS)
def test_images_depend_on_split_and_index_only(split: Split) -> None:
    images, digits = digits_in_clutter.compose(split, np.arange(70))
    some = np.array([69, 3, 3, 40])
    again, same = digits_in_clutter.compose(split, some)
    np.testing.assert_array_equal(again, images[some])
    np.testing.assert_array_equal(same, digits[some])
    assert (images.shape, images.dtype) == ((70, 64, 64, 3), np.uint8)
    assert len({image.tobytes() for image in images}) == 70
    for other in SPLITS:
        assert (
            other == split
            or not (digits_in_clutter.compose(other, np.arange(70))[0] == images).all(axis=(1, 2, 3)).any()
        )


def test_glyphs_and_photographs_are_divided_before_composing() -> None:
    sources = [digits_in_clutter._sources(split) for split in SPLITS]
    glyphs = [{glyph.tobytes() for glyph in each.glyphs} for each in sources]
    assert sum(len(each.digits) for each in sources) == 1797
    assert not any(one & other for one, other in itertools.combinations(glyphs, 2))
    fragments = [
        {fragment.tobytes() for fragment in each.fragments if 0 < fragment.sum() < 200_000} for each in sources
    ]
    assert len(fragments[0] & fragments[2]) <= 3  # the bar, and near-empty corners
    assert sum(each.photographs.shape[2] for each in sources) == 640
    assert all((np.bincount(each.digits, minlength=10) > 10).all() for each in sources)


def test_the_digit_lies_on_top_in_its_colour() -> None:
    indices = np.arange(60)
    images, digits = digits_in_clutter.compose("test", indices)
    sources, drawn = digits_in_clutter._sources("test"), digits_in_clutter._drawn("test", indices)
    place = drawn[:, digits_in_clutter._DIGIT :]
    which, room = digits_in_clutter._glyph(sources, place), (64 - digits_in_clutter._size(place)) // 2
    opacity = digits_in_clutter._placed(sources.glyphs, which, place, turned=25, room=room)
    colours = digits_in_clutter._colours(place, 0, 112) + np.where(between(drawn[:, 0], 0, 2) == 1, 144, 0)[:, None]
    np.testing.assert_array_equal(sources.digits[which], digits)
    for image, covered, colour in zip(images, opacity >= 255, colours, strict=True):
        assert covered.sum() > 8
        np.testing.assert_allclose(image[covered].mean(axis=0), colour, atol=10)  # noise, clipped at 0 and 255
        assert not covered[0].any()


def test_the_same_bits_as_ever() -> None:
    """As they were when the weights that come with the program were trained: the same in any process, anywhere."""
    images, frames = digits_in_clutter.compose("test", np.arange(9))[0], spoken_digits.compose("test", np.arange(9))
    digests = [hashlib.sha256(each.tobytes()).hexdigest()[:16] for each in (images, frames)]
    assert digests == ["300dc1477aead003", "89c2d3fc7e744c4e"]


def test_digits_in_clutter_as_a_model_takes_them() -> None:
    dataset = load_dataset("digits-in-clutter", tensor=IMAGE, split="validation")
    assert (len(dataset), dataset.task, dataset.pixels) == (1000, "classification", PixelScale())
    inputs = dataset.inputs([5, 2, 5])
    images, digits = digits_in_clutter.compose("validation", np.array([5, 2, 5]))
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(inputs, images.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    np.testing.assert_array_equal(np.round(inputs * 255), images.transpose(0, 3, 1, 2))
    assert list(dataset.labels([5, 2, 5])) == digits.tolist()
    scaled = load_dataset("digits-in-clutter?mean=0.5&std=0.25,0.5,1", tensor=IMAGE, split="validation")
    np.testing.assert_allclose(
        scaled.inputs([5]), (inputs[:1] - 0.5) / np.array([0.25, 0.5, 1])[:, None, None], rtol=1e-5
    )
    small = Tensor(name="input", shape=(1, 3, 32, 48), dtype="float32")
    assert load_dataset("digits-in-clutter", tensor=small, split="test").inputs([0]).shape == (1, 3, 32, 48)


def test_digits_in_clutter_refuses() -> None:
    grey = Tensor(name="input", shape=(1, 1, 64, 64), dtype="float32")
    with pytest.raises(OffloadError, match="has 3 channels, the model's input has 1"):
        load_dataset("digits-in-clutter", tensor=grey, split="test")
    with pytest.raises(OffloadError, match="holds images, the model's input is 1×128×32 float32"):
        load_dataset("digits-in-clutter", tensor=SPEECH, split="test")
    with pytest.raises(OffloadError, match="answers for classification, not for ctc"):
        load_dataset("digits-in-clutter", tensor=IMAGE, split="test", task="ctc")


@pytest.mark.parametrize("split", SPLITS)
def test_speech_depends_on_split_and_index_only(split: Split) -> None:
    frames, said = spoken_digits.compose(split, np.arange(40)), spoken_digits.answers(split, np.arange(40))
    np.testing.assert_array_equal(spoken_digits.compose(split, np.array([39, 3])), frames[[39, 3]])
    assert spoken_digits.answers(split, np.array([39, 3])) == [said[39], said[3]]
    assert (frames.shape, frames.dtype) == ((40, 128, 32), np.float32)
    assert {len(each) for each in said} == {3, 4, 5, 6, 7}
    assert {digit for each in said for digit in each} == set(range(10))
    np.testing.assert_array_equal(np.round(frames * 16), frames * 16)
    assert np.abs(frames).max() < 8


def test_speakers_are_divided() -> None:
    ranges = sorted(spoken_digits._SPEAKERS.values())
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(ranges))
    assert all(start < end for start, end in ranges)


def test_speech_is_heard_where_it_is_said() -> None:
    """Every name's sounds come in order, within the frames, and silence is quieter."""
    indices = np.arange(60)
    drawn = spoken_digits._drawn("train", indices)
    sounds = spoken_digits._timeline(drawn, tempo=np.ones(60))
    names, _ = spoken_digits._tables()
    for row, said in zip(sounds, spoken_digits.answers("train", indices), strict=True):
        heard = [int(each) for place, each in enumerate(row) if each and (not place or row[place - 1] != each)]
        wanted = [int(each) for digit in said for each in names[digit] if each]
        merged = [each for place, each in enumerate(wanted) if not place or wanted[place - 1] != each]
        assert heard == merged or len(merged) - len(heard) <= 3  # a sound of less than a frame may fall between two
        assert row[0] == row[-1] == 0
    frames = spoken_digits.compose("train", indices)
    silent = spoken_digits._timeline(drawn, tempo=np.ones(60)) == 0
    assert frames.mean(axis=2)[silent].mean() < frames.mean(axis=2)[~silent].mean()


def test_spoken_digits_as_a_model_takes_them() -> None:
    dataset = load_dataset("spoken-digits", tensor=SPEECH, split="validation")
    assert (len(dataset), dataset.task, dataset.pixels) == (500, "ctc", None)
    np.testing.assert_array_equal(dataset.inputs([3, 1]), spoken_digits.compose("validation", np.array([3, 1])))
    assert list(dataset.labels([3])) == spoken_digits.answers("validation", np.array([3]))
    with pytest.raises(OffloadError, match="spoken-digits is 1×128×32 float32, the model's input is 1×3×64×64"):
        load_dataset("spoken-digits", tensor=IMAGE, split="test")
    with pytest.raises(OffloadError, match="answers for ctc, not for classification"):
        load_dataset("spoken-digits", tensor=SPEECH, split="test", task="classification")
    with pytest.raises(OffloadError, match="no images whose pixels could be scaled"):
        load_dataset("spoken-digits?mean=0.5", tensor=SPEECH, split="test")
