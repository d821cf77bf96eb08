"""`offload import` as it is typed, what `offload plan` makes of it, and every file that is refused in one line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from offload import api
from offload.artifacts.plan import Plan
from offload.artifacts.profile import Profile
from offload.profilers.imports import document
from tests.cli.conftest import Outcome, Run
from tests.traced_models import TRTEXEC_PROFILE, onnxruntime_trace, two_branches


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "two_branches.onnx"
    path.write_bytes(two_branches().SerializeToString())
    return path


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return onnxruntime_trace(two_branches(), tmp_path)


def refused(outcome: Outcome, code: int = 1) -> str:
    """The error of a command that ended as one line with a hint, with nothing on stdout."""
    assert (outcome.code, outcome.out) == (code, ""), outcome.err
    assert outcome.hint
    assert "Traceback" not in outcome.err
    return outcome.error


def test_import_passes_on_every_option(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.touch()
    seen = []

    def refuse(request: api.ImportRequest, **_: object) -> Profile:
        seen.append(request)
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "import_trace", refuse)
    outcome = run(
        *("import", "t.json", "alexnet", "--tool", "torch", "--device", "nano", "--threads", "3", "--batch", "2"),
        *("--input", "x=1x3x8x8", "--weights", str(weights), "--total", "12.5ms"),
    )
    assert outcome.code == 130
    assert seen == [
        api.ImportRequest(
            trace=Path("t.json"), model="alexnet", tool="torch", device="nano", threads=3, batch=2,
            inputs={"x": (1, 3, 8, 8)}, weights=weights, total_s=0.0125,
        )
    ]  # fmt: skip


def test_an_imported_profile_is_planned_with_on_both_sides(run: Run, model: Path, trace: Path, tmp_path: Path) -> None:
    device, server, plan = tmp_path / "device.json", tmp_path / "server.json", tmp_path / "plan.json"
    first = run("import", str(trace), str(model), "--device", "raspberry-pi", "-o", str(device))
    assert first.code == 0, first.err
    assert f"on raspberry-pi (1 thread, onnxruntime, imported from onnxruntime trace {trace.name})" in first.out
    assert "another tool's times, not measured again here" in first.out
    assert "does not tell what dividing the model costs" in first.out
    assert "3 runs, after 1 that was left out as warm-up" in first.out
    assert f"next: offload plan --profile {device} --bw 450mbps" in first.err
    second = run("import", str(TRTEXEC_PROFILE), str(model), "--total", "1.2ms", "-o", str(server))
    assert second.code == 0, second.err
    assert "whole, declared: what plans take" in second.out
    assert "one sample a layer, so no interval is known" in second.out
    assert "the trace does not tell the engine's precision" in second.out
    planned = run("plan", "--profile", str(device), "--server", str(server), "--bw", "100gbps", "-o", str(plan))
    assert planned.code == 0, planned.err
    assert "device: raspberry-pi, 1 thread, imported" in planned.out
    found, profile = Plan.load(plan), Profile.load(device)
    assert (found.device.source, found.server.source) == ("imported", "imported")
    assert found.device_only.breakdown.device_s.value == pytest.approx(profile.raw_sum_s)
    assert found.server_only.breakdown.server_s.value == pytest.approx(1.2e-3)


def plan_of(run: Run, device: tuple[str, ...], server: tuple[str, ...], model: Path, folder: Path) -> Path:
    """A plan whose two profiles were imported with these arguments."""
    for name, arguments in (("device", device), ("server", server)):
        assert run("import", *arguments, str(model), "-o", str(folder / f"{name}.json")).code == 0
    plan = folder / "plan.json"
    files = ("--profile", str(folder / "device.json"), "--server", str(folder / "server.json"))
    assert run("plan", *files, "--bw", "1gbps", "-o", str(plan)).code == 0
    return plan


@pytest.mark.parametrize("name", ["tensorrt on cuda:0", "onnxruntime on raspberry-pi"])
def test_a_plan_for_a_device_that_is_not_here_is_not_verified(
    run: Run, model: Path, trace: Path, tmp_path: Path, name: str
) -> None:
    device = (str(TRTEXEC_PROFILE),) if "tensorrt" in name else (str(trace), "--device", "raspberry-pi")
    plan = plan_of(run, device, (str(trace),), model, tmp_path)
    message = refused(run("verify", str(plan)))
    assert message == f"the plan's device times are imported, of {name}, which cannot be executed here"


def test_a_plan_with_imported_times_is_verified_on_the_embedded_server_and_said_to_be(
    run: Run, model: Path, trace: Path, tmp_path: Path
) -> None:
    plan = plan_of(run, (str(trace),), (str(TRTEXEC_PROFILE),), model, tmp_path)
    outcome = run("verify", str(plan), "--requests", "3", "--tolerance", "100000%")
    assert outcome.code in (0, 4), outcome.err
    for words in ("device times are imported (onnxruntime on cpu)", "server times are imported (tensorrt on cuda:0)"):
        assert words in " ".join(outcome.out.split())


def test_stdout_and_the_workspace(run: Run, model: Path, trace: Path, home: Path) -> None:
    piped = run("import", str(trace), str(model), "-o", "-")
    assert json.loads(piped.out)["source"] == "imported"
    assert run("import", str(trace), str(model), "--format", "csv").out.startswith("layers,kind,")
    assert len(list(home.glob("two_branches-*.profile.json"))) == 1


def packed_and_cut(good: bytes) -> bytes:
    return gzip.compress(good, mtime=0)[:-20]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no trace, or not a whole one"),
        (b'[\n{"cat" : "Session", "dur" :3', "is no trace, or not a whole one"),
        (b"\xff\xfe\x00", "is no trace, or not a whole one"),
        (b"[" * 200_000, "is no trace, or not a whole one"),
        (b'[{"count": NaN}]', "NaN is not JSON"),
        (b"{}", "is JSON, but no trace that can be imported"),
        (b"[]", "is JSON, but no trace that can be imported"),
        (b"3", "is JSON, but no trace that can be imported"),
        (b'{"kind": "profile"}', "is JSON, but no trace that can be imported"),
        (b'{"traceEvents": []}', "holds no operator"),
        (b'[{"count": 3}]', "holds no kernel"),
        (b'[{"cat": "Session", "name": "session_initialization"}]', "holds no run of the model"),
        (b'[{"cat": "Session", "name": ["model_run"]}, 7, null]', "holds no run of the model"),
        (b'[{"count": 1}, 7]', "a record has no name"),
        (packed_and_cut(b'{"traceEvents": []}' * 99), "cannot be read"),
    ],
)
def test_files_that_are_no_trace(run: Run, model: Path, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    spec = "mnist" if b"traceEvents" in content else str(model)
    assert message in refused(run("import", str(path), spec))


def test_a_folder_a_missing_file_and_too_large_ones(
    run: Run, model: Path, trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cannot be read" in refused(run("import", str(tmp_path), str(model)))
    assert "is not there" in refused(run("import", str(tmp_path / "none.json"), str(model)))
    monkeypatch.setattr(document, "MOST_BYTES", 1024**2)
    bomb = tmp_path / "bomb.json.gz"
    bomb.write_bytes(gzip.compress(b" " * (1024**2 + 1)))
    assert "holds more than 1 MiB" in refused(run("import", str(bomb), str(model)))
    (tmp_path / "large.json").write_bytes(b" " * (1024**2 + 1))
    assert "holds more than 1 MiB" in refused(run("import", str(tmp_path / "large.json"), str(model)))


def test_what_is_asked_wrongly(run: Run, model: Path, trace: Path, tmp_path: Path) -> None:
    wrong_tool = run("import", str(trace), str(model), "--tool", "trtexec")
    assert "is a trace of onnxruntime, not of trtexec" in refused(wrong_tool)
    assert "another model than mnist" in refused(run("import", str(trace), "mnist"))
    assert "there is no model 'nothing'" in refused(run("import", str(trace), "nothing"))
    assert "--device is no name" in refused(run("import", str(trace), str(model), "--device", " "), code=2)
    assert "4096 is not possible" in refused(run("import", str(trace), str(model), "--threads", "4096"), code=2)
    (tmp_path / "torch.json").write_text('{"traceEvents": []}', encoding="utf-8")
    not_a_module = run("import", str(tmp_path / "torch.json"), str(model))
    assert "is a trace of torch, whose operators are a module's" in refused(not_a_module)
    assert "package.module:callable" in not_a_module.hint
    twice = run("import", str(trace), str(model), "--input", "x=1x3x16x16", "--input", "x=1x3x16x16")
    assert "names the same input twice" in refused(twice, code=2)
