"""Which examples of the user's data train, validate and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from offload.datasets.base import Split
from offload.datasets.draws import permuted
from offload.errors import OffloadError

SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What folders, files and arrays of a split are called."""
_TENTH = 10
Item = TypeVar("Item")


def undivided(items: Sequence[Item], split: Split, *, name: str) -> list[Item]:
    """One of three parts of examples that came in one: eight tenths, a tenth and a tenth, always the same ones.

    Raises:
        OffloadError: there are too few to divide.
    """
    tenth = len(items) // _TENTH
    if not tenth:
        raise OffloadError(
            f"{name}: {len(items)} examples are too few to hold some out", hint=f"give at least {_TENTH}"
        )
    order = [items[index] for index in permuted(len(items), key=0)]
    parts = {"validation": order[:tenth], "test": order[tenth : 2 * tenth], "train": order[2 * tenth :]}
    return parts[split]


def divided(parts: Mapping[Split, Sequence[Item]], split: Split, *, name: str) -> list[Item]:
    """One part of examples that came divided.

    Without a test part the validation part is the test, and without one to validate on, a tenth of the training part is
    held out of it, always the same one: nothing that is chosen by is tested on.

    Raises:
        OffloadError: the part that is needed is not there.
    """
    if split == "train" and not parts.get("train"):
        raise OffloadError(f"{name}: no examples to train on", hint="add a part called train")
    if split == "test":
        found = parts.get("test") or parts.get("validation")
        if not found:
            raise OffloadError(f"{name}: no examples to test with", hint="add a part called test or validation")
        return list(found)
    if parts.get("validation") and parts.get("test"):
        return list(parts[split])
    train = parts.get("train", ())
    held_out = len(train) // _TENTH
    if not held_out:
        raise OffloadError(
            f"{name}: {len(train)} training examples are too few to hold some out",
            hint=f"give at least {_TENTH}, or a part called validation",
        )
    order = [train[index] for index in permuted(len(train), key=0)]
    return order[:held_out] if split == "validation" else order[held_out:]
