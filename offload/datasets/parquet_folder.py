"""A folder of parquet files as Hugging Face lays them out: a column of images, a column of labels.

Images are structs of `bytes` and `path`; files of a split are called after it (`train-00000-of-00008.parquet`), or lie
in a folder called after it. A row group is read when an image of it is first asked for, and the last few are kept.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from offload.datasets.base import PixelScale, Split, Task
from offload.datasets.examples import Images, Pixels, check_classes, check_image_input, check_task, decoded
from offload.datasets.splits import SPLIT_NAMES, divided, undivided
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor

_LABELS = ("label", "labels", "fine_label", "class", "digit")
_GROUPS_KEPT = 16
Row = tuple[Path, int, int]
"""File, row group, and place in it."""


def load(folder: Path, tensor: Tensor, split: Split, task: Task | None, scale: PixelScale) -> Images:
    """One split.

    Raises:
        OffloadError: pyarrow is not installed, a file cannot be read or has no such columns, or the model takes no
            images.
    """
    name = str(folder)
    check_image_input(tensor, scale, name=name)
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise OffloadError(
            f"{name}: pyarrow is needed to read parquet files", hint="pip install 'offload[parquet]'"
        ) from error
    files = {path: _opened(parquet, path) for path in sorted(folder.rglob("*.parquet"))}
    image, label = _columns(next(iter(files.values())).schema_arrow, name)
    rows: dict[Split | None, list[Row]] = {}
    labels: dict[Row, int] = {}
    for path, file in files.items():
        own = rows.setdefault(_split_of(path, folder), [])
        for group in range(file.num_row_groups):
            for place, value in enumerate(_column(file, group, label, path)):
                own.append((path, group, place))
                labels[own[-1]] = value
    if task != "detection":
        check_classes(labels.values(), name=name)
    whole = rows.pop(None, [])
    if rows:
        chosen = divided({key: each for key, each in rows.items() if key is not None}, split, name=name)
    else:
        chosen = undivided(whole, split, name=name)

    @lru_cache(maxsize=_GROUPS_KEPT)
    def group_of(path: Path, group: int) -> list[Any]:
        return _column(files[path], group, image, path)

    def read(indices: Sequence[int]) -> list[Pixels]:
        found = []
        for path, group, place in (chosen[index] for index in indices):
            held = group_of(path, group)[place]
            where = f"{path}, row {place} of row group {group}"
            if not isinstance(held, dict) or not held.get("bytes"):
                raise OffloadError(f"{where}: no image bytes", hint="save the images' bytes in the parquet files")
            found.append(decoded(io.BytesIO(held["bytes"]), tensor.shape[1], name=where))
        return found

    return Images(
        name=name,
        task=check_task(task, "classification", name=name),
        pixels=scale,
        tensor=tensor,
        answers=[labels[row] for row in chosen],
        read=read,
    )


def _opened(parquet: Any, path: Path) -> Any:
    try:
        return parquet.ParquetFile(path)
    except Exception as error:  # pyarrow's errors share no base but Exception
        raise OffloadError(f"{path}: not a parquet file, or a damaged one", hint="download it again") from error


def _column(file: Any, group: int, column: str, path: Path) -> list[Any]:
    try:
        values: list[Any] = file.read_row_group(group, columns=[column]).column(column).to_pylist()
    except Exception as error:  # as above
        raise OffloadError(
            f"{path}: column {column!r} cannot be read", hint="download it again, or give all files the same columns"
        ) from error
    return values


def _columns(schema: Any, name: str) -> tuple[str, str]:
    import pyarrow.types as types

    structs = [
        field.name for field in schema if types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
    ]
    integers = [field.name for field in schema if types.is_integer(field.type)]
    labels = [each for each in _LABELS if each in integers] or (integers if len(integers) == 1 else [])
    if not structs or not labels:
        raise OffloadError(
            f"{name}: the columns {', '.join(schema.names)} hold no "
            + ("images" if not structs else "integer called label"),
            hint="give a column of structs with the images' bytes, and an integer column called label",
        )
    return structs[0], labels[0]


def _split_of(path: Path, folder: Path) -> Split | None:
    relative = path.relative_to(folder)
    names = [relative.name.replace(".", "-").replace("_", "-").split("-")[0], *relative.parts[:-1]]
    return next((SPLIT_NAMES[each.lower()] for each in names if each.lower() in SPLIT_NAMES), None)
