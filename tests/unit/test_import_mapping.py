"""From names and sequences of a trace to layers: by name, in order, and so that each layer is in one group."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.graph.model_graph import Layer, ModelGraph, Tensor
from offload.profilers.imports.alignment import aligned
from offload.profilers.imports.base import TracedKernel
from offload.profilers.imports.grouping import grouped
from offload.profilers.imports.layer_names import LayerNames
from tests import synthetic


def graph(*layers: tuple[str, tuple[str, ...]], flops: int = 10) -> ModelGraph:
    """Layers by name with the tensors they read; layer `a` makes `a_out`."""
    made = tuple(
        Layer(name=name, kind="other", op="Op", inputs=reads, outputs=(f"{name}_out",), flops=flops, weight_bytes=0)
        for name, reads in layers
    )
    names = ["x", *(layer.outputs[0] for layer in made)]
    return ModelGraph(
        tensors=tuple(Tensor(name=name, shape=(1, 4), dtype="float32") for name in names),
        layers=made,
        inputs=("x",),
        outputs=(names[-1],),
    )


def kernel(name: str, layers: tuple[int, ...], *samples_s: float) -> TracedKernel:
    return TracedKernel(name=name, layers=layers, samples_s=samples_s)


def longest_common(ours: str, theirs: str) -> int:
    """By trying all subsequences of the one."""
    for size in range(len(ours), 0, -1):
        for chosen in itertools.combinations(ours, size):
            rest = iter(theirs)
            if all(each in rest for each in chosen):
                return size
    return 0


@given(st.text("abc", max_size=8), st.text("abc", max_size=8))
def test_alignment_keeps_the_order_and_matches_as_many_as_possible(ours: str, theirs: str) -> None:
    places = aligned(ours, theirs)
    matched = [(own, at) for own, at in zip(ours, places, strict=True) if at is not None]
    assert all(own == theirs[at] for own, at in matched)
    assert all(earlier[1] < later[1] for earlier, later in itertools.pairwise(matched))
    assert len(matched) == longest_common(ours, theirs)


def test_sequences_that_would_take_minutes_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        aligned(["a"] * 6000, ["b"] * 6000)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("layer1.0.conv1", 0),
        ("layer1.0.conv1_out", 0),
        ("layer1.0.conv1_out_nchwc", 0),
        ("node_of_layer1.0.conv1_out", 0),
        ("/layer1/layer1.0/conv1/Conv", 0),
        ("/layer1/layer1.0/Add", 1),
        ("/layer1/layer1.0/conv1/Conv_myl12_3", 0),
        ("layer1_0_add_myl0_4", 1),
        ("reshape_after_layer1.0.conv1", 0),
        ("layer1.0.conv1 copy", 0),
        ("(Unnamed Layer* 3) [Shuffle]", None),
        ("layer1.0", None),
        ("", None),
        ("/", None),
    ],
)
def test_names_of_kernels(name: str, found: int | None) -> None:
    names = LayerNames(graph(("layer1.0.conv1", ("x",)), ("layer1.0.add", ("layer1.0.conv1_out",))))
    assert names.index(name) == found


def test_a_name_that_could_mean_two_layers_means_none() -> None:
    names = LayerNames(graph(("a.b", ("x",)), ("a_b", ("a.b_out",))))
    assert names.index("a.b") == 0
    assert names.index("a/b") is None


def test_each_layer_is_in_one_group_and_no_time_is_lost() -> None:
    row = graph(*((name, (before,)) for name, before in zip("abcde", ["x", "a_out", "b_out", "c_out", "d_out"])))  # noqa: B905
    found = grouped(row, [kernel("b", (1,), 1.0, 2.0), kernel("?", (), 0.5, 0.5), kernel("d+e", (3, 4), 4.0, 8.0)])
    assert [(group.layers, group.kernels, group.samples_s) for group in found.groups] == [
        ((0, 1, 2), 2, (1.5, 2.5)),
        ((3, 4), 1, (4.0, 8.0)),
    ]
    assert found.unmatched_share == pytest.approx(1 / 16)
    assert found.unnamed_work == pytest.approx(2 / 5)


def test_time_before_the_first_name_is_counted_with_it() -> None:
    found = grouped(synthetic.chain(), [kernel("?", (), 1.0), kernel("a", (0,), 1.0), kernel("c", (2,), 1.0)])
    assert [(group.layers, group.samples_s) for group in found.groups] == [((0, 1), (2.0,)), ((2,), (1.0,))]


def test_kernels_that_name_a_layer_in_common_are_one_group() -> None:
    found = grouped(synthetic.chain(), [kernel("1", (0, 1), 1.0), kernel("2", (1, 2), 2.0)])
    assert [(group.layers, group.kernels) for group in found.groups] == [((0, 1, 2), 2)]


def test_a_layer_that_is_not_named_joins_the_last_of_those_it_reads() -> None:
    merging = graph(("a", ("x",)), ("b", ("x",)), ("add", ("a_out", "b_out")))
    found = grouped(merging, [kernel("a", (0,), 1.0), kernel("b", (1,), 1.0)])
    assert [group.layers for group in found.groups] == [(0,), (1, 2)]
