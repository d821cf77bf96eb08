"""Costs as files: damaged and hostile ones end in one line, without a hang and without taking all memory."""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from offload.artifacts.costs import Costs
from offload.artifacts.packed import pack
from offload.errors import OffloadError, UsageError
from offload.models.executed import ExecutedBlock
from offload.predictors.costs import check_costs, predict_kernels, predicted_profile
from tests import synthetic
from tests.fitted import dense_costs, gemm, runtime_identity

Document = dict[str, Any]


def document() -> Document:
    found: Document = json.loads(dense_costs().to_json())
    return found


def load(changed: Document) -> Costs:
    return Costs.from_json(json.dumps(changed), source="costs.json")


def test_costs_come_back_from_their_file_as_they_were() -> None:
    costs = dense_costs()
    again = load(document())
    assert again == costs
    kernels = [gemm(10, 20, 30), gemm(1000, 200, 300)]
    assert predict_kernels(again, kernels) == predict_kernels(costs, kernels)


def packed(*numbers: int) -> str:
    return pack(np.array(numbers), "<i4")


def floats(count: int) -> str:
    return pack(np.zeros(count), "<f4")


def trees(**changes: Any) -> Document:
    """Two nodes' worth of a tree: a root and two leaves, with changes."""
    made = {
        "base": 0.0,
        "starts": packed(0),
        "feature": packed(0, -1, -1),
        "threshold": floats(3),
        "left": packed(1, 1, 2),
        "right": packed(2, 1, 2),
        "value": floats(3),
    }
    return made | changes


def chain(depth: int) -> Document:
    """A tree that goes on and on to the left."""
    inner = np.arange(depth)
    return trees(
        feature=pack(np.append(np.zeros(depth), -1), "<i4"),
        left=pack(np.append(inner + 1, depth), "<i4"),
        right=pack(np.append(np.full(depth, depth), depth), "<i4"),
        threshold=floats(depth + 1),
        value=floats(depth + 1),
    )


def bomb(size: int) -> str:
    return base64.b64encode(zlib.compress(bytes(size), 9)).decode()


TREES: list[tuple[Document, str]] = [
    (trees(left=packed(0, 1, 2)), "lead nowhere"),
    (trees(right=packed(-1, 1, 2)), "lead nowhere"),
    (trees(left=packed(3, 1, 2)), "lead nowhere"),
    (trees(starts=packed(3)), "lead nowhere"),
    (trees(starts=packed(-1)), "lead nowhere"),
    (trees(feature=packed(-2, -1, -1)), "lead nowhere"),
    (trees(feature=packed(255, -1, -1)), "a feature that it does not have"),
    (trees(feature=packed(100_000, -1, -1)), "lead nowhere"),
    (trees(threshold=floats(2)), "without all of their fields"),
    (trees(starts=packed()), "without all of their fields"),
    (trees(feature=packed(), threshold=floats(0), left=packed(), right=packed(), value=floats(0)), "all of their"),
    (trees(value="%%%"), "damaged"),
    (trees(value=packed(0, 0, 0)[:-4]), "damaged"),
    (trees(value=pack(np.array([0.0, 1.0]), "<f4") + "="), "damaged"),
    (trees(starts=pack(np.zeros(10_000), "<i4")), "too large"),
    (trees(value=bomb(40_000_000)), "too large"),
    (chain(1000), "deeper than"),
    (trees(base=1e300), "base"),
]


@pytest.mark.parametrize(("made", "said"), TREES, ids=range(len(TREES)))
def test_what_are_no_trees_is_refused(made: Document, said: str) -> None:
    changed = document()
    changed["families"][0]["trees"] = made
    started = time.monotonic()
    with pytest.raises(OffloadError, match=said) as raised:
        load(changed)
    assert time.monotonic() - started < 20
    assert "\n" not in raised.value.message
    assert raised.value.hint == "make costs with `offload fit`"


def test_a_shallow_tree_is_fine() -> None:
    changed = document()
    for made in (trees(), chain(20)):
        changed["families"][0]["trees"] = made
        assert predict_kernels(load(changed), [gemm(10, 20, 30)])[0].seconds > 0


def _family(name: str, value: Any) -> Callable[[Document], None]:
    def change(changed: Document) -> None:
        changed["families"][0][name] = value

    return change


