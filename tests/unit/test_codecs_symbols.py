"""Symbols as bytes: exact, the same everywhere, and no longer than they must be."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offload.artifacts.codec import TrainedCodec
from offload.codecs.base import HEADER_BYTES, PayloadError
from offload.codecs.catalogue import make_codec
from offload.codecs.symbols import (
    TABLE_SUM,
    Packed,
    RangeCoded,
    fit_tables,
    frequencies,
    pack,
    range_encode,
    range_model,
    symbol_codec,
    unpack,
)
from offload.graph.model_graph import Tensor


def _tensor(*shape: int) -> Tensor:
    return Tensor(name="symbols", shape=shape, dtype="uint8")


def _last_interval(symbols: Sequence[int], table: Sequence[int]) -> tuple[int, int, int]:
    """The interval's lower end, its width and how many bits it has, in integers of any length: no float, no carry."""
    starts = [256 * sum(table[:index]) for index in range(len(table))]
    lower, width, bits = 0, 2**64 - 1, 64
    for symbol in symbols:
        scale = width >> 24
        lower += scale * starts[symbol]
        width = scale * table[symbol] * 256
        if width < 2**32:
            lower, width, bits = lower << 32, width << 32, bits + 32
    return lower, width, bits


@given(st.lists(st.integers(0, 40), min_size=2, max_size=40), st.data())
@settings(max_examples=150, deadline=None)
def test_range_coded_bytes_lie_in_the_interval_of_an_exact_coder(counts: list[int], data: st.DataObject) -> None:
    table = frequencies(counts)
    symbols = data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, max_size=80))
    body = range_encode([(np.asarray(symbols, np.int32), range_model(table))])
    lower, width, bits = _last_interval(symbols, table)
    assert lower <= int.from_bytes(body, "big") << (bits - 8 * len(body)) < lower + width
    shorter = bits - 8 * (len(body) - 1)
    assert not body or -(-lower >> shorter) << shorter >= lower + width, "a byte fewer would have done"


def test_golden_payloads() -> None:
    symbols = (np.arange(48, dtype=np.uint32) * 7919 % 61 % 5).astype(np.uint8).reshape(1, 3, 4, 4)
    tables = [(60000, 5000, 500, 35, 1), (13107, 13107, 13107, 13107, 13108), (1, 1, 1, 1, 65532)]
    ranged = make_codec("range:levels=5", _tensor(1, 3, 4, 4), tables=tables).encode(symbols)
    packed = make_codec("packed:levels=5", _tensor(1, 3, 4, 4)).encode(symbols)
    assert ranged.hex() == (
        "01030dcbd693a3ff2294a88e3def3b9fbe81e6c057e323c75b67c30b5d078a03b7013424b4767002d601341b0a"
    )
    assert packed.hex() == "01026c810234488d12234888d22236888da22468891a"


def test_packed_bits_are_where_the_format_says() -> None:
    codec = Packed("packed:levels=8", _tensor(1, 5), 8)
    payload = codec.encode(np.array([[1, 2, 3, 4, 7]], np.uint8))
    assert payload[HEADER_BYTES:] == bytes([0b00101001, 0b11001110])


@pytest.mark.parametrize("levels", [2, 3, 4, 8, 9, 100, 256])
def test_packed_symbols_take_as_many_bits_as_their_levels(levels: int) -> None:
    codec = make_codec(f"packed:levels={levels}", _tensor(1, 7, 3, 3))
    assert codec.max_bytes == HEADER_BYTES + math.ceil(63 * math.ceil(math.log2(levels)) / 8)
    symbols = np.random.default_rng(0).integers(0, levels, (1, 7, 3, 3)).astype(np.uint8)
    payload = codec.encode(symbols)
    assert len(payload) == codec.max_bytes
    np.testing.assert_array_equal(codec.decode(payload), symbols)


def test_packed_symbols_beyond_their_levels_are_damage() -> None:
    codec = make_codec("packed:levels=5", _tensor(1, 8))
    payload = codec.encode(np.zeros((1, 8), np.uint8))
    with pytest.raises(PayloadError, match="symbol 7 of 5 levels"):
        codec.decode(payload[:HEADER_BYTES] + bytes([0b11100000, 0, 0]))
    odd = make_codec("packed:levels=5", _tensor(1, 5))
    header = odd.encode(np.zeros((1, 5), np.uint8))[:HEADER_BYTES]
    with pytest.raises(PayloadError, match="end in zeros"):
        odd.decode(header + bytes([0, 1]))


