"""How a client asks for a tail of a model that the server was started with.

It is a `RepositoryModelLoad` of a fresh name without files, whose `config` names the backend `offload` and, as that
backend's parameters, the hash of the whole model and the layers that the device runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offload.graph.cuts import Cut, is_legal, make_cut
from offload.serving.refusal import invalid
from offload.serving.upload import check_name, parse_model_config

if TYPE_CHECKING:
    from offload.graph.model_graph import ModelGraph

BACKEND = "offload"
MODEL_PARAMETER = "offload.model"
"""The hash of the whole model."""
LAYERS_PARAMETER = "offload.device_layers"
"""A JSON list: indices of the layers that the device runs."""
_PARAMETERS = (MODEL_PARAMETER, LAYERS_PARAMETER)
_UNDERSTOOD_CONFIG = frozenset({"name", "backend", "parameters"})


@dataclass(frozen=True, kw_only=True)
class TailRequest:
    """A tail that a client asks for."""

    name: str
    """What it is to be called."""
    model_hash: str
    device_layers: str
    """JSON, as it came."""


def tail_config(model_hash: str, device_layers: Iterable[int]) -> str:
    """The `config` that asks for a tail."""
    parameters = {MODEL_PARAMETER: model_hash, LAYERS_PARAMETER: json.dumps(sorted(device_layers))}
    return json.dumps(
        {"backend": BACKEND, "parameters": {key: {"string_value": value} for key, value in parameters.items()}}
    )


def parse_tail_request(request: Any) -> TailRequest | None:
    """The tail that a `RepositoryModelLoadRequest` asks for; None when it asks for something else.

    Raises:
        RefusalError: INVALID_ARGUMENT, when it asks for one in words that are not understood.
    """
    if set(request.parameters) != {"config"}:
        return None
    name = request.model_name
    check_name(name)
    config = parse_model_config(request.parameters["config"].string_param, name)
    if config.backend != BACKEND:
        return None
    foreign = [field.name for field, _ in config.ListFields() if field.name not in _UNDERSTOOD_CONFIG]
    foreign += [key for key in config.parameters if key not in _PARAMETERS]
    if foreign:
        raise invalid(f"failed to load '{name}': {foreign[0]} is not understood for a tail of this server's models")
    if config.name not in ("", name):
        raise invalid(f"failed to load '{name}': config field name must be {name!r}, not {config.name!r}")
    missing = [key for key in _PARAMETERS if not config.parameters[key].string_value]
    if missing:
        raise invalid(f"failed to load '{name}': the parameter {missing[0]} is missing")
    model_hash, device_layers = (config.parameters[key].string_value for key in _PARAMETERS)
    return TailRequest(name=name, model_hash=model_hash, device_layers=device_layers)


def requested_cut(graph: ModelGraph, request: TailRequest) -> Cut:
    """The cut that a request means.

    Raises:
        RefusalError: INVALID_ARGUMENT, when its layers are not a list of distinct indices of this graph that is closed
            under predecessors and leaves the server something to compute.
    """
    problem = f"failed to load '{request.name}': {LAYERS_PARAMETER} "
    count = len(graph.layers)
    try:
        layers = json.loads(request.device_layers)
    except (ValueError, RecursionError):
        raise invalid(problem + "is not JSON") from None
    if not isinstance(layers, list) or any(type(index) is not int for index in layers):
        raise invalid(problem + "must be a list of whole numbers")
    if len(layers) > count:
        raise invalid(problem + f"holds {len(layers)} numbers, the model has {count} layers")
    outside = [index for index in layers if not 0 <= index < count]
    if outside:
        raise invalid(problem + f"names layer {outside[0]}, the model's are 0 to {count - 1}")
    if len(set(layers)) < len(layers):
        raise invalid(problem + "names a layer twice")
    if not is_legal(graph, layers):
        raise invalid(problem + "must hold every predecessor of its layers")
    cut = make_cut(graph, layers)
    if not cut.returning:
        raise invalid(problem + "leaves nothing for the server to compute")
    return cut
