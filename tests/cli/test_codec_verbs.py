"""`offload codec train`, `list` and `show`, through the real command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offload import api
from offload.codecs.trained import TrainedFiles
from offload.training import examples
from tests import tiny_training
from tests.cli.conftest import Outcome, Run

MODEL = ("tests.tiny_training:net", "--input", "image=1x3x16x16")
DATA = ("--data", "tests.tiny_training:data")


def check_refused(outcome: Outcome, code: int = 1) -> str:
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert outcome.hint
    return outcome.error


def test_train_list_and_show(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One of the two cuts' tensors fits in memory.
    monkeypatch.setattr(examples, "MOST_BYTES", 3 * tiny_training.TRAIN * 6 * tiny_training.SIDE**2)
    outcome = run(
        *("codec", "train", *MODEL, "--at", "conv1,relu", *DATA, "--codec", "autoencoder", "--ratio", "0.1"),
        *("--epochs", "1", "--batch", "16", "--threads", "1", "--seed", "3", "--labels"),
    )
    assert outcome.code == 0, outcome.err
    (note,) = (line for line in outcome.err.splitlines() if "of memory" in line)
    assert f"{tiny_training.TRAIN} examples at " in note
    assert note.endswith("whenever it is needed")
    folders = sorted(path.name for path in (home / "codecs").iterdir())
    assert len(folders) == 2
    assert all(f"written to {home / 'codecs' / name}" in outcome.err for name in folders)
    assert outcome.err.splitlines()[-1] == (
        "next: offload codec bench tests.tiny_training:net --data tests.tiny_training:data"
    )
    listed = run("codec", "list", "--json")
    records = json.loads(listed.out)
    assert [record["name"] for record in records] == folders
    assert {record["layer"] for record in records} == {"conv1", "relu"}
    assert all(record["payload_bytes"] > 4 and record["seed"] == 3 and record["labelled"] for record in records)
    shown = run("codec", "show", records[0]["codec"])
    assert shown.code == 0, shown.err
    assert shown.out.startswith(f"{records[0]['codec']} at {records[0]['layer']} of net")
    assert "seed 3, with the data's labels" in shown.out
    assert "autoencoder" in run("codec", "show", folders[0], "--json").out
    assert json.loads(run("codec", "show", folders[0], "--json").out)["kind"] == "codec"
    (home / "codecs" / folders[0] / "encoder.onnx").write_bytes(b"no")
    assert "encoder.onnx is damaged" in check_refused(run("codec", "show", folders[0]))


def test_train_passes_on_every_option(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Any] = []
    weights = tmp_path / "w.safetensors"

    def train_codecs(request: Any, **_: object) -> tuple[TrainedFiles, ...]:
        seen.append(request)
        return ()

    monkeypatch.setattr(api, "train_codecs", train_codecs)
    outcome = run(
        *("codec", "train", "resnet18", "--at", "a,b", "--at", "c", "--data", "photos", "--codec", "entropic"),
        *("--ratio", "0.02", "--task", "regression", "--epochs", "7", "--batch", "8", "--lr", "1e-4", "--seed", "5"),
        *("--no-distillation", "--labels", "--random-encoder", "--orthogonality", "0.1", "--patience", "3", "--resume"),
        *("--device", "cuda:1", "--threads", "2", "--input", "x=1x3x8x8", "--weights", str(weights)),
    )
    assert outcome.code == 0, outcome.err
    assert seen == [
        api.CodecTrainRequest(
            model="resnet18", data="photos", at=("a", "b", "c"), codec="entropic", ratio=0.02, task="regression",
            epochs=7, batch=8, learning_rate=1e-4, seed=5, distilled=False, labelled=True, encoder_trained=False,
            orthogonality=0.1, patience=3, resume=True, device="cuda:1", threads=2, inputs={"x": (1, 3, 8, 8)},
            weights=weights,
        )
    ]  # fmt: skip


def test_a_dry_run_says_what_would_be_trained(run: Run, home: Path) -> None:
    outcome = run("codec", "train", *MODEL, "--at", "input,conv1", *DATA, "--dry-run")
    assert outcome.code == 0, outcome.err
    assert "would train deepcod at input: 1x3x16x16 float32" in outcome.out
    assert "would train deepcod at conv1: 1x6x16x16 float32" in outcome.out
    assert f"{tiny_training.TRAIN} examples" in outcome.out
    assert not (home / "codecs").exists()


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--at", "conv2", *DATA), "2 tensors cross there", 1),
        (("--at", "conv9", *DATA), "no layer or tensor of that name", 1),
        (("--at", ",", *DATA), "--at names no layer", 2),
        (("--at", "conv1", *DATA, "--ratio", "1.5"), "--ratio 1.5 is no compression", 2),
        (("--at", "conv1", "--data", "nowhere"), "nowhere", 1),
        (("--at", "conv1", *DATA, "--device", "tpu"), "tpu", 1),
        (("--at", "conv1", *DATA, "--labels", "--task", "detection"), "no labels that can be learned here", 1),
        (("--at", "conv1", *DATA, "--labels", "--dry-run", "--task", "ctc"), "ctc needs steps by tokens", 1),
        (("--at", "conv1", *DATA, "--device", "cuda"), "cuda", 1),
    ],
)
def test_bad_requests_are_one_line(run: Run, arguments: tuple[str, ...], words: str, code: int) -> None:
    assert words in check_refused(run("codec", "train", *MODEL, *arguments), code)


def test_bad_data_are_one_line(run: Run, tmp_path: Path) -> None:
    images = np.zeros((40, 3, 16, 16), np.float32)
    np.savez(tmp_path / "one.npz", x=images, y=np.zeros(40, np.int64))
    assert "one class" in check_refused(
        run("codec", "train", *MODEL, "--at", "conv1", "--data", str(tmp_path / "one.npz"))
    )
    np.savez(tmp_path / "thin.npz", x=images[:, :1], y=np.arange(40) % 3)
    check_refused(run("codec", "train", *MODEL, "--at", "conv1", "--data", str(tmp_path / "thin.npz")))


def test_unknown_codecs_and_an_empty_workspace(run: Run) -> None:
    empty = run("codec", "list")
    assert empty.code == 0
    assert "There are none" in empty.out
    assert "there is no codec deepcod@123" in check_refused(run("codec", "show", "deepcod@123"))


def test_list_names_what_is_damaged_and_lists_the_others(run: Run, home: Path) -> None:
    kept, harmed = (
        tiny_training.trained(home, "conv1", codec=codec, epochs=1).folder for codec in ("deepcod", "autoencoder")
    )
    manifest = harmed / "manifest.json"
    manifest.write_text(manifest.read_text()[:100])
    listed = run("codec", "list", "--json")
    assert listed.code == 0
    assert [record["name"] for record in json.loads(listed.out)] == [kept.name]
    (warning,) = (line for line in listed.err.splitlines() if "damaged" in line)
    assert warning.startswith(f"warning: {manifest} is damaged")


@pytest.mark.slow
def test_an_interrupt_keeps_the_best_and_resume_goes_on(run: Run, home: Path) -> None:
    code = """