@pytest.mark.parametrize("bits", range(1, 9))
def test_unpacking_gives_what_was_packed(bits: int) -> None:
    symbols = np.random.default_rng(bits).integers(0, 2**bits, 77).astype(np.uint8)
    np.testing.assert_array_equal(unpack(pack(symbols, bits), 77, bits), symbols)


def test_range_coded_symbols_come_near_their_entropy() -> None:
    random = np.random.default_rng(0)
    symbols = random.choice(8, size=(1, 16, 28, 28), p=[0.6, 0.2, 0.1, 0.04, 0.03, 0.01, 0.01, 0.01]).astype(np.uint8)
    tables = fit_tables(symbols, 8)
    codec = make_codec("range:levels=8", _tensor(*symbols.shape), tables=tables)
    shares = np.asarray(tables) / TABLE_SUM
    ideal_bits = -sum(np.log2(shares[channel][symbols[0, channel]]).sum() for channel in range(16))
    payload = codec.encode(symbols)
    assert ideal_bits / 8 <= len(payload) <= ideal_bits / 8 * 1.001 + HEADER_BYTES + 3
    np.testing.assert_array_equal(codec.decode(payload), symbols)


def test_the_rarest_symbols_stay_within_max_bytes() -> None:
    tables = [(1, 65535), (65534, 2)]
    codec = make_codec("range:levels=2", _tensor(1, 2, 50, 50), tables=tables)
    symbols = np.zeros((1, 2, 50, 50), np.uint8)
    symbols[0, 1] = 1
    payload = codec.encode(symbols)
    assert 2 * 2500 < len(payload) <= codec.max_bytes
    np.testing.assert_array_equal(codec.decode(payload), symbols)


def test_a_sure_thing_costs_nothing_but_the_header() -> None:
    codec = make_codec("range:levels=2", _tensor(1, 4, 4, 4), tables=[(65535, 1)])
    assert len(codec.encode(np.zeros((1, 4, 4, 4), np.uint8))) == HEADER_BYTES


def test_symbols_without_channels_are_range_coded_with_one_table() -> None:
    symbols = np.array([0, 1, 2, 2, 2, 2, 0], np.uint8)
    codec = make_codec("range:levels=3", _tensor(7), tables=[(20000, 20000, 25536)])
    np.testing.assert_array_equal(codec.decode(codec.encode(symbols)), symbols)


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=256))
def test_frequencies_add_up_and_follow_the_counts(counts: list[int]) -> None:
    table = frequencies(counts)
    assert sum(table) == TABLE_SUM
    assert min(table) >= 1
    ideal = (np.asarray(counts, float) + 0.5) / (sum(counts) + len(counts) / 2) * (TABLE_SUM - len(counts)) + 1
    assert np.abs(np.asarray(table) - ideal).max() <= 1 + 1e-6


def test_tables_are_of_each_channel() -> None:
    symbols = np.zeros((9, 2, 5), np.uint8)
    symbols[:, 1] = 3
    first, second = fit_tables(symbols, 4)
    assert first[0] == second[3] > 60000
    assert fit_tables(symbols[:, :, 0], 4)[0][0] < first[0], "fewer samples tell less"


def _manifest(coding: str, tables: tuple[tuple[int, ...], ...]) -> TrainedCodec:
    return TrainedCodec.model_construct(symbols_shape=(1, 2, 3), levels=4, coding=coding, tables=tables)


def test_a_manifest_says_how_its_symbols_cross() -> None:
    symbols = np.array([[[0, 1, 2], [3, 3, 3]]], np.uint8)
    packed = symbol_codec(_manifest("packed", ()))
    ranged = symbol_codec(_manifest("range", fit_tables(symbols, 4)))
    assert isinstance(packed, Packed)
    assert isinstance(ranged, RangeCoded)
    for codec in (packed, ranged):
        np.testing.assert_array_equal(codec.decode(codec.encode(symbols)), symbols)
