"""`offload video train-predictor`, through the real command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from offload.training import proposal_predictor
from offload.training.recipes import proposal_predictor as recipe
from offload.video.proposals.catalogue import PREDICTORS, make_predictor
from offload.video.proposals.lstm import AttentionLstm
from offload.video.recording import Recorder
from offload.video.truth import FrameTruth, GroundTruth, write_truth
from tests.cli.conftest import Outcome, Run

WIDTH, HEIGHT, FRAMES = 192, 128, 30


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal_predictor, "STEPS", 20)
    monkeypatch.setattr(proposal_predictor, "BATCH", 32)


def clip(path: Path, *, frames: int = FRAMES, objects: int = 3, truth: Path | None = None) -> Path:
    """Objects that go straight on over nothing at all, and the truth about them."""
    with Recorder(path, width=WIDTH, height=HEIGHT, fps=15) as recorder:
        for _ in range(frames):
            recorder.add(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    told = tuple(
        FrameTruth.of(
            [((10.0 + 2 * at, 5.0 + 18 * row, 40.0 + 2 * at, 21.0 + 18 * row), 0, row, 1.0) for row in range(objects)]
        )
        for at in range(frames)
    )
    where = truth or path.with_name(f"{path.stem}.truth.json")
    write_truth(GroundTruth(classes=("it",), frames=told), where, {}, width=WIDTH, height=HEIGHT)
    return path


def check_refused(outcome: Outcome, code: int = 1) -> str:
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert outcome.hint
    return outcome.error


def test_train_on_clips_and_judge(run: Run, home: Path, tmp_path: Path) -> None:
    one, other = clip(tmp_path / "one.mp4"), clip(tmp_path / "other.mp4", objects=6)
    outcome = run("video", "train-predictor", str(one), str(other), "--seed", "5")
    assert outcome.code == 0, outcome.err
    (path,) = (home / "predictors").iterdir()
    assert f"written to {path}" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("next: offload profile ")
    for name in (*PREDICTORS, "trained now"):
        assert name in outcome.out
    made = make_predictor(str(path))
    assert isinstance(made, AttentionLstm)
    assert made.weights.recipe["source"] == "one.mp4, other.mp4"
    assert made.weights.recipe["seed"] == 5
    assert made.weights.sha256[:12] in outcome.out
    again = run("video", "train-predictor", str(one), str(other), "--seed", "5", "--json")
    assert again.code == 0, again.err
    assert [each.name for each in (home / "predictors").iterdir()] == [path.name]
    records = json.loads(again.out)
    assert len(records) == 2 * (len(PREDICTORS) + 1)
    exact = {record["predictor"]: record for record in records if record["noise"] == 0}
    assert exact["hold"]["mean_iou"] == pytest.approx(28 / 32)
    assert exact["linear"]["mean_iou"] > 0.99
    assert exact["linear"]["examples"] == 3 * (FRAMES - 1)  # of 3 and 6 objects the first, and the sixth
    assert exact["hold"]["coverage_0"] < exact["hold"]["coverage_0.1"] == 1


def test_truth_and_output_are_named(run: Run, tmp_path: Path) -> None:
    made = clip(tmp_path / "clip.mp4", truth=tmp_path / "elsewhere.json")
    output = tmp_path / "made.safetensors"
    arguments = ("video", "train-predictor", str(made), "--truth", str(tmp_path / "elsewhere.json"), "-o", str(output))
    outcome = run(*arguments, "--format", "csv")
    assert outcome.code == 0, outcome.err
    assert {row["predictor"] for row in csv.DictReader(io.StringIO(outcome.out))} == {*PREDICTORS, "trained now"}
    before = output.read_bytes()
    assert "is there already" in check_refused(run(*arguments, "--seed", "1"))
    assert output.read_bytes() == before
    assert run(*arguments, "--seed", "1", "--force").code == 0
    assert output.read_bytes() != before


def test_without_clips_it_learns_from_made_ones(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WIDTH", 640), ("HEIGHT", 360), ("FRAMES", 30), ("DENSITY", 2)):
        monkeypatch.setattr(recipe, name, value)
    outcome = run("video", "train-predictor")
    assert outcome.code == 0, outcome.err
    assert "families that were not learnt from" in outcome.out
    (path,) = (home / "predictors").iterdir()
    made = make_predictor(str(path))
    assert isinstance(made, AttentionLstm)
    assert str(made.weights.recipe["source"]).startswith("digits-in-motion, train")


def test_bad_requests_are_one_line(run: Run, home: Path, tmp_path: Path) -> None:
    good = clip(tmp_path / "good.mp4")
    bare = clip(tmp_path / "bare.mp4", truth=tmp_path / "other.json")
    short = clip(tmp_path / "short.mp4", frames=2)
    lonely = clip(tmp_path / "lonely.mp4", objects=1)
    longer = clip(tmp_path / "longer.mp4", frames=FRAMES + 4)
    none = tmp_path / "none.mp4"
    none.write_bytes(b"not a video")
    damaged = tmp_path / "damaged.json"
    damaged.write_text("{")
    weights = tmp_path / "w.safetensors"
    for arguments, words, code in (
        ((str(tmp_path / "nowhere.mp4"),), "is not there", 1),
        ((str(none),), "is not a video", 1),
        ((str(bare),), "has no ground truth", 1),
        ((str(good), "--truth", str(tmp_path / "nowhere.json")), "has no ground truth", 1),
        ((str(good), "--truth", str(damaged)), "is damaged", 1),
        ((str(good), "--truth", str(longer.with_name("longer.truth.json"))), "not about this clip", 1),
        ((str(good), str(bare), "--truth", str(damaged)), "--truth names 1 files for 2 clips", 2),
        (("--truth", str(damaged)), "--truth names 1 files for 0 clips", 2),
        ((str(short),), "nothing to learn from", 1),
        ((str(lonely),), "fewer than two objects", 1),
        ((str(good), "-o", str(tmp_path / "w.json")), "safetensors", 2),
        ((str(good), "-o", str(none / "w.safetensors")), "cannot write", 1),
        ((str(good), "--seed", "-1"), "--seed", 2),
        ((str(good), "--seed", str(2**70)), "--seed", 2),
        ((str(good), "--json", "--format", "csv"), "exclude each other", 2),
    ):
        assert words in check_refused(run("video", "train-predictor", *arguments), code), arguments
    weights.mkdir()
    assert "is a folder" in check_refused(run("video", "train-predictor", str(good), "-o", str(weights), "--force"))
    assert not (home / "predictors").exists()
