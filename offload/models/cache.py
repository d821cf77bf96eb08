"""Exports of built-in networks, kept between runs: exporting takes seconds, reading takes milliseconds."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from offload.environment import package_versions

_EXPORTING = ("torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu")
"""What makes an export; ONNX Runtime is one of the two packages."""


def cache_key(*parts: object) -> str:
    """A key that changes with the parts, with the versions of what exports, and with this package's own code."""
    digest = hashlib.sha256(repr(parts).encode())
    for package, installed in package_versions(_EXPORTING).items():
        digest.update(f"{package}={installed};".encode())
    folder = Path(__file__).parent
    for source in sorted(folder.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def read_cached(folder: Path, name: str, key: str) -> bytes | None:
    """The model kept under this key; None when there is none, or only a damaged one."""
    for path in folder.glob(f"{name}-{key}-*.onnx"):
        with contextlib.suppress(OSError):
            data = path.read_bytes()
            if path.stem.endswith(_digest(data)):
                return data
    return None


def write_cached(folder: Path, name: str, key: str, model: bytes) -> None:
    """Keep a model; its own digest in the file's name is what `read_cached` validates.

    A cache that cannot be written is no error: the model is exported again next time.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".writing-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(model)
            for damaged in folder.glob(f"{name}-{key}-*.onnx"):
                damaged.unlink()
            os.replace(temporary, folder / f"{name}-{key}-{_digest(model)}.onnx")
        finally:
            Path(temporary).unlink(missing_ok=True)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
