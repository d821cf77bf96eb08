"""Loading the torch models that a server is started with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from offload.artifacts.profile import Precision
from offload.errors import OffloadError, UsageError
from offload.graph.cuts import make_cut
from offload.progress import Progress
from offload.serving.own_models import LoadedSource, OwnModel, OwnTail, tail_bytes
from offload.serving.refusal import RefusalError
from offload.units import format_size

if TYPE_CHECKING:
    from offload.models.loaded import LoadedModel
    from offload.runtimes.base import Runtime


def load_own_model(own: OwnModel) -> tuple[LoadedModel, Runtime]:
    """The model and what runs it.

    Raises:
        OffloadError: the device is not there, or the model is unknown, is no torch model or cannot be loaded.
    """
    from offload.models.load import load_torch_model

    runtime = runtime_for(own)
    model = load_torch_model(
        own.spec,
        inputs=own.inputs,
        batch=own.batch,
        weights=Path(own.weights) if own.weights else None,
        precision=_precision(own.dtype),
    )
    return model, runtime


def runtime_for(own: OwnModel) -> Runtime:
    """What runs a model; loads nothing yet.

    Raises:
        OffloadError: the device is not there, or the model is an ONNX file.
    """
    from offload.runtimes.catalogue import choose_runtime

    if own.spec.endswith(".onnx"):
        raise UsageError(
            f"--model {own.spec}: a server's own models are torch models, this is an ONNX file",
            hint="leave it out: clients upload the tails of ONNX models themselves",
        )
    return choose_runtime(
        "torch",
        device=own.device,
        precision=_precision(own.dtype),
        channels_last=own.channels_last,
        compiled=own.compiled,
        onnx_file=False,
    )


def _precision(dtype: str) -> Precision:
    if dtype not in get_args(Precision):
        raise UsageError(f"--dtype {dtype} is not known", hint="use one of " + ", ".join(get_args(Precision)))
    return cast(Precision, dtype)


def load_own_models(
    models: Sequence[OwnModel], *, threads: int, max_total_bytes: int, progress: Progress
) -> tuple[LoadedSource, ...]:
    """The models a server is started with, each run once as a whole.

    Args:
        models: What to load.
        threads: Threads of each inference.
        max_total_bytes: What the server holds of loaded models at most.
        progress: Told which one is being loaded.

    Raises:
        OffloadError: one of them cannot be loaded, is the same as another, or is too big.
    """
    for own in models:
        runtime_for(own)  # before any of them is loaded, which takes long
    sources: dict[str, LoadedSource] = {}
    for own in models:
        progress.start(f"loading {own.spec}")
        try:
            model, runtime = load_own_model(own)
            placed = dataclasses.replace(own, device=runtime.identity(threads=threads).device)
            source = LoadedSource(own=placed, model=model, runtime=runtime, threads=threads)
            _try(source, max_total_bytes)
        finally:
            progress.finish()
        if source.hash in sources:
            raise UsageError(
                f"--model {own.spec} is the same model as --model {sources[source.hash].own.spec}", hint="give it once"
            )
        sources[source.hash] = source
    return tuple(sources.values())


def _try(source: LoadedSource, max_total_bytes: int) -> None:
    whole = make_cut(source.graph, ())
    size_bytes = tail_bytes(source.graph, whole)
    if size_bytes > max_total_bytes:
        raise OffloadError(
            f"--model {source.own.spec} is too big: its weights take {format_size(size_bytes)}, "
            f"this server holds {format_size(max_total_bytes)} of loaded models",
            hint="raise --max-loaded, or use --dtype fp16",
        )
    try:
        OwnTail(source, whole)
    except RefusalError as refusal:
        raise OffloadError(
            f"--model {source.own.spec} cannot be served: {refusal.message}",
            hint="try it alone with `offload profile --runtime torch`, or take a smaller --batch or --dtype fp16",
        ) from refusal
