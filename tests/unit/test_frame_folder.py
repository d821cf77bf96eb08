"""A folder of frames takes its place when it is complete, or what was there stays."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from offload.errors import OffloadError
from offload.video.frame_folder import FrameFolder, check_frame_folder

FRAME = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One with a frame that was drawn before."""
    path = tmp_path / "frames"
    path.mkdir()
    (path / "000007.png").write_text("before")
    return path


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_frames_take_the_place_of_those_before(folder: Path) -> None:
    with FrameFolder(folder) as frames:
        frames.add(3, FRAME)
        frames.add(1_000_000, FRAME)
        assert (folder / "000007.png").read_text() == "before"
    assert everything(folder.parent) == ["frames", "frames/000003.png", "frames/1000000.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "000003.png")), FRAME)
    check_frame_folder(folder, force=True)


def test_what_fails_midway_leaves_what_was_there(folder: Path) -> None:
    def interrupted() -> None:
        with FrameFolder(folder) as frames:
            frames.add(0, FRAME)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert everything(folder.parent) == ["frames", "frames/000007.png"]


def test_a_folder_that_cannot_be_moved_is_put_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def fails_for_the_new(path: Path, target: Path) -> Path:
        if path.name.endswith(".part"):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails_for_the_new)
    with pytest.raises(OffloadError, match=r"cannot write .*: Permission denied"), FrameFolder(folder) as frames:
        frames.add(0, FRAME)
    assert everything(folder.parent) == ["frames", "frames/000007.png"]


def test_a_link_to_a_folder_stays_one(folder: Path) -> None:
    link = folder.with_name("link")
    link.symlink_to(folder)
    with FrameFolder(link) as frames:
        frames.add(0, FRAME)
    assert link.is_symlink()
    assert everything(folder) == ["000000.png"]
