"""A folder of images: a folder for each class, which may lie in folders called train, validation and test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from offload.datasets.base import PixelScale, Split, Task
from offload.datasets.examples import Images, Pixels, check_classes, check_image_input, check_task, decoded
from offload.datasets.splits import SPLIT_NAMES, divided, undivided
from offload.errors import OffloadError
from offload.graph.model_graph import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff")


def load(folder: Path, tensor: Tensor, split: Split, task: Task | None, scale: PixelScale) -> Images:
    """One split; classes are numbered in the order of their folders' names, over all splits.

    Raises:
        OffloadError: there are no images or no class folders, or the model takes no images.
    """
    name = str(folder)
    check_image_input(tensor, scale, name=name)
    parts = {SPLIT_NAMES[each.name.lower()]: each for each in _folders(folder) if each.name.lower() in SPLIT_NAMES}
    roots = list(parts.values()) or [folder]
    classes = sorted({each.name for root in roots for each in _folders(root)})
    if not any(_images(root) for root in roots):
        raise OffloadError(f"{name}: no images", hint=f"put images ({', '.join(SUFFIXES[:4])} …) in a folder a class")
    if not classes and task != "detection":
        raise OffloadError(
            f"{name}: no class folders",
            hint="put the images of each class in a folder of their own, as photos/cat/1.png",
        )
    if task != "detection":
        check_classes(classes, name=name)
    if parts:
        files = divided({key: _images(root) for key, root in parts.items()}, split, name=name)
    else:
        files = undivided(_images(folder), split, name=name)
    root_of = {path: root for root in roots for path in _images(root)}
    number = {each: index for index, each in enumerate(classes)}

    def read(indices: Sequence[int]) -> list[Pixels]:
        return [decoded(files[index], tensor.shape[1], name=str(files[index])) for index in indices]

    return Images(
        name=name,
        task=check_task(task, "classification", name=name),
        pixels=scale,
        tensor=tensor,
        answers=[number.get(path.relative_to(root_of[path]).parts[0]) for path in files],
        read=read,
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    """All below it, in the order of their paths."""
    return sorted(each for each in folder.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file())
