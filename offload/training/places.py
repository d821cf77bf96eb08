"""Where a learned codec may stand: the cuts at which one float tensor crosses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from offload.artifacts.codec import INPUT_LAYER
from offload.errors import OffloadError, UsageError
from offload.graph.cuts import Cut, make_cut, prefix_cuts, single_tensor_cuts
from offload.graph.model_graph import ModelGraph, Tensor


@dataclass(frozen=True, kw_only=True)
class Place:
    """A cut at one tensor, and what it is called."""

    cut: Cut
    tensor: Tensor
    layer: str
    """The layer that makes the tensor, or INPUT_LAYER."""


def places_at(graph: ModelGraph, names: Sequence[str]) -> list[Place]:
    """`place_at` for each name, once.

    Raises:
        UsageError: there are none.
        OffloadError: one names no place.
    """
    if not names:
        raise UsageError("--at names no layer", hint="name layers or the input, as --at input,block2")
    return [place_at(graph, name) for name in dict.fromkeys(names)]


def place_at(graph: ModelGraph, name: str) -> Place:
    """The cut behind what the user names, a layer, a tensor, or `input`, with as much behind it as may be.

    Raises:
        OffloadError: there is no such layer or tensor, several tensors cross there, or nothing is left behind it.
    """
    index = _number_of(graph, name)
    made, layer = (graph.layers[index].outputs, graph.layers[index].name) if index >= 0 else (graph.inputs, INPUT_LAYER)
    for tensor in made:
        cuts = single_tensor_cuts(graph, tensor)
        if cuts and cuts[-1].returning:
            return Place(cut=cuts[-1], tensor=graph.tensor_by_name[tensor], layer=layer)
    crossing = make_cut(graph, _needed_by(graph, index)).crossing
    if not any(tensor in crossing for tensor in made):
        raise OffloadError(f"--at {name}: nothing is left to run behind it", hint="name a layer that others come after")
    near = _near(graph, index)
    raise OffloadError(
        f"--at {name}: {len(crossing)} tensors cross there ({_some(crossing)}), a codec takes one",
        hint=f"the nearest cuts at one tensor are {' and '.join(near)}" if near else "choose another model",
    )


def tensors_alone(graph: ModelGraph) -> list[str]:
    """The float32 tensors that cross alone somewhere in the order of the layers, in that order."""
    alone = (cut.crossing[0] for cut in prefix_cuts(graph) if len(cut.crossing) == 1 and cut.returning)
    return [name for name in dict.fromkeys(alone) if graph.tensor_by_name[name].dtype == "float32"]


def _number_of(graph: ModelGraph, name: str) -> int:
    """Of the layer that is named or makes the tensor of that name; -1 for the input."""
    if name == INPUT_LAYER or name in graph.inputs:
        return -1
    names = [layer.name for layer in graph.layers]
    if name in names:
        return names.index(name)
    if name in graph.producer:
        return graph.producer[name]
    stage = [each for tensor in tensors_alone(graph) if (each := _layer(graph, tensor)).startswith(f"{name}.")]
    near = stage[-1:] or get_close_matches(name, [*names, INPUT_LAYER], n=3, cutoff=0.4)
    raise OffloadError(
        f"--at {name}: the model has no layer or tensor of that name",
        hint=f"did you mean {' or '.join(near)}" if near else f"its layers run from {names[0]} to {names[-1]}",
    )


def _layer(graph: ModelGraph, tensor: str) -> str:
    return graph.layers[graph.producer[tensor]].name if tensor in graph.producer else INPUT_LAYER


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def _near(graph: ModelGraph, index: int) -> list[str]:
    """The last layer before this one and the first behind it at which one tensor crosses."""
    singles = [(graph.producer.get(tensor, -1), _layer(graph, tensor)) for tensor in tensors_alone(graph)]
    before = [layer for at, layer in singles if at < index][-1:]
    after = [layer for at, layer in singles if at > index][:1]
    return [*before, *after]


def _needed_by(graph: ModelGraph, index: int) -> Iterator[int]:
    """A layer and all that it needs; nothing where it is the input (-1)."""
    waiting, seen = [index] if index >= 0 else [], {index}
    while waiting:
        layer = waiting.pop()
        yield layer
        for name in graph.layers[layer].inputs:
            producer = graph.producer.get(name)
            if producer is not None and producer not in seen:
                seen.add(producer)
                waiting.append(producer)
