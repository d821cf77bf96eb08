"""Random numbers that are the same bits everywhere: hashes of a key and a place, in integers only.

NumPy's generators may draw differently from version to version, and anything that rounds may differ between
processors; a data set that is composed on demand must not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
Keys = NDArray[np.uint64]


def mixed(values: Keys) -> Keys:
    """A hash of each value: the finaliser of SplitMix64 (Steele et al., OOPSLA 2014), modulo 2**64."""
    values = values + _GOLDEN
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def draws(keys: Keys, count: int) -> Keys:
    """Independent uniform 64-bit numbers; shape (keys, count). The same key gives the same numbers."""
    return mixed(mixed(keys)[:, None] + _GOLDEN * np.arange(count, dtype=np.uint64))


def between(drawn: Keys, low: int, high: int) -> NDArray[np.int32]:
    """Uniform integers from `low` to `high` - 1 out of uniform 64-bit numbers."""
    return ((drawn >> np.uint64(32)) * np.uint64(high - low) >> np.uint64(32)).astype(np.int32) + np.int32(low)


def permuted(count: int, key: int) -> NDArray[np.int64]:
    """The numbers 0 to `count` - 1 in an order that the key decides."""
    return np.argsort(draws(np.array([key], np.uint64), count)[0], kind="stable")
