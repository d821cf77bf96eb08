"""Where a learned codec may stand: the cuts at which one float tensor crosses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from offload.artifacts.codec import INPUT_LAYER
from offload.errors import OffloadError
from offload.graph.cuts import Cut, make_cut, prefix_cuts
from offload.graph.model_graph import ModelGraph, Tensor


@dataclass(frozen=True, kw_only=True)
class Place:
    """A cut at one tensor, and what it is called."""

    cut: Cut
    tensor: Tensor
    layer: str
    """The layer that makes the tensor, or INPUT_LAYER."""


def place_at(graph: ModelGraph, name: str) -> Place:
    """The cut behind what the user names: a layer, a tensor, or `input`.

    Raises:
        OffloadError: there is no such layer or tensor, several tensors cross there, or nothing is left behind it.
    """
    if name == INPUT_LAYER or name in graph.inputs:
        return _single(graph, make_cut(graph, ()), name, -1)
    names = [layer.name for layer in graph.layers]
    if name not in names and name not in graph.producer:
        near = get_close_matches(name, [*names, INPUT_LAYER], n=3, cutoff=0.4)
        raise OffloadError(
            f"--at {name}: the model has no layer or tensor of that name",
            hint=f"did you mean {' or '.join(near)}" if near else f"its layers run from {names[0]} to {names[-1]}",
        )
    index = names.index(name) if name in names else graph.producer[name]
    cut = make_cut(graph, _needed_by(graph, index))
    if len(cut.crossing) > 1:
        cut = make_cut(graph, _not_needing(graph, index))
    return _single(graph, cut, name, index)


def _single(graph: ModelGraph, cut: Cut, name: str, index: int) -> Place:
    if not cut.crossing or not cut.returning:
        raise OffloadError(f"--at {name}: nothing is left to run behind it", hint="name a layer that others come after")
    made = graph.layers[index].outputs if index >= 0 else graph.inputs
    if len(cut.crossing) > 1 or cut.crossing[0] not in made:
        near = _near_places(graph, index)
        raise OffloadError(
            f"--at {name}: {len(cut.crossing)} tensors cross there ({_some(cut.crossing)}), a codec takes one",
            hint=f"the nearest cuts at one tensor are {' and '.join(near)}" if near else "choose another model",
        )
    return Place(
        cut=cut,
        tensor=graph.tensor_by_name[cut.crossing[0]],
        layer=graph.layers[index].name if index >= 0 else INPUT_LAYER,
    )


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def _near_places(graph: ModelGraph, index: int) -> list[str]:
    """The last place before a layer and the first behind it at which one tensor crosses."""
    singles = [
        (graph.producer.get(cut.crossing[0], -1), cut.crossing[0])
        for cut in prefix_cuts(graph)
        if len(cut.crossing) == 1 and graph.tensor_by_name[cut.crossing[0]].dtype == "float32" and cut.returning
    ]
    before = [place for place in singles if place[0] < index][-1:]
    after = [place for place in singles if place[0] > index][:1]
    return [graph.layers[at].name if at >= 0 else INPUT_LAYER for at, _ in (*before, *after)]


def _needed_by(graph: ModelGraph, index: int) -> Iterator[int]:
    waiting, seen = [index], {index}
    while waiting:
        layer = waiting.pop()
        yield layer
        for name in graph.layers[layer].inputs:
            producer = graph.producer.get(name)
            if producer is not None and producer not in seen:
                seen.add(producer)
                waiting.append(producer)


def _not_needing(graph: ModelGraph, index: int) -> Iterator[int]:
    """All layers but those that read, directly or not, what a layer makes."""
    needing = set(graph.layers[index].outputs)
    for number, layer in enumerate(graph.layers):
        if needing.isdisjoint(layer.inputs):
            yield number
        else:
            needing.update(layer.outputs)
