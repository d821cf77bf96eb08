"""`FILE.npz` with arrays `x` and `y`, or `x_train`, `y_train` and the same for validation and test."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from offload.datasets.arrays import Parts, from_arrays
from offload.datasets.base import Dataset, PixelScale, Split, Task
from offload.datasets.splits import SPLIT_NAMES
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor


def load(path: Path, tensor: Tensor, split: Split, task: Task | None, scale: PixelScale) -> Dataset:
    """One split. Answers are integers, or rows of integers of which negative ones are padding (ctc).

    Raises:
        OffloadError: the file is missing, damaged or has no such arrays, or the model cannot take them.
    """
    if not path.is_file():
        raise OffloadError(f"{path}: there is no such file", hint="check the path after --data")
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {key: held[key] for key in held.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise OffloadError(
            f"{path}: not an .npz file of plain arrays, or a damaged one",
            hint="save it with numpy.savez(path, x=…, y=…)",
        ) from error
    names: dict[Split | None, str] = {key: f"_{name}" for name, key in SPLIT_NAMES.items() if f"x_{name}" in arrays}
    parts: dict[Split | None, tuple[np.ndarray, list[object]]] = {}
    for key, suffix in (names or {None: ""}).items():
        missing = [name for name in (f"x{suffix}", f"y{suffix}") if name not in arrays or not arrays[name].ndim]
        if missing:
            raise OffloadError(
                f"{path}: no array {missing[0]!r} among {', '.join(arrays) or 'none'}",
                hint="save it with numpy.savez(path, x=…, y=…), or x_train, y_train, x_test and y_test",
            )
        parts[key] = arrays[f"x{suffix}"], _answers(arrays[f"y{suffix}"])
    found: Parts = parts
    return from_arrays(found, tensor, split, task, scale, name=str(path))


def _answers(values: np.ndarray) -> list[object]:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2 and np.issubdtype(values.dtype, np.integer):
        return [tuple(map(int, row[row >= 0])) for row in values]
    return list(values.tolist()) if values.ndim == 1 else list(values)
