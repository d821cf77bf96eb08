"""The child in which `offload-profile` measures: `python -m offload.serving.profile_child`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offload.errors import OffloadError
from offload.serving.child_process import answer, limit_resources, read_settings
from offload.serving.trial import check_contents

if TYPE_CHECKING:
    from offload.models.loaded import LoadedModel
    from offload.runtimes.base import Runtime


def profile(model: LoadedModel, runtime: Runtime, *, threads: int, settings: dict[str, Any]) -> str:
    """The profile of a model, as JSON.

    Raises:
        OffloadError: the model cannot be profiled.
    """
    from offload.artifacts.profile import ModelIdentity
    from offload.profilers.layers import profile_model

    identity = ModelIdentity(
        spec="remote",
        name="remote",
        hash=model.hash,
        batch=model.batch,
        precision=model.precision,
        weights="remote",
        untrained=False,
        inputs={},
        weights_file=None,
    )
    return profile_model(
        model,
        runtime,
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


def _uploaded(path: Path) -> tuple[LoadedModel, Runtime]:
    from offload.models.load import load_model
    from offload.runtimes.onnxruntime import OnnxRuntime

    check_contents(path.read_bytes())
    return load_model(str(path)), OnnxRuntime()


def _own(fields: dict[str, Any], expected_hash: str) -> tuple[LoadedModel, Runtime]:
    from offload.serving.own_loading import load_own_model
    from offload.serving.own_models import OwnModel

    own = OwnModel.of_json(fields)
    model, runtime = load_own_model(own)
    if model.hash != expected_hash:
        raise OffloadError(
            f"{own.spec} has content {model.hash[:12]} now, the server was started with {expected_hash[:12]}",
            hint="start the server again: the model's code or weights have changed",
        )
    return model, runtime


def main() -> None:
    """The child's life: settings in, profile out."""
    settings = read_settings()
    tempfile.tempdir = settings["folder"]  # which the parent removes, also when it kills this process
    try:
        if "own" in settings:
            model, runtime = _own(settings["own"], settings["hash"])
        else:
            limit_resources(memory_bytes=settings["memory_bytes"], cpu_s=settings["cpu_s"])
            model, runtime = _uploaded(Path(settings["path"]))
        answer(profile=profile(model, runtime, threads=settings["threads"], settings=settings["profile"]))
    except MemoryError:
        answer(error="the profile needs more memory than this server allows")
    except OffloadError as error:
        answer(error=error.message, hint=error.hint)


if __name__ == "__main__":
    main()
