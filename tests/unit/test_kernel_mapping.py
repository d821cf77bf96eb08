from __future__ import annotations

import pytest
from onnx import ModelProto, helper

from offload.graph.model_graph import Layer, ModelGraph, Tensor
from offload.profilers.kernel_mapping import map_kernels


def chain(*names: str) -> ModelGraph:
    """Layers `names` in a row; layer `a` produces tensor `a_out`."""
    values = ["x", *(f"{name}_out" for name in names)]
    return ModelGraph(
        tensors=tuple(Tensor(name=value, shape=(1, 4), dtype="float32") for value in values),
        layers=tuple(
            Layer(
                name=name, kind="other", op="Op", inputs=(values[i],), outputs=(values[i + 1],), flops=1, weight_bytes=0
            )
            for i, name in enumerate(names)
        ),
        inputs=("x",),
        outputs=(values[-1],),
    )


def executed(*nodes: tuple[str, str, str]) -> ModelProto:
    """An optimised model of (name, input, output) nodes."""
    made = [helper.make_node("Op", [read], [written], name=name) for name, read, written in nodes]
    return helper.make_model(helper.make_graph(made, "optimised", [], []))


def blocks(graph: ModelGraph, model: ModelProto) -> list[tuple[tuple[int, ...], tuple[str, ...]]]:
    return [(block.layers, block.kernels) for block in map_kernels(graph, model)]


def test_a_fused_kernel_stands_for_the_layers_since_the_last_surviving_tensor() -> None:
    model = executed(("conv", "x", "relu_out"), ("pool", "relu_out", "pool_out"))
    assert blocks(chain("conv", "relu", "pool"), model) == [((0, 1), ("conv",)), ((2,), ("pool",))]


def test_a_node_in_the_blocked_layout_is_known_by_its_name() -> None:
    model = executed(
        ("relu_out_nchwc", "x", "reorder_token_0"),
        ("pool_out_nchwc", "reorder_token_0", "reorder_token_1"),
        ("ReorderOutput", "reorder_token_1", "pool_out"),
    )
    found = blocks(chain("conv", "relu", "pool"), model)
    assert found == [((0, 1), ("relu_out_nchwc",)), ((2,), ("pool_out_nchwc", "ReorderOutput"))]


@pytest.mark.parametrize("suffix", ["_bn_nchwc", "_mul_nchwc", "_add_nchwc"])
def test_other_layout_suffixes(suffix: str) -> None:
    model = executed((f"a_out{suffix}", "x", "reorder_token_0"), ("b", "reorder_token_0", "b_out"))
    assert blocks(chain("a", "b"), model) == [((0,), (f"a_out{suffix}",)), ((1,), ("b",))]


def test_a_reorder_at_a_border_belongs_to_the_kernel_it_feeds() -> None:
    model = executed(
        ("a", "x", "a_out"), ("ReorderInput", "a_out", "reorder_token_0"), ("b_out_nchwc", "reorder_token_0", "b_out")
    )
    assert blocks(chain("a", "b"), model) == [((0,), ("a",)), ((1,), ("ReorderInput", "b_out_nchwc"))]


def test_a_node_kept_in_the_blocked_layout_is_known_by_its_own_name() -> None:
    model = executed(
        ("a_out_nchwc", "x", "reorder_token_0"),
        ("concat", "reorder_token_0", "reorder_token_1"),
        ("b_out_nchwc", "reorder_token_1", "b_out"),
    )
    found = blocks(chain("a", "concat", "b"), model)
    assert found == [((0,), ("a_out_nchwc",)), ((1,), ("concat",)), ((2,), ("b_out_nchwc",))]


def test_layers_that_were_optimised_away_share_the_next_kernel_or_the_last() -> None:
    model = executed(("b", "x", "b_out"))
    assert blocks(chain("dropped", "b", "identity"), model) == [((0, 1, 2), ("b",))]


def test_a_kernel_without_any_trace_of_its_origin_joins_the_kernel_before_it() -> None:
    model = executed(("a", "x", "a_out"), ("mystery", "a_out", "nowhere"))
    assert blocks(chain("a"), model) == [((0,), ("a", "mystery"))]


def test_a_model_whose_kernels_are_all_unknown_is_one_block() -> None:
    assert blocks(chain("a", "b"), executed(("mystery", "x", "y"))) == [((0, 1), ())]
