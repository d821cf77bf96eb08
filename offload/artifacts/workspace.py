"""Where artifacts land, and how a verb that is not told its input finds the newest fitting one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from offload.artifacts.base import Artifact
from offload.errors import OffloadError

A = TypeVar("A", bound=Artifact)


class Workspace:
    """A folder of artifacts: `$OFFLOAD_HOME`, or `.offload` in the current folder."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or Path(os.environ.get("OFFLOAD_HOME") or ".offload")

    @property
    def cache(self) -> Path:
        """Where things that can be made again are kept."""
        return self.root / "cache"

    @property
    def codecs(self) -> Path:
        """Where trained codecs are kept, a folder each."""
        return self.root / "codecs"

    def save(self, artifact: Artifact, *, name: str) -> Path:
        """Write the artifact under a new name made of `name`, its kind and the time; returns the path.

        Raises:
            OffloadError: the folder cannot be written to.
        """
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        for attempt in range(1000):
            suffix = f"-{attempt}" if attempt else ""
            path = self.root / f"{stem}-{stamp}{suffix}.{artifact.KIND}.json"
            if not path.exists():
                write_artifact(artifact, path)
                return path
        raise OffloadError(f"{self.root} has too many artifacts named {stem}", hint="remove some, or use -o FILE")

    def newest(self, kind: type[A], *, fits: Callable[[A], bool] = lambda _: True) -> tuple[Path, A] | None:
        """The newest artifact of a kind that `fits` accepts, with its path; damaged files are passed over."""
        paths = sorted(self.root.glob(f"*.{kind.KIND}.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in paths:
            try:
                artifact = kind.load(path)
            except OffloadError:
                continue
            if fits(artifact):
                return path, artifact
        return None


def write_artifact(artifact: Artifact, path: Path, *, force: bool = True) -> None:
    """Write an artifact so that a crash or a full disk leaves either the old file or the new one.

    What is there and is no file, such as a pipe or `/dev/null`, is written to and stays what it is.

    Raises:
        OffloadError: the file is there and `force` is false, or it cannot be written.
    """
    if not force and path.exists():
        raise OffloadError(f"{path} is there already", hint="add --force to replace it, or name another file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            path.write_text(artifact.to_json(), encoding="utf-8")
        else:
            _replace(path.resolve(), artifact.to_json())
    except OSError as error:
        raise OffloadError(
            f"cannot write {path}: {error.strerror}", hint="set OFFLOAD_HOME or -o to a folder you can write to"
        ) from error


def append_line(path: Path, text: str) -> None:
    """Add a line to a file that a crash may have cut off; it is made when it is not there.

    Raises:
        OffloadError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as stream:
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                if stream.read() != b"\n":  # a line that was cut off spoils no other
                    stream.write(b"\n")
            stream.write(text.encode() + b"\n")
    except OSError as error:
        raise OffloadError(
            f"cannot write {path}: {error.strerror}",
            hint="free some space, and the same command goes on; or set OFFLOAD_HOME to a folder you can write to",
        ) from error


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
