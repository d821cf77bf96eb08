"""Where models come from: one function from what the user typed to a model that can be measured and divided."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offload.artifacts.profile import Precision
from offload.errors import OffloadError
from offload.graph.model_graph import ModelGraph
from offload.models import torch_sources
from offload.models.cache import cache_key, read_cached, write_cached
from offload.models.canonical import canonicalise, content_hash
from offload.models.inputs import Shape, by_name, parse_input_shape, with_batch
from offload.models.loaded import LoadedModel, LoadedOnnxModel, LoadedTorchModel
from offload.models.onnx_file import declared_inputs, read_onnx, static_inputs
from offload.models.onnx_graph import graph_of, graph_of_proto
from offload.models.zoo.catalogue import CATALOGUE

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LoadedModel", "LoadedOnnxModel", "graph_of", "load_model", "load_torch_model", "parse_input_shape"]


def load_model(
    spec: str,
    *,
    inputs: Mapping[str, Shape] | None = None,
    batch: int = 1,
    weights: Path | None = None,
    cache: Path | None = None,
) -> LoadedOnnxModel:
    """Load a model by what the user calls it.

    Args:
        spec: A built-in name, a path to `.onnx`, `package.module:callable`, `torchvision:NAME` or `timm:NAME`.
        inputs: Input shapes by name; the empty name stands for a model's only input.
        batch: Leading dimension of every input. 1 leaves shapes as they are.
        weights: A safetensors file that replaces a torch module's weights.
        cache: A folder in which exports of built-in networks are kept.

    Raises:
        OffloadError: there is no such model, or it cannot be used; the message says why.
    """
    _check_batch(batch)
    if _is_file(spec):
        if weights is not None:
            raise OffloadError(f"{spec}: an ONNX file holds its own weights", hint="leave out --weights")
        return _loaded(spec, Path(spec).stem, _file_onnx(spec, inputs, batch), "in the file", untrained=False)
    source = _torch_source(spec, inputs, batch, weights)
    onnx = _zoo_onnx(source, weights, cache) if spec in CATALOGUE else _torch_onnx(source)
    return _loaded(spec, source.name, onnx, source.weights, untrained=source.untrained)


def load_torch_model(
    spec: str,
    *,
    inputs: Mapping[str, Shape] | None = None,
    batch: int = 1,
    weights: Path | None = None,
    precision: Precision = "fp32",
) -> LoadedTorchModel:
    """Load a model for the torch runtime, by what the user calls it.

    Args:
        spec: As `load_model` takes it, but no `.onnx` file.
        inputs: As `load_model` takes them.
        batch: As `load_model` takes it.
        weights: As `load_model` takes them.
        precision: What weights and floating-point inputs are cast to.

    Raises:
        OffloadError: there is no such model, or it cannot be used; the message says why.
    """
    import torch

    from offload.models.torch_capture import capture, check_against_module
    from offload.models.torch_export import sample_inputs
    from offload.models.torch_program import torch_dtype

    _check_batch(batch)
    if _is_file(spec):
        raise OffloadError(
            f"{spec}: the torch runtime needs a torch module, not an ONNX file",
            hint="use --runtime onnxruntime, or name the module as package.module:callable",
        )
    source = _torch_source(spec, inputs, batch, weights)
    dtype = torch_dtype(precision)
    module = source.module().cpu().eval().to(dtype)
    arrays = sample_inputs(source.shapes, source.vocabulary)
    samples = {name: torch.from_numpy(values) for name, values in arrays.items()}
    taken = {name: each.to(dtype) if each.is_floating_point() else each for name, each in samples.items()}
    program = capture(module, taken, name=spec)
    if precision == "fp32":  # half precision shares all but the types, and some of its kernels take minutes on a CPU
        check_against_module(program, module, taken, name=spec)
    return LoadedTorchModel(
        spec=spec,
        name=source.name,
        program=program,
        graph=program.graph,
        hash=program.hash,
        weights=source.weights,
        untrained=source.untrained,
        batch=_common_batch(program.graph),
        precision=precision,
    )


@dataclass(frozen=True, kw_only=True)
class _TorchSource:
    """A torch module that was named, not yet built."""

    spec: str
    name: str
    shapes: Mapping[str, Shape]
    weights: str
    untrained: bool
    module: Callable[[], nn.Module]
    """Builds it, with the user's weights."""
    vocabulary: int | None = None
    """How many ids the int64 inputs may hold; None for float32 inputs."""


