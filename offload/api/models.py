"""The model a verb is about: loaded in the form its runtime takes, and how an artifact names it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from offload.artifacts.profile import ModelIdentity, Precision
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError
from offload.progress import Progress

if TYPE_CHECKING:
    from offload.models.loaded import LoadedModel
    from offload.runtimes.base import Runtime


def load(
    spec: str,
    runtime: Runtime,
    *,
    inputs: Mapping[str, tuple[int, ...]],
    batch: int,
    weights: Path | None,
    precision: Precision,
    workspace: Workspace,
    progress: Progress,
) -> LoadedModel:
    """The model in the form that the runtime takes.

    Raises:
        OffloadError: there is no such model, or the runtime cannot take it.
    """
    from offload.models.load import load_model, load_torch_model

    progress.start(f"loading {spec}")
    try:
        if runtime.name == "torch":
            return load_torch_model(spec, inputs=inputs, batch=batch, weights=weights, precision=precision)
        return load_model(spec, inputs=inputs, batch=batch, weights=weights, cache=workspace.cache)
    finally:
        progress.finish()


def load_again(identity: ModelIdentity, runtime: Runtime, *, workspace: Workspace, progress: Progress) -> LoadedModel:
    """The model that an artifact is about.

    Raises:
        OffloadError: it is not what it was then.
    """
    model = load(
        identity.spec,
        runtime,
        inputs=identity.inputs,
        batch=identity.batch,
        weights=Path(identity.weights_file) if identity.weights_file else None,
        precision=identity.precision,
        workspace=workspace,
        progress=progress,
    )
    if model.hash != identity.hash:
        raise OffloadError(
            f"{identity.name} had the content {identity.hash[:12]} when it was profiled, it now has {model.hash[:12]}",
            hint="profile and plan again: the model's file, code or weights have changed",
        )
    return model


def identity_of(model: LoadedModel, *, inputs: Mapping[str, tuple[int, ...]], weights: Path | None) -> ModelIdentity:
    """What an artifact records of a model, and of how to load it again."""
    return ModelIdentity(
        spec=model.spec,
        name=model.name,
        hash=model.hash,
        batch=model.batch,
        precision=model.precision,
        weights=model.weights,
        untrained=model.untrained,
        inputs=dict(inputs),
        weights_file=str(weights.resolve()) if weights else None,
    )
