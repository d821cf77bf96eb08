"""Arrays inside JSON: what went in comes out, and nothing else gets in."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from offload.artifacts.packed import MOST_NUMBERS, pack, unpack


@given(arrays.arrays(np.float32, st.integers(0, 50), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_numbers_come_back_as_they_were(values: np.ndarray) -> None:
    assert (unpack(pack(values, "<f4"), "<f4") == values).all()


def test_rows_come_back_as_rows() -> None:
    values = np.arange(12, dtype=np.int32).reshape(4, 3)
    assert (unpack(pack(values, "<i4"), "<i4", columns=3) == values).all()
    assert unpack(pack(values, "<i4"), "<i4").shape == (12,)


def packed_bytes(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not base64!", "damaged"),
        ("AAAA", "damaged"),
        ("ünïcode", "damaged"),
        (pack(np.arange(100, dtype=np.float32), "<f4")[:-8], "damaged"),
        (packed_bytes(b"12345"), "number of entries"),
        (packed_bytes(np.array([np.nan], np.float32).tobytes()), "numbers that are none"),
        (packed_bytes(np.array([np.inf], np.float32).tobytes()), "numbers that are none"),
    ],
)
def test_what_is_no_array_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        unpack(text, "<f4")


def test_a_bomb_is_refused_before_it_takes_the_memory() -> None:
    bomb = packed_bytes(bytes(8_000_000))
    assert len(bomb) < 20_000
    with pytest.raises(ValueError, match="too large"):
        unpack(bomb, "<f4", most=1_000_000)
    assert len(unpack(bomb, "<f4")) == 2_000_000 < MOST_NUMBERS


def test_rows_that_are_not_whole_are_refused() -> None:
    with pytest.raises(ValueError, match="number of entries"):
        unpack(pack(np.arange(7, dtype=np.float32), "<f4"), "<f4", columns=6)
