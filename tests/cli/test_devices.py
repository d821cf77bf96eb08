"""Presets, calibration and the reproduction from the command line, and what each refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from offload.artifacts.plan import Plan
from offload.artifacts.preset import CalibratedPreset
from offload.artifacts.profile import Profile
from offload.artifacts.reproduction import Reproduction
from tests.cli.conftest import ROOT, Run

pytestmark = pytest.mark.usefixtures("shared_exports")
PRESETS = (
    *("tegra-k1-cpu", "tegra-k1-gpu", "jetson-nano", "jetson-tx2", "raspberry-pi-4", "pixel-4-cpu", "tesla-k40"),
    *("p100-pcie", "titan-x-pascal", "titan-v", "t4", "a100-40gb", "h100-sxm", "h200-sxm"),
)


def test_devices_are_listed(run: Run) -> None:
    for form in ("table", "md", "csv"):
        listed = run("devices", "--format", form)
        assert listed.code == 0
        for name in PRESETS:
            assert name in listed.out
    records = json.loads(run("devices", "--json").out)
    assert {record["name"]: record["peak_flops_per_s"] for record in records}["tesla-k40"] == 4.29e12
    assert all(record["source"] and record["launch_source"] for record in records)


def test_a_profile_is_told_from_a_preset_and_planned_on_both_sides(run: Run, tmp_path: Path) -> None:
    made = run("profile", "senna_pos", "--predict", "tegra-k1-cpu", "-o", str(tmp_path / "device.json"))
    assert made.code == 0
    assert "assumed from the preset tegra-k1-cpu" in made.out
    assert "not measured" in made.out
    profile = Profile.load(tmp_path / "device.json")
    assert (profile.source, profile.power_w, profile.idle_power_w) == ("assumed", 7.0, None)
    powers = ("--power", "3W", "--idle-power", "1W")
    assert run("profile", "senna_pos", "--predict", "tegra-k1-cpu", *powers, "--batch", "28").code == 0
    planned = run(
        "plan", "--server", "tesla-k40", "--bw", "1mbps", "--target", "energy", "-o", str(tmp_path / "plan.json")
    )
    assert planned.code == 0, planned.err
    assert "(assumed)" in planned.err
    plan = Plan.load(tmp_path / "plan.json")
    assert plan.device.preset == "tegra-k1-cpu"
    assert [warning for warning in plan.warnings if "the device's times are assumed" in warning]
    assert plan.model.batch == 28


def test_dry_run_says_that_nothing_runs(run: Run) -> None:
    said = run("profile", "senna_pos", "--predict", "t4", "--dry-run")
    assert said.code == 0
    assert "running nothing" in said.out


def test_a_calibrated_preset_predicts_and_serves(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "calibrated.json"
    made = run("calibrate", "tegra-k1-gpu", "--latency", "senna_pos=0.9ms", "-o", str(path))
    assert made.code == 0, made.err
    assert "tegra-k1-gpu scaled to known latencies" in made.out
    calibrated = CalibratedPreset.load(path)
    assert calibrated.form == "single"
    assert run("profile", "senna_pos", "--predict", str(path)).code == 0
    told = run("profile", "senna_pos", "--predict", str(path), "-o", "-")
    assert Profile.from_json(told.out, source="it").whole.value == pytest.approx(0.9e-3)
    planned = run("plan", "--server", str(path), "--bw", "5mbps", "--json")
    assert planned.code == 0, planned.err
    assert json.loads(planned.out)["server"]["preset"] == "tegra-k1-gpu-calibrated"
    for form in ("csv", "md", "json"):
        assert run("calibrate", "t4", "--latency", "senna_pos=0.9ms", "--format", form).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("calibrate", "k99", "--latency", "alexnet=80ms"), "there is no preset 'k99'"),
        (("calibrate", "t4", "--latency", "nosuch=80ms"), "there is no model 'nosuch'"),
        (("calibrate", "t4", "--latency", "senna_pos=0ms"), "nothing takes no time"),
        (("calibrate", "t4", "--latency", "senna_pos=-3ms"), "must be finite and zero or more"),
        (("calibrate", "t4", "--latency", "senna_pos=100000h"), "senna_pos=3.6e+08s cannot be what one run takes"),
        (("calibrate", "t4", "--latency", "senna_pos=fast"), "is not a duration"),
        (("calibrate", "t4", "--latency", "senna_pos=80"), "has no unit"),
        (("calibrate", "t4", "--latency", "senna_pos"), "not a model and a time"),
        (("calibrate", "t4", "--latency", "senna_pos=1ns"), "cannot be: at the published peak"),
        (("calibrate", "t4", "--latency", "senna_pos=1ms", "--latency", "senna_pos=2ms"), "names senna_pos twice"),
        (("calibrate", "t4", "--latency", "senna_pos=1ms", "--latency", "senna_chk=90ms"), "contradicts the others"),
        (("profile", "senna_pos", "--predict", "t5"), "--predict t5: no such file, and not a preset"),
        (("profile", "senna_pos", "--predict", "t4", "--on", "host:1"), "--on measures, --predict runs nothing"),
        (("profile", "senna_pos", "--predict", "t4", "--meter", "nvml"), "--meter measures, --predict runs nothing"),
        (("profile", "senna_pos", "--predict", "t4", "--power", "1W", "--idle-power", "2W"), "is above --power"),
        (
            ("profile", "senna_pos", "--predict", "t4", "--device", "cuda"),
            "--device cuda does not go with --predict t4",
        ),
        (("profile", "senna_pos", "--predict", "t4", "--dtype", "fp16"), "--dtype fp16 does not go with --predict t4"),
        (("profile", "senna_pos", "--predict", "t4", "--threads", "4"), "--threads 4 does not go with --predict t4"),
        (("reproduce", "neurosurgeon", "--network", "resnet50"), "--network resnet50 is none of the paper's"),
        (("reproduce", "elf"), "'elf'"),
    ],
)
def test_what_cannot_be_is_one_line(run: Run, arguments: tuple[str, ...], said: str) -> None:
    ended = run(*arguments)
    assert ended.code in (1, 2)
    assert said in ended.error
    assert "\n" not in ended.error
    assert ended.out == ""


def test_a_file_of_another_kind_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    assert run("profile", "senna_pos", "--predict", "t4", "-o", str(path)).code == 0
    refused = run("profile", "senna_pos", "--predict", str(path))
    assert refused.error == f"--predict {path}: the file is a profile, neither costs nor a preset"
    assert "offload fit" in refused.hint
    assert "offload calibrate" in refused.hint
    assert f"--predict {tmp_path}: not a file, and" in run("profile", "senna_pos", "--predict", str(tmp_path)).error
    damaged = tmp_path / "damaged.json"
    damaged.write_text('{"kind": "preset", "schema_version": 1}', encoding="utf-8")
    assert "is damaged at" in run("profile", "senna_pos", "--predict", str(damaged)).error


@pytest.mark.parametrize("target", ["latency", "energy"])
def test_the_reproduction_runs_from_end_to_end(run: Run, tmp_path: Path, target: str) -> None:
    path = tmp_path / "reproduction.json"
    networks = ("--network", "POS", "--network", "mnist")
    made = run("reproduce", "neurosurgeon", "--target", target, *networks, "--format", "md", "-o", str(path))
    assert made.code == 0, made.err
    found = Reproduction.load(path)
    assert [(cell.device, cell.radio, cell.label) for cell in found.cells[:3]] == [
        ("CPU", "wifi", "DIG"), ("CPU", "wifi", "POS"), ("CPU", "lte", "DIG"),
    ]  # fmt: skip
    assert len(found.cells) == 12
    for one in found.cells:
        assert one.mincut.cost <= one.chosen.cost * (1 + 1e-9)
        assert one.chosen.cost <= min(one.maui.cost, one.server_only.cost, one.device_only.cost) * (1 + 1e-9)
        assert (one.reason == "") == (one.agrees is not False)
    assert {each.source for each in found.parameters if "whole" in each.name} != {""}
    assert any("calibrated to the networks asked for alone" in note for note in found.notes)
    if target == "latency":
        assert found.ours.speedup_mean is not None
        assert found.variants[0].agree == sum(bool(one.agrees) for one in found.cells)
        assert f"{found.variants[0].agree} of 12 as published" in made.out
        assert "3.10×" in made.out
    else:
        assert found.ours.saving_mean is not None
        assert not found.variants
        assert "59.5 %" in made.out
    assert len(run("reproduce", "neurosurgeon", *networks, "--format", "csv").out.splitlines()) == 13


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_as_many_cells_are_as_published_as_the_readme_says(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "reproduction.json"
    assert run("reproduce", "neurosurgeon", "-o", str(path)).code == 0
    found = Reproduction.load(path)
    agree, of = sum(cell.agrees is True for cell in found.cells), len(found.cells)
    assert f"({agree} of {of} are the same)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(cell.reason for cell in found.cells if not cell.agrees)
    assert all(cell.mincut.point == cell.chosen.point for cell in found.cells), "chains have no cuts but prefixes"
