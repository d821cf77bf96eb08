"""`trtexec --exportProfile`: names of fused, reformatted and foreign kernels, and figures that cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from offload import api
from offload.artifacts.profile import Profile
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError
from tests.traced_models import TRTEXEC_PROFILE, two_branches


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "two_branches.onnx"
    path.write_bytes(two_branches().SerializeToString())
    return path


def imported(trace: Path, model: Path, **options: Any) -> Profile:
    request = api.ImportRequest(trace=trace, model=str(model), **options)
    return api.import_trace(request, workspace=Workspace(model.parent))


def groups(profile: Profile) -> dict[str, float]:
    names = [layer.name for layer in profile.graph.layers]
    return {
        " ".join(names[index] for index in group.layers): pytest.approx(group.samples_s[0] * 1e3)
        for group in profile.groups
    }


def test_every_kind_of_name(model: Path) -> None:
    profile = imported(TRTEXEC_PROFILE, model)
    assert groups(profile) == {
        "/conv1/Conv /act1/Relu": 0.22,
        "/left/Conv /right/Conv": 0.3,
        "/act2/Sigmoid /act2/Mul": 0.15,
        "/Add /pool/GlobalAveragePool /Flatten /head/Gemm": 0.33,
    }
    assert profile.whole_s == (pytest.approx(1.0e-3),)
    assert profile.raw_sum_s == pytest.approx(1.0e-3)
    assert profile.unmatched_share == pytest.approx(0.05)
    assert (profile.source, profile.runtime.name, profile.runtime.version) == ("imported", "tensorrt", "unknown")
    assert (profile.runtime.device, profile.imported_from) == ("cuda:0", "trtexec trace trtexec_profile.json")


def test_layers_are_closed_against_a_declared_whole(model: Path) -> None:
    profile = imported(TRTEXEC_PROFILE, model, total_s=2e-3)
    assert (profile.whole_s, profile.profiled_s) == ((2e-3,), (pytest.approx(1e-3),))
    assert profile.group_medians_s.sum() == pytest.approx(2e-3)
    assert profile.time_of(range(len(profile.groups))).value == pytest.approx(2e-3)
    assert profile.raw_sum_s == pytest.approx(1e-3)  # what the trace told is kept


@pytest.mark.parametrize("total_s", [0.0, -1.0, 1e9, float("nan")])
def test_a_whole_that_cannot_be(model: Path, total_s: float) -> None:
    with pytest.raises(OffloadError, match="is not possible"):
        imported(TRTEXEC_PROFILE, model, total_s=total_s)


def test_an_older_trtexec_tells_no_median(model: Path, tmp_path: Path) -> None:
    records = json.loads(TRTEXEC_PROFILE.read_text(encoding="utf-8"))
    for record in records[1:]:
        del record["medianMs"]
    trace = tmp_path / "old.json"
    trace.write_text(json.dumps(records), encoding="utf-8")
    assert imported(trace, model).whole_s == (pytest.approx(1.0032e-3),)


def written(folder: Path, *kernels: tuple[str, object]) -> Path:
    records = [{"count": 1}, *({"name": name, "averageMs": time_ms, "medianMs": time_ms} for name, time_ms in kernels)]
    path = folder / "profile.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def test_a_foreign_node_is_what_is_between_its_ends_and_not_named_otherwise(model: Path, tmp_path: Path) -> None:
    trace = written(tmp_path, ("{ForeignNode[/conv1/Conv.../Add]}", 4), ("/right/Conv", 1), ("/head/Gemm", 1))
    assert groups(imported(trace, model)) == {
        "/right/Conv": 1,
        "/conv1/Conv /act1/Relu /left/Conv /act2/Sigmoid /act2/Mul /Add /pool/GlobalAveragePool /Flatten": 4,
        "/head/Gemm": 1,
    }


def test_a_foreign_node_with_unknown_ends_lies_between_its_neighbours(model: Path, tmp_path: Path) -> None:
    foreign = "{ForeignNode[(Unnamed Layer* 2) [Shuffle]...(Unnamed Layer* 8) [Shuffle]]}"
    trace = written(tmp_path, ("/conv1/Conv", 2), (foreign, 1), ("/head/Gemm", 1))
    assert list(groups(imported(trace, model)).values()) == [2, 1, 1]


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        ([("/conv1/Conv", -1.0)], "/conv1/Conv is -1.0, which is no time"),
        ([("/conv1/Conv", "fast")], "/conv1/Conv is a str, which is no time"),
        ([("/conv1/Conv", None)], "is a NoneType, which is no time"),
        ([("/conv1/Conv", True)], "is a bool, which is no time"),
        ([("/conv1/Conv", 10**400)], "which is no time"),
        ([("/conv1/Conv + /left/Conv + /right/Conv", 0)], "holds no time"),
        ([], "holds no kernel"),
        (
            [("Conv_0", 1), ("Conv_1", 1), ("Conv_2", 1)],
            r"another model than two_branches: it has Conv_0, Conv_1 and 1",
        ),
        ([("/conv1/Conv + /left/Conv + /right/Conv", 1), ("Conv_7", 2)], r"67 % of its time is in what .* \(Conv_7\)"),
        ([("Conv\n_0" * 500, 1)], r"it has Conv _0.* …$"),
        ([("/conv1/Conv", 1)], "of the model's operations are not in it"),
    ],
)
def test_what_cannot_be_imported_is_one_line(
    model: Path, tmp_path: Path, kernels: list[tuple[str, object]], message: str
) -> None:
    with pytest.raises(OffloadError, match=message) as caught:
        imported(written(tmp_path, *kernels), model)
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_record_without_a_name(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text('[{"count": 1}, {"averageMs": 1}]', encoding="utf-8")
    with pytest.raises(OffloadError, match="a record has no name"):
        imported(path, model)
