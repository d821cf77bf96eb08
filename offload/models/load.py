"""Where models come from: one function from what the user typed to a model that can be measured and divided."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from offload.errors import OffloadError
from offload.models import torch_sources
from offload.models.cache import cache_key, read_cached, write_cached
from offload.models.canonical import canonicalise, content_hash
from offload.models.inputs import Shape, by_name, parse_input_shape, with_batch
from offload.models.loaded import LoadedModel, LoadedOnnxModel
from offload.models.onnx_file import declared_inputs, read_onnx, static_inputs
from offload.models.onnx_graph import graph_of, graph_of_proto
from offload.models.zoo.catalogue import CATALOGUE, ZooEntry

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LoadedModel", "LoadedOnnxModel", "graph_of", "load_model", "parse_input_shape"]


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
    if batch < 1:
        raise OffloadError(f"a batch of {batch} is not possible", hint="give --batch 1 or more")
    library = spec.partition(":")[0]
    if spec in CATALOGUE:
        entry = CATALOGUE[spec]
        shapes = _torch_shapes(spec, ["input"], {"input": (1, *entry.input_shape)}, inputs, batch)
        onnx = _zoo_onnx(entry, shapes, weights, cache)
        return _loaded(spec, entry.name, onnx, _origin(weights), untrained=weights is None)
    if spec.endswith(".onnx") or (":" not in spec and Path(spec).is_file()):
        if weights is not None:
            raise OffloadError(f"{spec}: an ONNX file holds its own weights", hint="leave out --weights")
        return _loaded(spec, Path(spec).stem, _file_onnx(spec, inputs, batch), "in the file", untrained=False)
    if library in torch_sources.LIBRARIES and ":" in spec:
        module, shape = torch_sources.from_library(spec)
        names = torch_sources.input_names(module)
        shapes = _torch_shapes(spec, names, dict.fromkeys(names, (1, *shape)), inputs, batch)
        onnx = _torch_onnx(module, shapes, weights, spec)
        return _loaded(spec, spec.partition(":")[2], onnx, _origin(weights), untrained=weights is None)
    if ":" in spec:
        module = torch_sources.from_callable(spec)
        shapes = _torch_shapes(spec, torch_sources.input_names(module), {}, inputs, batch)
        origin = _origin(weights) if weights else "from the callable"
        onnx = _torch_onnx(module, shapes, weights, spec)
        return _loaded(spec, spec.partition(":")[2], onnx, origin, untrained=False)
    near = torch_sources.near_names(spec, list(CATALOGUE))
    raise OffloadError(
        f"there is no model {spec!r}",
        hint=("did you mean " + " or ".join(near) + "? " if near else "")
        + f"Built in are {', '.join(CATALOGUE)}; or give a path to .onnx, package.module:callable, or torchvision:NAME",
    )


def _loaded(spec: str, name: str, onnx: bytes, weights: str, *, untrained: bool) -> LoadedOnnxModel:
    from onnx import ModelProto

    proto = ModelProto.FromString(onnx)
    graph = graph_of_proto(proto)
    leading = {graph.tensor_by_name[name].shape[:1] for name in graph.inputs}
    return LoadedOnnxModel(
        spec=spec,
        name=name,
        onnx=onnx,
        graph=graph,
        hash=content_hash(proto),
        weights=weights,
        untrained=untrained,
        batch=next(iter(leading), (1,))[0] if len(leading) == 1 and () not in leading else 1,
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


def _zoo_onnx(entry: ZooEntry, shapes: Mapping[str, Shape], weights: Path | None, cache: Path | None) -> bytes:
    if cache is None or (weights is not None and not weights.is_file()):  # building says that the file is missing
        return _torch_onnx(torch_sources.from_zoo(entry), shapes, weights, entry.name)
    origin = torch_sources.SEED if weights is None else hashlib.sha256(weights.read_bytes()).hexdigest()
    key = cache_key(entry.name, dict(shapes), origin)
    kept = read_cached(cache, entry.name, key)
    if kept is not None:
        return kept
    onnx = _torch_onnx(torch_sources.from_zoo(entry), shapes, weights, entry.name)
    write_cached(cache, entry.name, key, onnx)
    return onnx


def _torch_onnx(module: nn.Module, shapes: Mapping[str, Shape], weights: Path | None, name: str) -> bytes:
    from offload.models.torch_export import check_against_torch, export

    if weights is not None:
        torch_sources.load_weights(module, weights)
    proto = canonicalise(export(module, shapes, name=name), shapes, name=name, tensors_follow_nodes=True)
    onnx = proto.SerializeToString(deterministic=True)
    check_against_torch(module, onnx, shapes, name=name)
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
