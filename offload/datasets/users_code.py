"""`package.module:callable`: data that the user's own code returns."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from offload.datasets.arrays import from_arrays
from offload.datasets.base import Dataset, PixelScale, Split, Task
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor


def load(spec: str, tensor: Tensor, split: Split, task: Task | None, scale: PixelScale) -> Dataset:
    """One split of what the callable returns: arrays (x, y), or a torch-style data set of (input, answer) pairs.

    Everything is held in memory. The callable is given `split="train"`, `"validation"` or `"test"` where it takes an
    argument of that name; otherwise what it returns is divided.

    Raises:
        OffloadError: there is no such callable, it raises, or it returns something else.
    """
    with _users_code(spec):
        made, for_split = _called(spec, split)
        if (
            not (isinstance(made, tuple) and len(made) == 2)
            and hasattr(made, "__len__")
            and hasattr(made, "__getitem__")
        ):
            pairs = [made[index] for index in range(len(made))]
            made = _stacked(pairs, spec) if pairs else (np.zeros((0, *tensor.shape[1:]), tensor.dtype), [])
        if not (isinstance(made, tuple) and len(made) == 2):
            raise OffloadError(
                f"{spec}: returned {type(made).__name__}, neither arrays (x, y) nor (input, answer) pairs",
                hint="return two arrays, or an object with __len__ and __getitem__",
            )
        values, answers = np.asarray(made[0]), [_plain(each) for each in made[1]]
    if not for_split:
        return from_arrays({None: (values, answers)}, tensor, split, task, scale, name=spec)
    # The test part is the one that nothing is held out of.
    return from_arrays({"test": (values, answers)}, tensor, "test", task, scale, name=spec)


def _called(spec: str, split: Split) -> tuple[Any, bool]:
    module_name, _, attribute = spec.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise OffloadError(
            f"{spec}: there is no module {error.name!r}", hint="run in the folder that holds it, or install it"
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise OffloadError(f"{spec}: {module_name} has no {attribute!r}", hint="name a function that returns data")
        found = getattr(found, part)
    if not callable(found):
        raise OffloadError(f"{spec}: {attribute} is not callable", hint="name a function that returns data")
    with_split = "split" in inspect.signature(found).parameters
    return (found(split=split) if with_split else found()), with_split


def _stacked(pairs: list[Any], spec: str) -> tuple[Any, list[Any]]:
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise OffloadError(f"{spec}: an example is no pair", hint="return (input, answer) from __getitem__")
    inputs = [np.asarray(pair[0]) for pair in pairs]
    if len({each.shape for each in inputs}) > 1:
        raise OffloadError(
            f"{spec}: examples differ in shape, as {inputs[0].shape} and "
            f"{next(each.shape for each in inputs if each.shape != inputs[0].shape)}",
            hint="give all the shape that the model takes",
        )
    return np.stack(inputs), [pair[1] for pair in pairs]


def _plain(answer: Any) -> Any:
    """A number or an array, from those or from torch's."""
    if isinstance(answer, (int, float, tuple)):
        return answer
    values = np.asarray(answer)
    if values.ndim == 0:
        return values.item()
    return tuple(map(int, values)) if values.ndim == 1 and np.issubdtype(values.dtype, np.integer) else values


@contextlib.contextmanager
def _users_code(spec: str) -> Iterator[None]:
    """The current folder is importable; what the code prints goes to stderr, what it raises becomes one line."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except OffloadError:
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        raise OffloadError(
            f"{spec}: the code raised {type(error).__name__}: {reason}", hint="run again with -v for the traceback"
        ) from error
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)
