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
        OffloadError: there are no images or one in no class folder, or the model takes no images.
    """
    name = str(folder)
    check_image_input(tensor, scale, name=name)
    roots = {SPLIT_NAMES[each.name.lower()]: each for each in _folders(folder) if each.name.lower() in SPLIT_NAMES}
    parts = {key: _images(root) for key, root in roots.items()}
    whole = [] if parts else _images(folder)
    found = [*whole, *(image for part in parts.values() for image in part)]
    if not found:
        raise OffloadError(f"{name}: no images", hint=f"put images ({', '.join(SUFFIXES[:4])} …) in a folder a class")
    classes = sorted({label for _, label in found if label is not None})
    if task != "detection":
        loose = next((path for path, label in found if label is None), None)
        if loose is not None:
            raise OffloadError(
                f"{loose}: not in a class folder",
                hint="put the images of each class in a folder of their own, as photos/cat/1.png",
            )
        check_classes(classes, name=name)
    number = {each: index for index, each in enumerate(classes)}
    files = divided(parts, split, name=name) if parts else undivided(whole, split, name=name)

    def read(indices: Sequence[int]) -> list[Pixels]:
        paths = [files[index][0] for index in indices]
        return [decoded(path, tensor.shape[1], name=str(path)) for path in paths]

    return Images(
        name=name,
        task=check_task(task, "classification", name=name),
        pixels=scale,
        tensor=tensor,
        answers=[None if label is None else number[label] for _, label in files],
        read=read,
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))


def _images(folder: Path) -> list[tuple[Path, str | None]]:
    """All below it in the order of their paths, with the folder of it that each is in; None where in none."""
    paths = sorted(each for each in folder.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file())
    return [(path, None if path.parent == folder else path.relative_to(folder).parts[0]) for path in paths]