def _top(name: str, value: Any) -> Callable[[Document], None]:
    def change(changed: Document) -> None:
        changed[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_top("kind", "profile"), "is a profile, not costs"),
        (_top("kind", 7), "not an artifact"),
        (_top("schema_version", 99), "schema_version 99"),
        (_top("families", []), "no family"),
        (_top("networks", 10**30), "networks"),
        (_top("networks", 0), "networks"),
        (_top("measuring_s", -1), "measuring_s"),
        (_top("samples", "nonsense"), "damaged"),
        (_top("samples", pack(np.zeros(7), "<f4")), "number of entries"),
        (_top("samples", bomb(90_000_000)), "too large"),
        (_top("shared_error", 1e9), "shared_error"),
        (_top("features", ["a"] * 300), "features"),
        (_top("runtime", {"name": "onnxruntime"}), "runtime"),
        (_top("precision", "fp7"), "precision"),
        (_top("call", {"per_kernel_s": 0, "per_call_s": 1e31, "empty_calls": 0}), "call.per_call_s"),
        (_top("reference_s", []), "reference_s"),
        (_top("empty_call_s", []), "empty_call_s"),
        (_top("surprise", 1), "surprise"),
        (_family("samples", 10**400), "samples"),
        (_family("form", "magic"), "form"),
        (_family("errors", []), "errors of"),
        (_family("bands", []), "bands"),
        (_family("bands", [{"up_to_s": 1.0, "log_half_width": 1e9}]), "bands"),
        (_family("trend", [-1.0, 0, 0, 0]), "trend"),
        (_family("coverage", 1.5), "coverage"),
        (_family("trees", None), "trees"),
        (_family("power_w", -3), "power_w"),
    ],
)
def test_a_file_with_what_cannot_be_true_is_one_line(change: Callable[[Document], None], said: str) -> None:
    changed = document()
    changed["families"][0]["form"] = "ensemble"
    change(changed)
    with pytest.raises(OffloadError, match=said) as raised:
        load(changed)
    assert "\n" not in raised.value.message


def test_a_file_that_ends_early_or_holds_nan_is_one_line() -> None:
    text = dense_costs().to_json()
    for damaged in (
        text[: len(text) // 2],
        "",
        "[]",
        "NaN",
        text.replace('"shared_error": ', '"shared_error": NaN, "x": '),
    ):
        with pytest.raises(OffloadError):
            Costs.from_json(damaged, source="costs.json")
    with pytest.raises(OffloadError, match="damaged"):
        Costs.from_json("[" * 100_000, source="costs.json")


def test_families_of_the_same_name_are_refused() -> None:
    changed = document()
    changed["families"] *= 2
    with pytest.raises(OffloadError, match="one twice"):
        load(changed)


def test_a_bomb_in_every_family_does_not_take_all_memory() -> None:
    changed = document()
    nodes = 800_000
    leaves = pack(np.full(nodes, -1), "<i4")
    wide = trees(feature=leaves, left=leaves, right=leaves, threshold=floats(nodes), value=floats(nodes))
    changed["families"] = [changed["families"][0] | {"family": f"f{n}", "trees": wide} for n in range(40)]
    with pytest.raises(OffloadError, match="larger than any"):
        load(changed)


@pytest.mark.parametrize(
    ("changes", "precision", "said", "hint"),
    [
        ({"threads": 2}, "fp32", "number of threads 1, not 2", "--threads 1, or fit again: offload fit --threads 2"),
        ({"device": "cuda:0"}, "fp32", "device cpu, not cuda:0", "--device cpu"),
        ({"name": "torch"}, "fp32", "runtime onnxruntime, not torch", "--runtime onnxruntime"),
        ({}, "fp16", "precision fp32, not fp16", "--dtype fp32"),
    ],
)
def test_costs_of_something_else_are_refused(changes: dict[str, Any], precision: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        check_costs(dense_costs(), runtime_identity(**changes), precision)
    assert hint in raised.value.hint


def test_another_version_of_the_runtime_is_no_error() -> None:
    check_costs(dense_costs(), runtime_identity(version="0.1"), "fp32")


@pytest.mark.parametrize(
    "change",
    [
        _top("features", ["another feature"]),
        _family("trend", [1e-9]),
        _family("trend", []),
        _family("paper", []),
    ],
)
def test_costs_over_other_features_are_refused_before_they_are_used(change: Callable[[Document], None]) -> None:
    changed = document()
    changed["families"][0] |= {"form": "trend", "trees": None}
    change(changed)
    with pytest.raises(OffloadError, match="described kernels in another way") as raised:
        check_costs(load(changed), runtime_identity(), "fp32")
    assert "offload fit" in raised.value.hint


def profile_from(costs: Costs) -> None:
    graph = synthetic.chain((10, 10), (1000,))
    blocks = [ExecutedBlock(layers=(0,), kernels=(gemm(50, 50, 50),))]
    predicted_profile(graph, synthetic.identity(), runtime_identity(), costs, blocks)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_family("trend", [1e12] * 7), "cannot be true"),
        (_top("call", {"per_kernel_s": 1e29, "per_call_s": 0, "empty_calls": 0}), "cannot be true"),
        (
            _family(
                "paper",
                [{"variables": ["magic"], "constant": 0, "slopes": [1], "logarithmic": form} for form in (False, True)],
            ),
            "over variables",
        ),
    ],
)
def test_costs_that_tell_what_cannot_be_true_are_refused(change: Callable[[Document], None], said: str) -> None:
    changed = document()
    changed["families"][0] |= {"form": "trend", "trees": None}
    change(changed)
    with pytest.raises(OffloadError, match=said):
        profile_from(load(changed))


def test_the_widest_interval_still_is_a_profile() -> None:
    changed = document()
    changed["families"][0]["bands"] = [{"up_to_s": 1e9, "log_half_width": 50.0}]
    profile_from(load(changed))
