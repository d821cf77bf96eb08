"""Kinds and costs of single operators, and of whole networks whose counts are published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from offload.errors import OffloadError
from offload.graph.model_graph import LAYER_KINDS
from offload.models.load import graph_of, load_model
from offload.models.operators import _KIND_OF_OP, Operation, flops_of, kind_of
from tests.light_models import light_model_path


def operation(op: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], weights: int = 0, **attributes: object):  # type: ignore[no-untyped-def]
    constant = tuple(index >= len(inputs) - weights for index in range(len(inputs)))
    return Operation(op=op, inputs=tuple(inputs), outputs=(output,), constant=constant, attributes=attributes)


@pytest.mark.parametrize(
    ("node", "kind", "flops"),
    [
        (operation("Conv", [(1, 6, 8, 8), (4, 3, 3, 3), (4,)], (1, 4, 6, 6), 2, group=2), "conv", 2 * 4 * 36 * 27),
        (operation("ConvTranspose", [(1, 6, 8, 8), (6, 4, 2, 2)], (1, 4, 16, 16), 1), "conv", 2 * 6 * 64 * 16),
        (operation("Gemm", [(2, 5), (7, 5), (7,)], (2, 7), 2, transB=1), "linear", 2 * 2 * 5 * 7),
        (operation("Gemm", [(5, 2), (5, 7)], (2, 7), transA=1), "matmul", 2 * 2 * 5 * 7),
        (operation("MatMul", [(3, 2, 5), (3, 5, 7)], (3, 2, 7)), "matmul", 2 * 3 * 2 * 5 * 7),
        (operation("MatMul", [(3, 2, 5), (5, 7)], (3, 2, 7), 1), "linear", 2 * 3 * 2 * 5 * 7),
        (operation("MatMul", [(3, 2, 5), (3, 5, 7)], (3, 2, 7), 1), "local", 2 * 3 * 2 * 5 * 7),
        (operation("MatMul", [(3, 2, 5), (1, 5, 7)], (3, 2, 7), 1), "linear", 2 * 3 * 2 * 5 * 7),
        (operation("Einsum", [(3, 2, 5), (3, 5, 7)], (3, 2, 7), equation="bij,bjk->bik"), "matmul", 2 * 3 * 2 * 5 * 7),
        (operation("Einsum", [(3, 2, 5), (5, 7)], (3, 2, 7), equation="...j,jk->...k"), "matmul", 2 * 3 * 2 * 5 * 7),
        (operation("MaxPool", [(1, 2, 4, 4)], (1, 2, 2, 2), kernel_shape=[2, 2]), "pool", 8 * 4),
        (operation("GlobalAveragePool", [(1, 2, 4, 4)], (1, 2, 1, 1)), "pool", 32),
        (operation("LRN", [(1, 8, 2, 2)], (1, 8, 2, 2), size=5), "norm", 320),
        (operation("Relu", [(1, 10)], (1, 10)), "activation", 10),
        (operation("Add", [(1, 10), (1, 10)], (1, 10)), "elementwise", 10),
        (operation("Sum", [(1, 10)] * 3, (1, 10)), "elementwise", 20),
        (operation("Softmax", [(1, 10)], (1, 10)), "softmax", 50),
        (operation("Transpose", [(1, 10)], (10, 1)), "shape", 0),
        (operation("Resize", [(1, 2, 4, 4)], (1, 2, 8, 8), mode=b"nearest"), "resize", 0),
        (operation("Resize", [(1, 2, 4, 4)], (1, 2, 8, 8), mode=b"linear"), "resize", 2 * 128 * 4),
        (operation("LSTM", [(9, 1, 4), (1, 20, 4), (1, 20, 5)], (9, 1, 1, 5), 2), "recurrent", 9 * (2 * 180 + 160)),
        (operation("Attention", [(1, 2, 6, 4)] * 3, (1, 2, 6, 4)), "attention", 2 * 36 * 21),
        (operation("Attention", [(1, 6, 8)] * 3, (1, 6, 8), q_num_heads=2, kv_num_heads=2), "attention", 2 * 36 * 21),
        (operation("TreeEnsemble", [(1, 2)], (1, 2)), "other", 0),
    ],
    ids=lambda value: value.op if isinstance(value, Operation) else str(value),
)
def test_kind_and_flops(node: Operation, kind: str, flops: int) -> None:
    assert (kind_of(node), flops_of(node)) == (kind, flops)


def test_looking_up_a_table_is_an_embedding() -> None:
    table = Operation(op="Gather", inputs=((1000, 64), (1, 7)), outputs=((1, 7, 64),), constant=(True, False))
    assert kind_of(table) == "embedding"
    moved = Operation(op="Gather", inputs=((1000, 64), (1, 7)), outputs=((1, 7, 64),), constant=(False, False))
    assert kind_of(moved) == "shape"


def test_every_operator_named_exists_and_has_a_known_kind() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    assert set(_KIND_OF_OP) - known == set()
    assert set(_KIND_OF_OP.values()) < set(LAYER_KINDS)


@pytest.mark.parametrize(
    ("name", "giga_macs"), [("resnet50", 4.09), ("inception_v1", 1.43), ("squeezenet", 0.35), ("densenet121", 2.84)]
)
def test_published_counts(name: str, giga_macs: float, tmp_path: Path) -> None:
    graph = load_model(str(light_model_path(name, tmp_path))).graph
    weighted = sum(layer.flops for layer in graph.layers if layer.kind in ("conv", "linear"))
    assert weighted / 2e9 == pytest.approx(giga_macs, rel=0.02)


@pytest.mark.slow
def test_published_count_of_vgg19(tmp_path: Path) -> None:
    graph = load_model(str(light_model_path("vgg19", tmp_path))).graph
    assert graph.flops / 2e9 == pytest.approx(19.6, rel=0.01)


def test_graph_of_bytes_infers_what_is_not_said() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Softmax", ["h"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT16, [2, 3]) for name in "xy"]
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:]))
    graph = graph_of(model.SerializeToString())
    assert graph.tensor_by_name["h"].shape == (2, 3)
    assert graph.tensor_by_name["h"].dtype == np.dtype("float16").name
    assert [layer.name for layer in graph.layers] == ["h", "y"]
    with pytest.raises(OffloadError, match="not an ONNX model"):
        graph_of(b"hello")
