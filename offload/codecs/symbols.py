"""Symbols, the uint8 indices that a quantiser gives, as bytes: bit-packed, or range coded with integer tables.

A range coder narrows an interval by each symbol's share of it (Martin, 1979). constriction's works in integers, but
takes probabilities p as floats: the cumulative frequency of the i-th of n symbols becomes
`floor((p_0 + ... + p_(i-1)) * (2**24 - n) / sum(p)) + i`. A table of integers f that add up to 2**16 is handed over as
p = 256 f - 1: these add up to exactly 2**24 - n, every step is on integers that a float64 holds exactly, and each
frequency becomes exactly 256 f on any machine.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from offload.codecs.base import HeadedCodec, PayloadError
from offload.errors import OffloadError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from offload.artifacts.codec import TrainedCodec
    from offload.codecs.base import Array, Codec
    from offload.graph.model_graph import Tensor

TABLE_SUM = 2**16
"""What the frequencies of a table add up to."""
_PRECISION = 24
"""Bits of constriction's frequencies."""
_WORD = 4
"""Bytes that constriction's range coder writes at a time."""


class Packed(HeadedCodec):
    """Each symbol in ceil(log2 levels) bits, most significant first, symbols in C order, zeros at the end."""

    lossless = True

    def __init__(self, text: str, tensor: Tensor, levels: int) -> None:
        _require_symbols(text, tensor, levels)
        self.levels = levels
        self._bits = (levels - 1).bit_length()
        self._count = math.prod(tensor.shape)
        super().__init__("packed", text, tensor, packed_bytes(self._count, self._bits))

    def encode_body(self, array: Array) -> bytes:
        """The bits."""
        symbols = _checked(array, self.levels, self.text)
        return pack(symbols, self._bits)

    def decode_body(self, body: bytes) -> Array:
        """The symbols."""
        symbols = unpack(body, self._count, self._bits).reshape(self.tensor.shape)
        if symbols.max(initial=0) >= self.levels:
            raise PayloadError(f"damaged payload: symbol {symbols.max()} of {self.levels} levels")
        return symbols


