"""What a kernel's cost follows from, against counts by hand: a factor of 2, 8 or 1000 anywhere shows."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from offload.models.executed import Kernel
from offload.models.operators import Operation
from offload.predictors.features import (
    FEATURES,
    TERMS,
    UNRANGED,
    family_of,
    feature_matrix,
    features,
    is_free,
    paper_variables,
    surroundings,
    terms,
)
from tests.fitted import conv, gemm, plain


def named_terms(kernel: Kernel) -> dict[str, float]:
    return dict(zip(TERMS, terms(kernel), strict=True))


def named_features(kernel: Kernel) -> dict[str, float]:
    return dict(zip(FEATURES, features(kernel, surroundings([kernel], 1e-3)[0]), strict=True))


def test_terms_of_a_convolution() -> None:
    kernel = conv(64, 128, 56, stride=2)
    assert named_terms(kernel) == {
        "operations": 2 * 28 * 28 * 128 * 64 * 9,
        "moved bytes": 4 * (64 * 56 * 56 + 128 * 28 * 28),
        "weight bytes": 4 * (128 * 64 * 9 + 128),
        "weight bytes read again": 0,
        "steps": 0,
        "launch": 1,
        "first call of the operator": 0,
    }
    assert terms(kernel, first_call=True)[-1] == 1


def test_each_step_of_a_recurrent_layer_reads_the_weights_of_its_state_again() -> None:
    steps, features, hidden = 20, 30, 8
    shapes = (steps, 1, features), (2, 4 * hidden, features), (2, 4 * hidden, hidden), (2, 8 * hidden)
    operation = Operation(
        op="LSTM", inputs=shapes, outputs=((steps, 2, 1, hidden),), constant=(False, True, True, True)
    )
    found = named_terms(Kernel(name="r", runs="LSTM", operation=operation, item_bytes=4))
    assert found["weight bytes"] == 4 * 2 * 4 * hidden * (features + hidden + 2)
    assert found["weight bytes read again"] == 4 * (steps - 1) * 2 * 4 * hidden * hidden
    assert found["steps"] == 2 * steps
    assert family_of(Kernel(name="r", runs="LSTM", operation=operation, item_bytes=4)) == "recurrent"


def test_kernels_know_what_of_their_kind_ran_before() -> None:
    kernels = [conv(8, 8, 8), conv(8, 8, 8), plain("Relu", (1, 8, 8, 8)), conv(8, 16, 8), *[conv(8, 8, 8)] * 6]
    found = surroundings(kernels, 1e-3)
    assert [one.calls_before for one in found] == [0, 1, 0, 2, 3, 4, 4, 4, 4, 4]
    assert [one.same_before for one in found] == [0, 1, 0, 0, 2, 3, 4, 4, 4, 4]


def test_terms_of_a_depthwise_convolution() -> None:
    found = named_terms(conv(32, 32, 14, group=32))
    assert found["operations"] == 2 * 14 * 14 * 32 * 9
    assert found["weight bytes"] == 4 * (32 * 9 + 32)


def test_terms_of_a_dense_layer_and_half_precision() -> None:
    found = named_terms(gemm(8, 100, 300))
    assert found["operations"] == 2 * 8 * 100 * 300
    assert found["moved bytes"] == 4 * (8 * 100 + 8 * 300)
    assert found["weight bytes"] == 4 * (100 * 300 + 300)
    half = named_terms(gemm(8, 100, 300, item_bytes=2))
    assert half["operations"] == found["operations"]
    assert half["moved bytes"] == found["moved bytes"] / 2
    assert half["weight bytes"] == found["weight bytes"] / 2


def test_terms_of_a_product_of_activations() -> None:
    kernel = plain("MatMul", (2, 4, 50, 16), (2, 4, 16, 60), to=(2, 4, 50, 60))
    found = named_terms(kernel)
    assert found["operations"] == 2 * 2 * 4 * 50 * 60 * 16
    assert found["moved bytes"] == 4 * 8 * (50 * 16 + 16 * 60 + 50 * 60)
    assert found["weight bytes"] == 0


def test_terms_of_pooling_and_of_an_addition() -> None:
    pool = plain("MaxPool", (1, 8, 20, 20), to=(1, 8, 10, 10), kernel_shape=[3, 3])
    assert named_terms(pool)["operations"] == 8 * 10 * 10 * 9
    assert named_terms(pool)["moved bytes"] == 4 * 8 * (400 + 100)
    add = plain("Add", (1, 8, 20, 20), (1, 8, 20, 20))
    assert named_terms(add)["operations"] == 8 * 400
    assert named_terms(add)["moved bytes"] == 4 * 3 * 8 * 400


def test_an_embedding_reads_the_rows_that_are_looked_up_only() -> None:
    operation = Operation(op="Gather", inputs=((50_000, 64), (1, 10)), outputs=((1, 10, 64),), constant=(True, False))
    kernel = Kernel(name="e", runs="Gather", operation=operation, item_bytes=4)
    assert named_terms(kernel)["weight bytes"] == 4 * 10 * 64
    assert family_of(kernel) == "embedding"


@pytest.mark.parametrize(
    ("kernel", "family"),
    [
        (conv(8, 8, 8), "conv"),
        (conv(8, 8, 8, window=1), "conv pointwise"),
        (conv(8, 8, 8, group=8), "conv depthwise"),
        (conv(8, 8, 8, group=2), "conv grouped"),
        (gemm(1, 8, 8), "linear"),
        (plain("MatMul", (2, 8, 8), (2, 8, 8)), "matmul"),
        (plain("Relu", (1, 8)), "activation"),
        (plain("Softmax", (1, 8)), "softmax"),
        (plain("Concat", (1, 8), (1, 8), to=(1, 16)), "shape concat"),
        (plain("Transpose", (1, 8)), "shape transpose"),
        (plain("GlobalAveragePool", (1, 8, 4, 4), to=(1, 8, 1, 1)), "pool global"),
        (plain("AveragePool", (1, 8, 4, 4), kernel_shape=[2, 2]), "pool"),
        (plain("LRN", (1, 8, 4, 4), size=5), "norm LRN"),
        (plain("Reshape", (1, 8)), "shape free"),
    ],
)
def test_families(kernel: Kernel, family: str) -> None:
    assert family_of(kernel) == family
    assert is_free(kernel) == (family == "shape free")


def test_features_of_a_convolution_by_hand() -> None:
    kernel = conv(64, 128, 56, stride=2)
    found = named_features(kernel)
    flops, moved, weights = 2 * 28 * 28 * 128 * 64 * 9, 4 * (64 * 56 * 56 + 128 * 28 * 28), 4 * (128 * 64 * 9 + 128)
    expected = {
        "batch": 1, "height": 56, "width": 56, "channels in": 64, "channels out": 128, "out height": 28,
        "out width": 28, "kernel height": 3, "kernel width": 3, "stride": 2, "dilation": 1, "groups": 1,
        "item bytes": 4, "operations": flops, "bytes in": 4 * 64 * 56 * 56, "bytes out": 4 * 128 * 28 * 28,
        "weight bytes": weights, "model's bytes": moved + weights,
        "model's weight bytes": weights, "model's largest result": 4 * 128 * 28 * 28, "bytes before": 0,
    }  # fmt: skip
    for name, size in expected.items():
        assert found[name] == pytest.approx(math.log2(1 + size)), name
    assert found["intensity"] == pytest.approx(math.log2((flops + 1) / (moved + weights + 1)))


def test_features_tell_fused_and_blocked_kernels_apart() -> None:
    kernel = conv(8, 8, 8)
    operation = dataclasses.replace(kernel.operation, attributes={**kernel.operation.attributes, "activation": "Relu"})
    fused = dataclasses.replace(kernel, operation=operation)
    assert named_features(fused)["activation"] != named_features(kernel)["activation"]
    unblocked = dataclasses.replace(kernel, runs="FusedConv")
    assert named_features(unblocked)["runs as"] != named_features(kernel)["runs as"]
    added = dataclasses.replace(
        kernel,
        operation=dataclasses.replace(
            kernel.operation,
            inputs=(*kernel.operation.inputs, (1, 8, 8, 8)),
            constant=(*kernel.operation.constant, False),
        ),
    )
    assert named_features(added)["adds"] == named_features(kernel)["adds"] + 1
    assert set(FEATURES) >= UNRANGED


def test_a_matrix_has_a_row_for_each_kernel() -> None:
    kernels = [conv(8, 8, 8), gemm(1, 8, 8), plain("Relu", (1, 8))]
    found = feature_matrix(kernels, surroundings(kernels, 1e-3))
    assert found.shape == (3, len(FEATURES))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert feature_matrix([], []).shape == (0, len(FEATURES))


def test_a_models_bytes_leave_out_what_only_renames() -> None:
    kernels = [gemm(1, 100, 10), plain("Reshape", (1, 10)), plain("Relu", (1, 10))]
    first, _, last = surroundings(kernels, 2e-3)
    bytes_of_the_product = 4 * (100 + 10 + 1000 + 10)
    assert first.bytes_before == first.previous_bytes == 0
    assert last.bytes_before == last.previous_bytes == bytes_of_the_product
    assert last.reference_s == 2e-3
    assert first.model_bytes == last.model_bytes == bytes_of_the_product + 4 * (10 + 10)
    assert last.model_weight_bytes == 4 * (1000 + 10)
    assert last.largest_result_bytes == 4 * 10


def test_the_papers_variables_by_hand() -> None:
    assert paper_variables(conv(64, 128, 56, window=3, stride=2)) == {
        "(filter/stride)² · filters": pytest.approx((3 / 2) ** 2 * 128),
        "input maps": 64 * 56 * 56,
    }
    pool = plain("MaxPool", (1, 8, 20, 20), to=(1, 8, 10, 10), kernel_shape=[2, 2])
    assert paper_variables(pool) == {"input maps": 3200, "output maps": 800}
    assert paper_variables(gemm(1, 4096, 1000)) == {"input neurons": 4096, "output neurons": 1000}
    assert paper_variables(plain("Softmax", (1, 1000))) == {"input neurons": 1000, "output neurons": 1000}
    assert paper_variables(plain("Relu", (1, 8, 20, 20))) == {"neurons": 3200}
    assert paper_variables(plain("LRN", (1, 8, 20, 20), size=5)) == {"neurons": 3200}
