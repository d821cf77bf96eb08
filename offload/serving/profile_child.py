"""The child in which `offload-profile` measures: `python -m offload.serving.profile_child`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from offload.errors import OffloadError
from offload.serving.child_process import answer, limit_resources, read_settings
from offload.serving.trial import check_contents


def profile(path: Path, *, threads: int, settings: dict[str, Any]) -> str:
    """The profile of the ONNX model at `path`, as JSON.

    Raises:
        OffloadError: the model cannot be profiled.
    """
    raise OffloadError("this server cannot profile models yet")


def main() -> None:
    """The child's life: settings in, profile out."""
    settings = read_settings()
    limit_resources(memory_bytes=settings["memory_bytes"], cpu_s=settings["cpu_s"])
    path = Path(settings["path"])
    try:
        check_contents(path.read_bytes())
        answer(profile=profile(path, threads=settings["threads"], settings=settings["profile"]))
    except MemoryError:
        answer(error="the profile needs more memory than this server allows")
    except OffloadError as error:
        answer(error=error.message, hint=error.hint)


if __name__ == "__main__":
    main()
