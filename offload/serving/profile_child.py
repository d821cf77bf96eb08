"""The child in which `offload-profile` measures: `python -m offload.serving.profile_child`."""

from __future__ import annotations

import tempfile
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
    from offload.artifacts.profile import ModelIdentity
    from offload.models.load import load_model
    from offload.profilers.layers import profile_model
    from offload.runtimes.onnxruntime import OnnxRuntime

    model = load_model(str(path))
    identity = ModelIdentity(
        spec="upload",
        name="upload",
        hash=model.hash,
        batch=model.batch,
        precision="fp32",
        weights="uploaded",
        untrained=False,
        inputs={},
        weights_file=None,
    )
    return profile_model(
        model,
        OnnxRuntime(),
        identity,
        threads=threads,
        precision=_number(settings, "precision", 0.02),
        max_time_s=_number(settings, "max_time_s", 60.0),
        power_w=_number(settings, "power_w", None),
    ).to_json()


def _number(settings: dict[str, Any], name: str, default: Any) -> Any:
    value = settings.get(name, default)
    if value is default:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise OffloadError(f"settings.{name} must be a number above 0, got {value!r}", hint="send a positive number")
    return float(value)


def main() -> None:
    """The child's life: settings in, profile out."""
    settings = read_settings()
    limit_resources(memory_bytes=settings["memory_bytes"], cpu_s=settings["cpu_s"])
    path = Path(settings["path"])
    tempfile.tempdir = str(path.parent)  # which the parent removes, also when it kills this process
    try:
        check_contents(path.read_bytes())
        answer(profile=profile(path, threads=settings["threads"], settings=settings["profile"]))
    except MemoryError:
        answer(error="the profile needs more memory than this server allows")
    except OffloadError as error:
        answer(error=error.message, hint=error.hint)


if __name__ == "__main__":
    main()