def _torch_source(spec: str, inputs: Mapping[str, Shape] | None, batch: int, weights: Path | None) -> _TorchSource:
    library, colon, name = spec.partition(":")
    if spec in CATALOGUE:
        entry = CATALOGUE[spec]
        shapes = _torch_shapes(spec, ["input"], {"input": (1, *entry.input_shape)}, inputs, batch)
        return _TorchSource(
            spec=spec,
            name=entry.name,
            shapes=shapes,
            weights="trained, built in" if entry.trained and weights is None else _origin(weights),
            untrained=weights is None and not entry.trained,
            module=lambda: _with_weights(torch_sources.from_zoo(entry), weights),
            vocabulary=entry.vocabulary,
        )
    if not colon:
        near = torch_sources.near_names(spec, list(CATALOGUE))
        raise OffloadError(
            f"there is no model {spec!r}",
            hint=("did you mean " + " or ".join(near) + "? " if near else "") + f"Built in are {', '.join(CATALOGUE)}; "
            "or give a path to .onnx, package.module:callable, or torchvision:NAME",
        )
    from_library = library in torch_sources.LIBRARIES
    if from_library:
        module, shape = torch_sources.from_library(spec)
        usual = dict.fromkeys(torch_sources.input_names(module), (1, *shape))
    else:
        module, usual = torch_sources.from_callable(spec), {}
    return _TorchSource(
        spec=spec,
        name=name,
        shapes=_torch_shapes(spec, torch_sources.input_names(module), usual, inputs, batch),
        weights=_origin(weights) if weights or from_library else "from the callable",
        untrained=from_library and weights is None,
        module=lambda: _with_weights(module, weights),
    )


def _with_weights(module: nn.Module, weights: Path | None) -> nn.Module:
    if weights is not None:
        torch_sources.load_weights(module, weights)
    return module


def _is_file(spec: str) -> bool:
    return spec not in CATALOGUE and (spec.endswith(".onnx") or (":" not in spec and Path(spec).is_file()))


def _check_batch(batch: int) -> None:
    if batch < 1:
        raise OffloadError(f"a batch of {batch} is not possible", hint="give --batch 1 or more")


def _common_batch(graph: ModelGraph) -> int:
    """The leading dimension that all inputs share; 1 where they share none."""
    leading = {graph.tensor_by_name[name].shape[:1] for name in graph.inputs}
    return next(iter(leading), (1,))[0] if len(leading) == 1 and () not in leading else 1


def _loaded(spec: str, name: str, onnx: bytes, weights: str, *, untrained: bool) -> LoadedOnnxModel:
    from onnx import ModelProto

    proto = ModelProto.FromString(onnx)
    graph = graph_of_proto(proto)
    return LoadedOnnxModel(
        spec=spec,
        name=name,
        onnx=onnx,
        graph=graph,
        hash=content_hash(proto),
        weights=weights,
        untrained=untrained,
        batch=_common_batch(graph),
    )


def _origin(weights: Path | None) -> str:
    return f"untrained, seed {torch_sources.SEED}" if weights is None else str(weights)


def _torch_shapes(
    model: str,
    names: list[str],
    usual: Mapping[str, Shape],
    given: Mapping[str, Shape] | None,
    batch: int,
) -> dict[str, Shape]:
    shapes = dict(usual) | by_name(given, names, model=model)
    missing = [name for name in names if name not in shapes]
    if missing:
        raise OffloadError(
            f"{model}: the shape of input {missing[0]!r} is not known",
            hint="give it, for example " + " ".join(f"--input {name}=1x3x224x224" for name in missing),
        )
    return {name: with_batch(name, shapes[name], batch, model=model) for name in names}


def _zoo_onnx(source: _TorchSource, weights: Path | None, cache: Path | None) -> bytes:
    if cache is None or (weights is not None and not weights.is_file()):  # building says that the file is missing
        return _torch_onnx(source)
    if weights is None:
        origin = CATALOGUE[source.spec].weights_sha256 or torch_sources.SEED
    else:
        origin = hashlib.sha256(weights.read_bytes()).hexdigest()
    key = cache_key(source.name, dict(source.shapes), origin)
    kept = read_cached(cache, source.name, key)
    if kept is not None:
        return kept
    onnx = _torch_onnx(source)
    write_cached(cache, source.name, key, onnx)
    return onnx


def _torch_onnx(source: _TorchSource) -> bytes:
    from offload.models.torch_export import check_against_torch, export

    module, shapes, name, vocabulary = source.module(), source.shapes, source.spec, source.vocabulary
    proto = canonicalise(
        export(module, shapes, name=name, vocabulary=vocabulary), shapes, name=name, tensors_follow_nodes=True
    )
    onnx = proto.SerializeToString(deterministic=True)
    check_against_torch(module, onnx, shapes, name=name, vocabulary=vocabulary)
    return onnx


def _file_onnx(spec: str, inputs: Mapping[str, Shape] | None, batch: int) -> bytes:
    from offload.models.rebatch import check_rebatched

    model = read_onnx(Path(spec))
    declared = declared_inputs(model)
    shapes = static_inputs(model, by_name(inputs, list(declared), model=spec), name=spec)
    batched = {name: with_batch(name, shape, batch, model=spec) for name, shape in shapes.items()}
    if batched == shapes:
        return canonicalise(model, shapes, name=spec).SerializeToString(deterministic=True)
    original = type(model)()
    original.CopyFrom(model)
    proto = canonicalise(model, batched, name=spec)
    check_rebatched(canonicalise(original, shapes, name=spec), proto, batch=batch, name=spec)
    return proto.SerializeToString(deterministic=True)
