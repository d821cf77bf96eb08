"""`offload codec bench`, and what plans and verifications make of it, on a network that comes trained."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import pytest

from offload import api
from offload.artifacts.codec_bench import CodecBench
from offload.artifacts.plan import Plan
from offload.artifacts.profile import Profile
from offload.artifacts.verification import Verification
from offload.artifacts.workspace import Workspace
from tests import codec_benches, synthetic
from tests.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("shared_exports")
QUICK = ("digits_resnet", "--data", "digits-in-clutter", "--quick", "--no-train", "--threads", "1")


def newest(kind: type[CodecBench]) -> CodecBench:
    found = Workspace().newest(kind)
    assert found is not None
    return found[1]


def test_bench_plan_and_verify(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "sizes.png"
    outcome = run(
        *("codec", "bench", *QUICK, "--at", "input,avgpool", "--codecs", "webp,int8,uint8", "--examples", "40"),
        *("--bw", "20mbps", "--picture", str(picture), "--format", "csv"),
    )
    assert outcome.code == 0, outcome.err
    assert "next: offload plan --planner deepcod" in outcome.err
    assert picture.stat().st_size > 1000
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    methods = {(row["layer"], row["method"]) for row in rows}
    assert ("input", "WebP 5") in methods
    assert ("avgpool", "int8+zstd") in methods
    assert ("avgpool", "as it is") in methods
    assert ("fc", "send the answer") in methods
    assert not any(layer == "avgpool" and method.startswith("WebP") for layer, method in methods)
    by_method = {(row["layer"], row["method"]): row for row in rows}
    pixels = by_method["input", "uint8"]
    assert float(pixels["mean_bytes"]) == 3 * 64 * 64 + 4
    assert float(pixels["accuracy_change"]) == 0
    assert float(pixels["of_uint8_input"]) == pytest.approx(1, rel=1e-3)
    assert float(by_method["avgpool", "as it is"]["transfer_s"]) == pytest.approx(128 * 4 * 8 / 20e6, rel=1e-6)
    bench = newest(CodecBench)
    assert len(bench.intact_errors) == 40
    assert bench.intact_accuracy > 0.8

    outcome = run("profile", "digits_resnet", "--threads", "1", "--max-time", "1s")
    assert outcome.code == 0, outcome.err
    measured = Workspace().newest(Profile)
    assert measured is not None
    profile = str(measured[0])
    outcome = run(
        *("plan", "--planner", "deepcod", "--bw", "1mbps", "--server", profile, "--pin", "fc=server"),
        *("--max-accuracy-loss", "5%", "-o", str(tmp_path / "plan.json")),
    )
    assert outcome.code == 0, outcome.err
    assert "took the newest bench" in outcome.err
    plan = Plan.load(tmp_path / "plan.json")
    assert plan.chosen.coding is not None  # 512 B as they are take 4 ms, some 100 B of int8 less than 1 ms
    assert "Before you rely on this" not in outcome.out or "accuracy" in outcome.out
    outcome = run(
        *("verify", str(tmp_path / "plan.json"), "--requests", "5"),
        *("--data", "digits-in-clutter", "--samples", "20"),
    )
    assert outcome.code in (0, 4), outcome.err  # the machine decides whether the latency is within tolerance
    found = Workspace().newest(Verification)
    assert found is not None
    assert found[1].chosen.accuracy is not None


def test_a_bench_of_a_task_that_the_data_do_not_tell_themselves(run: Run, tmp_path: Path) -> None:
    outcome = run(
        *("codec", "bench", "tests.tiny_training:net", "--input", "image=1x3x16x16"),
        *("--data", "tests.tiny_training:data", "--task", "detection", "--no-train", "--quick"),
        *("--at", "conv1", "--codecs", "fp16,int4", "--examples", "10", "-o", str(tmp_path / "b.json")),
    )
    assert outcome.code == 0, outcome.err
    bench = CodecBench.load(tmp_path / "b.json")
    assert bench.task == "detection"
    assert bench.intact_accuracy == 1  # it is what answers are compared with
    fine, coarse = (next(row for row in bench.rows if row.codec == codec) for codec in ("fp16", "int4+zstd"))
    assert bench.accuracy(coarse) < bench.accuracy(fine) < 1


def test_codecs_are_for_the_planner_that_chooses_them(run: Run, tmp_path: Path) -> None:
    for option in (("--codecs", "webp"), ("--max-accuracy-loss", "1%"), ("--min-accuracy", "90%")):
        outcome = run("plan", "--bw", "1mbps", "--profile", profile_file(tmp_path), *option)
        assert outcome.code == 2
        assert "add --planner deepcod" in outcome.err


def test_no_more_than_all_of_the_accuracy_can_be_lost(run: Run, tmp_path: Path) -> None:
    given = ("plan", "--bw", "1mbps", "--profile", profile_file(tmp_path), "--planner", "deepcod")
    for share in ("100.1%", "200%"):
        outcome = run(*given, "--max-accuracy-loss", share)
        assert outcome.code == 2
        assert f"--max-accuracy-loss {share}: " in outcome.error
        assert outcome.hint
    for share in ("0%", "100%"):
        assert "no bench of codecs" in run(*given, "--max-accuracy-loss", share).error


def profile_file(tmp_path: Path) -> str:
    path = tmp_path / "device.profile.json"
    path.write_text(synthetic.profile().to_json())
    return str(path)


def test_a_plan_without_a_bench_says_how_to_make_one(run: Run, tmp_path: Path) -> None:
    outcome = run("plan", "--bw", "1mbps", "--profile", profile_file(tmp_path), "--planner", "deepcod")
    assert outcome.code == 1
    assert "no bench of codecs for toy" in outcome.err
    assert "offload codec bench toy --data DATA" in outcome.err


def test_an_accuracy_that_nothing_reaches_is_a_verdict(run: Run, tmp_path: Path) -> None:
    device = synthetic.profile()
    bench = codec_benches.bench(device, (codec_benches.row(device.graph.tensors[1]),))
    (tmp_path / "b.json").write_text(bench.to_json())
    profile = profile_file(tmp_path)
    outcome = run(
        *("plan", "--bw", "1mbps", "--profile", profile, "--server", profile, "--planner", "deepcod"),
        *("--bench", str(tmp_path / "b.json"), "--min-accuracy", "99%"),
    )
    assert outcome.code == 4
    assert "the intact model reaches 75.0%" in outcome.err
    assert "int8 zstd reaches most, 75.0%" in outcome.err


@pytest.mark.parametrize("threads", [1, 4])
def test_encoders_that_were_not_timed_on_the_profiled_device_are_told_of(
    run: Run, tmp_path: Path, threads: int
) -> None:
    device = synthetic.profile()
    runtime = dataclasses.replace(device.runtime, threads=threads)
    bench = codec_benches.bench(device, (codec_benches.row(device.graph.tensors[1]),), runtime=runtime)
    (tmp_path / "b.json").write_text(bench.to_json())
    profile = profile_file(tmp_path)
    outcome = run(
        *("plan", "--bw", "1mbps", "--profile", profile, "--server", profile, "--planner", "deepcod", "--json"),
        *("--bench", str(tmp_path / "b.json"), "-o", str(tmp_path / "plan.json")),
    )
    assert outcome.code == 0, outcome.err
    told = [warning for warning in Plan.load(tmp_path / "plan.json").warnings if "encoders count" in warning]
    assert len(told) == (threads != device.runtime.threads)


def test_a_bench_of_another_model_is_refused(run: Run, tmp_path: Path) -> None:
    other = synthetic.profile(model=synthetic.identity(hash="b" * 64))
    bench = codec_benches.bench(other, (codec_benches.row(other.graph.tensors[1]),))
    (tmp_path / "b.json").write_text(bench.to_json())
    outcome = run(
        "plan",
        "--bw",
        "1mbps",
        "--profile",
        profile_file(tmp_path),
        "--planner",
        "deepcod",
        "--bench",
        str(tmp_path / "b.json"),
    )
    assert outcome.code == 1
    assert "the codecs' bench is of toy (bbbbbbbbbbbb)" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing", "--data", "digits-in-clutter"), "there is no model 'nothing'"),
        (("digits_resnet", "--data", "nothing"), "there are no data 'nothing'"),
        ((*QUICK, "--at", "stage1.conv1"), ""),
        ((*QUICK, "--at", "nowhere"), "--at nowhere"),
        ((*QUICK, "--bw", "5"), "5"),
        ((*QUICK, "--examples", "0"), "--examples"),
        ((*QUICK, "--codecs", "gzip"), "gzip"),
    ],
)
def test_bad_input_is_one_line(run: Run, arguments: tuple[str, ...], told: str) -> None:
    outcome = run("codec", "bench", *arguments)
    if not told:  # a cut at which two tensors cross
        told = "tensors cross there"
    assert outcome.code in (1, 2)
    assert told in outcome.err
    assert "Traceback" not in outcome.err


def test_the_request_is_passed_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    device = synthetic.profile()
    bench = codec_benches.bench(device, (codec_benches.row(device.graph.tensors[1]),))

    def answer(request: api.CodecBenchRequest, **_: object) -> CodecBench:
        seen.append(request)
        return bench

    monkeypatch.setattr(api, "bench_codecs", answer)
    outcome = run(
        *("codec", "bench", "m", "--data", "d", "--at", "a,b", "--at", "c", "--codecs", "webp,int8", "--seeds", "3"),
        *("--examples", "50", "--threads", "2", "--bw", "8mbps", "--input", "x=1x3x8x8"),
        *("--task", "regression"),
    )
    assert outcome.code == 0, outcome.err
    assert seen == [
        api.CodecBenchRequest(
            model="m", data="d", task="regression", at=("a", "b", "c"), codecs=("webp", "int8"), seeds=3, examples=50,
            threads=2, uplink_bps=8e6, inputs={"x": (1, 3, 8, 8)},
        )
    ]  # fmt: skip
