"""Writing frames as a folder of PNG files."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from offload.errors import OffloadError

if TYPE_CHECKING:
    from offload.video.clips import Frame

_FRAME = re.compile(r"\d{6,}\.png")
_FAST = 1
"""zlib's level: a frame takes a third of the time and is hardly larger."""


class FrameFolder:
    """A folder of numbered frames that is being written; a context manager.

    It takes its place when it is complete: what fails or is interrupted leaves nothing, and what was there stays.

    Args:
        path: The folder.

    Raises:
        OffloadError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._whole = path, path.resolve()
        self._part = self._beside("part")
        try:
            self._part.mkdir(parents=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def add(self, number: int, frame: Frame) -> None:
        """Write one frame, as 000007.png.

        Raises:
            OffloadError: the disk is full, for example.
        """
        from PIL import Image

        try:
            Image.fromarray(frame).save(self._part / f"{number:06d}.png", compress_level=_FAST)
        except OSError as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._take_place()
        except OSError as failure:
            raise self._unwritable(failure) from failure
        finally:
            shutil.rmtree(self._part, ignore_errors=True)

    def _take_place(self) -> None:
        old = self._beside("old")
        if self._whole.exists():
            self._whole.rename(old)
        try:
            self._part.rename(self._whole)
        except BaseException:
            with contextlib.suppress(OSError):
                old.rename(self._whole)
            raise
        shutil.rmtree(old, ignore_errors=True)

    def _beside(self, what: str) -> Path:
        return self._whole.with_name(f".{self._whole.name}.{os.getpid()}.{what}")

    def _unwritable(self, error: OSError) -> OffloadError:
        return OffloadError(
            f"cannot write {self._path}: {error.strerror or error}", hint="free some space, or name another folder"
        )


def check_frame_folder(path: Path, *, force: bool) -> None:
    """Refuse, before any work, a folder that frames cannot be written to.

    Raises:
        OffloadError: it is a file or the current folder, or holds something that is not to be replaced.
    """
    if path.exists() and not path.is_dir():
        raise OffloadError(f"{path} is a file", hint="name a folder")
    if path.resolve() == Path.cwd():
        raise OffloadError(f"{path} is the current folder", hint="name a folder in it")
    there = sorted(file.name for file in path.iterdir()) if path.is_dir() else []
    if there and not force:
        raise OffloadError(f"{path} is there already", hint="add --force to replace it, or name another folder")
    for name in there:
        if not _FRAME.fullmatch(name):
            raise OffloadError(
                f"{path} holds {name}, which is no frame that was drawn", hint="name another folder, or empty this one"
            )