class RangeCoded(HeadedCodec):
    """A range coder with a table of frequencies for each channel (axis 1), or one for all.

    Channels follow one another, each in C order. Bytes that were changed on the way mostly decode to other symbols:
    nothing is spent on a check sum.
    """

    lossless = True

    def __init__(self, text: str, tensor: Tensor, levels: int, tables: Sequence[Sequence[int]]) -> None:
        _require_symbols(text, tensor, levels)
        channels = tensor.shape[1] if len(tensor.shape) > 1 else 1
        if len(tables) not in (1, channels):
            raise OffloadError(f"codec {text} for {channels} channels needs as many tables or one, got {len(tables)}")
        for table in tables:
            whole = len(table) == levels and all(isinstance(frequency, int) for frequency in table)
            if not whole or min(table) < 1 or sum(table) != TABLE_SUM:
                raise OffloadError(
                    f"codec {text} needs tables of {levels} integers above 0 that add up to {TABLE_SUM}",
                    hint="train the codec again, or take its files from where it was trained",
                )
        self.levels = levels
        self._shape = (tensor.shape[0], channels, *tensor.shape[2:])
        self._runs = [(table, math.prod(self._shape) // len(tables)) for table in tables]
        super().__init__("range", text, tensor, _most_bytes(self._runs), tables)
        self._models = [range_model(table) for table in tables]

    def encode_body(self, array: Array) -> bytes:
        """The shortest bytes in the last interval."""
        symbols = np.moveaxis(_checked(array, self.levels, self.text).reshape(self._shape), 1, 0)
        runs = symbols.reshape(len(self._models), -1).astype(np.int32)
        return range_encode(list(zip(runs, self._models, strict=True)))

    def decode_body(self, body: bytes) -> Array:
        """The symbols."""
        counts = [count for _, count in self._runs]
        runs = range_decode(body, list(zip(counts, self._models, strict=True)))
        channels_first = (self._shape[1], self._shape[0], *self._shape[2:])
        symbols = np.concatenate(runs).astype(np.uint8).reshape(channels_first)
        return np.ascontiguousarray(np.moveaxis(symbols, 0, 1)).reshape(self.tensor.shape)


def symbol_codec(manifest: TrainedCodec) -> Codec:
    """How the symbols of a trained codec become bytes.

    Raises:
        OffloadError: levels, shape or tables do not fit each other.
    """
    from offload.graph.model_graph import Tensor

    symbols = Tensor(name="symbols", shape=manifest.symbols_shape, dtype="uint8")
    text = f"{manifest.coding}:levels={manifest.levels}"
    if manifest.coding == "packed":
        return Packed(text, symbols, manifest.levels)
    return RangeCoded(text, symbols, manifest.levels, manifest.tables)


def pack(symbols: NDArray[np.uint8], bits: int) -> bytes:
    """The lowest bits of each symbol, one symbol after the other, most significant bit first, zeros at the end."""
    if bits == 8:
        return symbols.tobytes()
    if bits == 4 and symbols.size % 2 == 0:
        pairs = symbols.reshape(-1, 2)
        return (pairs[:, 0] << 4 | pairs[:, 1]).tobytes()
    return np.packbits(np.unpackbits(symbols.reshape(-1, 1), axis=1)[:, 8 - bits :].ravel()).tobytes()


def unpack(body: bytes, count: int, bits: int) -> NDArray[np.uint8]:
    """What `pack` was given: `count` symbols.

    Raises:
        PayloadError: there are fewer or more bytes, or they do not end in zeros.
    """
    if len(body) != packed_bytes(count, bits):
        raise PayloadError(f"{len(body)} bytes of symbols instead of {packed_bytes(count, bits)}")
    packed = np.frombuffer(body, np.uint8)
    if bits == 8:
        return packed.copy()
    if bits == 4 and count % 2 == 0:
        return np.stack([packed >> 4, packed & 15], axis=1).ravel()
    found = np.unpackbits(packed)
    if found[count * bits :].any():
        raise PayloadError("damaged payload: symbols end in zeros")
    padded = np.zeros((count, 8), np.uint8)
    padded[:, 8 - bits :] = found[: count * bits].reshape(count, bits)
    return np.packbits(padded, axis=1).ravel()


def packed_bytes(count: int, bits: int) -> int:
    """How many bytes `pack` makes."""
    return -(-count * bits // 8)


def fit_tables(symbols: NDArray[np.uint8], levels: int) -> tuple[tuple[int, ...], ...]:
    """Frequencies of the symbols in each channel, for `RangeCoded`.

    Every count gets half a symbol more, seen or not (Krichevsky and Trofimov, 1981), and at least a frequency of 1.

    Args:
        symbols: Samples, shape (n, channels, ...), values below `levels`.
        levels: How many different symbols there are, 2 to 256.

    Returns:
        A table for each channel: `levels` integers above 0 that add up to TABLE_SUM.
    """
    by_channel = np.moveaxis(_checked(symbols, levels, "range"), 1, 0).reshape(symbols.shape[1], -1)
    return tuple(frequencies(np.bincount(channel, minlength=levels).tolist()) for channel in by_channel)


def frequencies(counts: Sequence[int]) -> tuple[int, ...]:
    """TABLE_SUM shared out by counts (each plus one half), 1 at least; integers only, the same on every machine."""
    halves = [2 * count + 1 for count in counts]
    free, total = TABLE_SUM - len(halves), sum(halves)
    shares = [half * free // total for half in halves]
    remainders = [half * free % total for half in halves]
    first = sorted(range(len(halves)), key=lambda index: (-remainders[index], index))
    for index in first[: free - sum(shares)]:
        shares[index] += 1
    return tuple(share + 1 for share in shares)


def range_model(table: Sequence[int]) -> object:
    """What constriction takes for a table; see the top of this file for why it is exact."""
    import constriction

    scale = 2**_PRECISION // TABLE_SUM
    weights = np.asarray(table, np.float64) * scale - 1
    return constriction.stream.model.Categorical(weights, perfect=False)


def range_encode(runs: Sequence[tuple[NDArray[np.int32], object]]) -> bytes:
    """Symbols, each run of them with its model, as the fewest bytes that tell the last interval."""
    import constriction

    encoder = constriction.stream.queue.RangeEncoder()
    for symbols, model in runs:
        encoder.encode(symbols, model)
    words = bytes(encoder.get_compressed().astype(">u4").tobytes())
    _, (lower, width) = encoder.pos()
    tail = int.from_bytes(words[-2 * _WORD :], "big")
    if tail % 2**32:
        # Any number from this on that is still inside the interval will do: the one that ends in most zeros, as the
        # decoder reads zeros past the end.
        beyond = width - ((tail << 32) - lower) % 2**64
        for dropped in (32, 24, 16, 8):
            rounded = -(-tail >> dropped) << dropped
            if rounded >> 8 * len(words[-2 * _WORD :]) == 0 and (rounded - tail) << 32 < beyond:
                words = words[: -2 * _WORD] + rounded.to_bytes(len(words[-2 * _WORD :]), "big")
                break
    return words.rstrip(b"\0")


def range_decode(body: bytes, runs: Sequence[tuple[int, object]]) -> list[NDArray[np.int32]]:
    """What `range_encode` was given: a run for each number of symbols and their model.

    Raises:
        PayloadError: the bytes are no interval of these models.
    """
    import constriction

    if body.endswith(b"\0"):
        raise PayloadError("damaged payload: range coded bytes never end in zeros")
    words = np.frombuffer(body + bytes(-len(body) % _WORD), ">u4").astype(np.uint32)
    decoder = constriction.stream.queue.RangeDecoder(words)
    try:
        decoded = [decoder.decode(model, count) for count, model in runs]
    except (ValueError, AssertionError) as error:
        raise PayloadError(f"damaged payload: {error}") from error
    return decoded


def _require_symbols(text: str, tensor: Tensor, levels: int) -> None:
    if tensor.dtype != "uint8" or not tensor.shape:
        raise OffloadError(f"codec {text} takes symbols (uint8), not {tensor.dtype} {tensor.shape}")
    if not 2 <= levels <= 256:
        raise OffloadError(f"codec {text}: levels must be 2 to 256")


def _checked(symbols: Array, levels: int, text: str) -> NDArray[np.uint8]:
    if symbols.max(initial=0) >= levels:
        raise OffloadError(f"codec {text}: symbol {symbols.max()}, there are {levels} levels")
    return np.asarray(symbols, np.uint8)


def _most_bytes(runs: Sequence[tuple[Sequence[int], int]]) -> int:
    """No run of symbols is longer: its rarest, again and again.

    A symbol of frequency f takes log2(2**16 / f) bits, and 0.006 more where the interval's width is divided unevenly.
    """
    bits = sum(count * (TABLE_SUM // min(table)).bit_length() for table, count in runs)
    return bits // 8 + sum(count for _, count in runs) // 1024 + 2 * _WORD
