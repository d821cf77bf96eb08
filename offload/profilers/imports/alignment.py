"""Two sequences of operators side by side, a trace's and a model's: either may have some that the other lacks."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

_MOST_STEPS = 25_000_000


def aligned(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> list[int | None]:
    """For each of ours, the position of the one of theirs that it stands for; the order of both is kept.

    As many as possible are matched (longest common subsequence).

    Raises:
        ValueError: the two are so long and so different that it would take minutes.
    """
    start, end = 0, 0
    shorter = min(len(ours), len(theirs))
    while start < shorter and ours[start] == theirs[start]:
        start += 1
    while end < shorter - start and ours[-1 - end] == theirs[-1 - end]:
        end += 1
    middle = _matched(ours[start : len(ours) - end], theirs[start : len(theirs) - end])
    return [
        *range(start),
        *(None if at is None else start + at for at in middle),
        *range(len(theirs) - end, len(theirs)),
    ]


def _matched(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> list[int | None]:
    if len(ours) * len(theirs) > _MOST_STEPS:
        raise ValueError(f"{len(theirs)} operators cannot be compared with {len(ours)}")
    longest = [[0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]  # of what is left of both from here on
    for i in range(len(ours) - 1, -1, -1):
        row, below, own = longest[i], longest[i + 1], ours[i]
        for j in range(len(theirs) - 1, -1, -1):
            row[j] = below[j + 1] + 1 if own == theirs[j] else max(below[j], row[j + 1])
    found: list[int | None] = []
    j = 0
    for i, own in enumerate(ours):
        while j < len(theirs) and own != theirs[j] and longest[i][j] == longest[i][j + 1]:
            j += 1
        if j < len(theirs) and own == theirs[j]:
            found.append(j)
            j += 1
        else:
            found.append(None)
    return found
