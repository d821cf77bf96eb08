"""How wrong answers are, against brute force."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.datasets.tasks import edit_distance, errors_of, greedy_decoded
from offload.errors import OffloadError

TOKENS = st.lists(st.integers(0, 2), max_size=6)


def brute_force_distance(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """The definition: the cheapest of the three edits at the end, tried out."""

    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        replaced = distance(i - 1, j - 1) + (first[i - 1] != second[j - 1])
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, replaced)

    return distance(len(first), len(second))


@given(TOKENS, TOKENS)
def test_edit_distance(first: list[int], second: list[int]) -> None:
    assert edit_distance(first, second) == brute_force_distance(tuple(first), tuple(second))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_greedy_decoding(path: list[int]) -> None:
    scores = np.zeros((1, len(path), 4))
    scores[0, np.arange(len(path)), path] = 1
    merged = [token for token, _ in itertools.groupby(path)]
    assert greedy_decoded(scores) == [tuple(token for token in merged if token != 3)]


def test_ctc() -> None:
    paths = [[0, 0, 2, 0, 1], [2, 2, 2, 2, 2]]
    scores = np.eye(3, dtype=np.float32)[paths]
    errors, weights = errors_of("ctc", scores, [(0, 1, 1), (1,)])
    assert errors.tolist() == [1, 1]  # 0 0 1 for 0 1 1, nothing for 1
    assert weights.tolist() == [3, 1]
    for labels, told in ([(0,), (2,)], "token 2"), ([(0,), ()], "empty sequence"), ([(0,), 1], "no sequence"):
        with pytest.raises(OffloadError, match=told):
            errors_of("ctc", scores, labels)
    with pytest.raises(OffloadError, match="first output is 3 float32 for each example; ctc needs steps by tokens"):
        errors_of("ctc", scores[:, 0], [(0,), (1,)])


def test_classification() -> None:
    scores = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], np.float32)
    errors, weights = errors_of("classification", scores, [1, 1, 1])
    assert (errors.tolist(), weights.tolist()) == ([0, 1, 0], [1, 1, 1])
    assert errors_of("classification", np.array([[1], [0]]), [1, 1])[0].tolist() == [0, 1]
    for outputs, labels, told in (
        (scores, [0, 1, 2], "class 2, the model knows 2"),
        (scores, [0, 1, -1], "class -1, the model knows 2"),
        (scores, [0, 1, 0.5], "no class"),
        (scores, [0, 1, None], "no class"),
        (scores[:, :1], [0, 0, 0], "needs a score for each class"),
        (np.array([[1, 2]]), [1], "needs one class"),
        (scores, [0, 1], "3 answers for 2 examples"),
    ):
        with pytest.raises(OffloadError, match=told):
            errors_of("classification", outputs, labels)


def test_regression_is_the_unexplained_share_of_the_variance() -> None:
    random = np.random.default_rng(0)
    labels = random.normal(size=(50, 3))
    answers = labels + 0.3 * random.normal(size=labels.shape)
    errors, weights = errors_of("regression", answers, list(labels))
    unexplained = ((answers - labels) ** 2).sum() / ((labels - labels.mean(axis=0)) ** 2).sum()
    assert errors.sum() / weights.sum() == pytest.approx(unexplained)
    with pytest.raises(OffloadError, match="are the same"):
        errors_of("regression", answers, [labels[0]] * 50)
    with pytest.raises(OffloadError, match="needs 2 numbers"):
        errors_of("regression", answers, list(labels[:, :2]))
    with pytest.raises(OffloadError, match="no numbers of one shape"):
        errors_of("regression", answers, ["cat"] * 50)


def test_detection_is_the_distance_from_the_intact_answer() -> None:
    intact = np.array([[[3.0, 4.0]], [[0.0, 2.0]]])
    answers = np.array([[[3.0, 4.5]], [[1.0, 2.0]]])
    errors, weights = errors_of("detection", answers, list(intact))
    np.testing.assert_allclose(errors, [0.1, 0.5])
    assert weights.tolist() == [1, 1]
