"""Cuts of random graphs against brute force."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.graph.cuts import is_legal, make_cut, prefix_cuts
from offload.graph.model_graph import Layer, ModelGraph, Tensor


@st.composite
def graphs(draw: st.DrawFn, max_layers: int = 7) -> ModelGraph:
    """Random DAGs: several inputs, layers with several outputs, unread tensors, inputs that are also outputs."""
    inputs = [f"in{index}" for index in range(draw(st.integers(1, 2)))]
    names, layers = list(inputs), []
    for index in range(draw(st.integers(1, max_layers))):
        read = draw(st.lists(st.sampled_from(names), unique=True, max_size=3))
        outputs = tuple(f"t{index}.{slot}" for slot in range(draw(st.integers(1, 2))))
        layers.append(
            Layer(
                name=f"layer{index}",
                kind="other",
                op="Op",
                inputs=tuple(read),
                outputs=outputs,
                flops=1,
                weight_bytes=0,
            )
        )
        names += outputs
    ends = draw(st.lists(st.sampled_from(names), unique=True, min_size=1, max_size=3))
    return ModelGraph(
        tensors=tuple(Tensor(name=name, shape=(1,), dtype="float32") for name in names),
        layers=tuple(layers),
        inputs=tuple(inputs),
        outputs=tuple(ends),
    )


def predecessors(graph: ModelGraph, index: int) -> set[int]:
    direct = {other for other, layer in enumerate(graph.layers) if set(layer.outputs) & set(graph.layers[index].inputs)}
    return direct.union(*(predecessors(graph, other) for other in direct))


def subsets(count: int) -> chain[tuple[int, ...]]:
    return chain.from_iterable(combinations(range(count), size) for size in range(count + 1))


@given(graphs())
def test_legal_sets_are_those_closed_under_predecessors(graph: ModelGraph) -> None:
    before = [predecessors(graph, index) for index in range(len(graph.layers))]
    for device in subsets(len(graph.layers)):
        assert is_legal(graph, device) == all(before[index] <= set(device) for index in device)


@given(graphs())
def test_crossing_tensors_are_counted_once_and_completely(graph: ModelGraph) -> None:
    for device in subsets(len(graph.layers)):
        if not is_legal(graph, device):
            with pytest.raises(ValueError, match="predecessor"):
                make_cut(graph, device)
            continue
        cut = make_cut(graph, device)
        on_device = set(graph.inputs).union(*(graph.layers[index].outputs for index in device))
        server = [layer for index, layer in enumerate(graph.layers) if index not in device]
        read_there = set().union(*(layer.inputs for layer in server))
        made_there = set().union(*(layer.outputs for layer in server))
        assert len(set(cut.crossing)) == len(cut.crossing)
        assert set(cut.crossing) == on_device & read_there
        assert cut.returning == tuple(name for name in graph.outputs if name in made_there)


@given(graphs(max_layers=12))
def test_prefix_cuts_are_the_cuts_of_prefixes(graph: ModelGraph) -> None:
    cuts = list(prefix_cuts(graph))
    assert cuts == [make_cut(graph, range(length)) for length in range(len(graph.layers) + 1)]
    assert cuts[-1].crossing == () == cuts[-1].returning
    assert all(name in graph.inputs for name in cuts[0].crossing)
