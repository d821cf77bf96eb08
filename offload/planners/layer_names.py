"""Constraints as users say them, by the names of layers."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from offload.artifacts.plan import Side
from offload.errors import OffloadError
from offload.graph.model_graph import ModelGraph


def pins_by_index(graph: ModelGraph, pins: Mapping[str, Side]) -> dict[int, Side]:
    """Pins of layers by their names, as pins of indices into the graph's layers; see `layer_index` for the error."""
    return {layer_index(graph, name, asked_by="--pin"): side for name, side in pins.items()}


def layer_index(graph: ModelGraph, name: str, *, asked_by: str) -> int:
    """The index of a layer.

    Args:
        graph: The model.
        name: The layer's name.
        asked_by: The option that names it, for the error.

    Raises:
        OffloadError: the model has no such layer; the hint names near ones.
    """
    names = [layer.name for layer in graph.layers]
    if name in names:
        return names.index(name)
    near = get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}" if near else f"its layers run from {names[0]} to {names[-1]}"
    raise OffloadError(f"{asked_by} {name}: the model has no layer of that name", hint=hint)