import sys
from offload.training import trainer
from offload.cli.main import main

original = trainer._Run._epoch

def epoch(self, wrapped, number):
    if number == 1 and "--resume" not in sys.argv:
        raise KeyboardInterrupt
    original(self, wrapped, number)

trainer._Run._epoch = epoch
sys.exit(main(sys.argv[1:]))
"""
    command = [
        *(sys.executable, "-c", code, "codec", "train", *MODEL, "--at", "conv1", *DATA, "--epochs", "3"),
        *("--batch", "16", "--threads", "1"),
    ]
    root = Path(__file__).parents[2]
    stopped = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=120)
    assert stopped.returncode == 130, stopped.stderr
    assert "with --resume goes on" in stopped.stderr
    resumed = subprocess.run([*command, "--resume"], capture_output=True, text=True, cwd=root, timeout=120)
    assert resumed.returncode == 0, resumed.stderr
    assert "epochs trained before: 1" in resumed.stderr
    assert len(list((home / "codecs").iterdir())) == 2


def test_train_says_first_that_nothing_can_be_kept(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OFFLOAD_HOME", str(tmp_path / "file" / "home"))
    error = check_refused(run("codec", "train", *MODEL, "--at", "conv1", *DATA))
    assert error.startswith(f"cannot write to {tmp_path / 'file' / 'home'}")
