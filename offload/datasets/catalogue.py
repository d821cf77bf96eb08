"""Data sets by what the user calls them."""

from __future__ import annotations

import math
from pathlib import Path
from urllib.parse import parse_qsl

from offload.datasets.base import Dataset, PixelScale, Split, Task
from offload.errors import OffloadError, UsageError
from offload.graph.model_graph import Tensor

BUILT_IN = ("digits-in-clutter", "spoken-digits")
_FORMS = f"{', '.join(BUILT_IN)}, a folder of images or of parquet files, FILE.npz, or package.module:callable"


def load_dataset(spec: str, *, tensor: Tensor, split: Split, task: Task | None = None) -> Dataset:
    """One split of a data set, in the form that a model takes it.

    Args:
        spec: `digits-in-clutter`, `spoken-digits`, a folder, `FILE.npz` or `package.module:callable`; after images may
            come how their pixels are scaled, as in `photos?mean=0.485,0.456,0.406&std=0.229,0.224,0.225`.
        tensor: The model's input.
        split: Which examples.
        task: What the answers are; None for what the data have: classification, or ctc where they are sequences.

    Raises:
        OffloadError: there are no such data, or the model cannot take them; the message says why.
    """
    name, _, query = spec.partition("?")
    scale = _scale(query, spec) if query else PixelScale()
    if tensor.shape[:1] != (1,):
        raise OffloadError(f"{spec}: examples come one at a time, the batch is {tensor.shape[0]}", hint="use --batch 1")
    dataset = _found(name, tensor, split, task, scale)
    _check(dataset, scale if query else None)
    return dataset


def _found(name: str, tensor: Tensor, split: Split, task: Task | None, scale: PixelScale) -> Dataset:
    if name == "digits-in-clutter":
        from offload.datasets import digits_in_clutter

        return digits_in_clutter.load(tensor, split, task, scale)
    if name == "spoken-digits":
        from offload.datasets import spoken_digits

        return spoken_digits.load(tensor, split, task)
    path = Path(name)
    if name and path.is_dir():
        from offload.datasets import image_folder, parquet_folder

        load = parquet_folder.load if any(path.rglob("*.parquet")) else image_folder.load
        return load(path, tensor, split, task, scale)
    if path.suffix == ".npz":
        from offload.datasets import npz_file

        return npz_file.load(path, tensor, split, task, scale)
    if ":" in name:
        from offload.datasets import users_code

        return users_code.load(name, tensor, split, task, scale)
    raise OffloadError(f"there are no data {name!r}", hint=f"name {_FORMS}")


def _scale(query: str, spec: str) -> PixelScale:
    given = dict(parse_qsl(query))
    try:
        values = {key: tuple(float(value) for value in text.split(",")) for key, text in given.items()}
        if not values or values.keys() - {"mean", "std"} or not all(map(math.isfinite, sum(values.values(), ()))):
            raise ValueError
        if any(len(each) not in (1, 3) for each in values.values()) or min(values.get("std", (1.0,))) <= 0:
            raise ValueError
    except ValueError:
        raise UsageError(
            f"{spec}: cannot read {query!r} as how pixels are scaled",
            hint="write ?mean=0.485,0.456,0.406&std=0.229,0.224,0.225, one number or three each, of pixels from 0 to 1",
        ) from None
    return PixelScale(**values)


def _check(dataset: Dataset, scale: PixelScale | None) -> None:
    if scale is not None and dataset.pixels is None:
        raise UsageError(f"{dataset.name}: these are no images whose pixels could be scaled", hint="leave out the ?…")
    if not len(dataset):
        raise OffloadError(f"{dataset.name}: no examples", hint="check the path, or add files")
    dataset.inputs([0])  # what the model cannot take is told before any work begins
