"""Layer names, short enough for a table."""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST = 44


def abbreviated(names: Sequence[str]) -> str:
    """`a + b`, or `first … last (+n)` where that would be long."""
    joined = " + ".join(names)
    if len(names) <= 1 or len(joined) <= _LONGEST:
        return joined
    between = f" (+{len(names) - 2})" if len(names) > 2 else ""
    return f"{names[0]} … {names[-1]}{between}"
