"""`offload video make`, through the real command line."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offload import api
from offload.datasets.digits_in_motion import clip as making
from offload.datasets.digits_in_motion.clip import MadeClip
from offload.datasets.digits_in_motion.scene import SceneSettings, draw_scene
from offload.video.clips import open_clip
from offload.video.truth import load_truth
from tests.cli.conftest import Outcome, Run

SMALL = ("--size", "320x192", "--seconds", "1")


def check_refused(outcome: Outcome, code: int = 1) -> str:
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert outcome.hint
    return outcome.error


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "home")


def test_a_clip_and_its_ground_truth(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "new" / "clip.mp4"
    outcome = run("video", "make", str(path), *SMALL, "--density", "5", "--seed", "3", "--fps", "12")
    assert outcome.code == 0, outcome.err
    assert files(path.parent) == ["clip.mp4", "clip.truth.json"]
    clip = open_clip(path)
    assert (clip.info.width, clip.info.height, clip.info.fps, clip.info.frames) == (320, 192, 12.0, 12)
    truth = load_truth(path.with_name("clip.truth.json"), clip.info)
    assert truth.classes == ("digit",)
    settings = SceneSettings(split="test", seed=3, width=320, height=192, fps=12.0, frames=12, density=5)
    for (drawn, seen), told, shown in zip(draw_scene(settings), truth.frames, clip.frames(), strict=True):
        np.testing.assert_array_equal(told.boxes, seen.boxes)
        np.testing.assert_array_equal(told.ids, seen.ids)
        assert np.abs(drawn.astype(int) - shown).mean() < 6
    about = json.loads(path.with_name("clip.truth.json").read_text())["info"]
    assert (about["seed"], about["density"], about["split"], about["fps"]) == (3, 5, "test", 12.0)
    assert about["bit_rate_bps"] == pytest.approx(8 * path.stat().st_size, rel=0.1)
    assert outcome.out.startswith(f"{path}: 12 frames of 320x192 at 12 a second, 5 digits at a time, test split, ")
    assert outcome.err.splitlines()[-2:] == [
        f"ground truth in {path.with_name('clip.truth.json')}",
        f"next: offload profile {path} --detector digits",
    ]


def test_every_option_is_passed_on(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Any] = []

    def make_video(request: Any, **_: object) -> MadeClip:
        seen.append(request)
        settings = SceneSettings(split="train", seed=9, width=640, height=360, fps=30.0, frames=75, density=20)
        return MadeClip(path=request.clip, truth=request.clip, settings=settings, rate_bps=1e6)

    monkeypatch.setattr(api, "make_video", make_video)
    path = tmp_path / "clip.mkv"
    outcome = run(
        *("video", "make", str(path), "--density", "20", "--seconds", "2.5", "--size", "640x360", "--fps", "30"),
        *("--seed", "9", "--split", "train", "--force"),
    )
    assert outcome.code == 0, outcome.err
    assert seen == [
        api.MakeVideoRequest(
            clip=path, density=20, seconds=2.5, width=640, height=360, fps=30.0, seed=9, split="train", force=True
        )
    ]
    assert run("video", "make", str(path)).code == 0
    assert seen[1] == api.MakeVideoRequest(clip=path)


def test_nothing_is_replaced_unless_told_to(run: Run, tmp_path: Path) -> None:
    path, truth = tmp_path / "clip.mp4", tmp_path / "clip.truth.json"
    for there in (path, truth):
        there.write_text("mine")
        outcome = run("video", "make", str(path), *SMALL)
        assert check_refused(outcome) == f"{there} is there already"
        assert "--force" in outcome.hint
        assert check_refused(run("video", "make", str(path), *SMALL, "--dry-run")) == f"{there} is there already"
        assert there.read_text() == "mine"
        there.unlink()
    path.write_text("mine")
    truth.write_text("mine")
    assert run("video", "make", str(path), *SMALL, "--force").code == 0
    assert load_truth(truth, open_clip(path).info).frames
    (tmp_path / "other.mp4").mkdir()
    assert check_refused(run("video", "make", str(tmp_path / "other.mp4"), "--force")).endswith("is a folder")


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["clip.mp4", "--size", "320"], "'320' is not a width and a height", "2560x1440"),
        (["clip.mp4", "--size", "-2x4"], "'-2x4' is not a width and a height", "2560x1440"),
        (["clip.mp4", "--size", "321x192"], "sides are even", "2560x1440"),
        (["clip.mp4", "--size", "32x192"], "64 to 8192 pixels", "2560x1440"),
        (["clip.mp4", "--size", "9000x192"], "64 to 8192 pixels", "2560x1440"),
        (["clip.mp4", "--seconds", "0"], "a clip has 1 to", "--seconds 4"),
        (["clip.mp4", "--seconds", "nan"], "--seconds", "offload video make --help"),
        (["clip.mp4", "--seconds", "inf"], "a clip has 1 to", "--seconds 4"),
        (["clip.mp4", "--seconds", "-1"], "--seconds", "offload video make --help"),
        (["clip.mp4", "--fps", "nan"], "--fps", "offload video make --help"),
        (["clip.mp4", "--fps", "0"], "--fps", "offload video make --help"),
        (["clip.mp4", "--density", "0"], "--density", "offload video make --help"),
        (["clip.mp4", "--seed", "-1"], "--seed", "offload video make --help"),
        (["clip.mp4", "--split", "all"], "--split", "offload video make --help"),
        (["clip.gif"], "clip.gif: videos are .mp4, .mkv, .mov files", "clip.mp4"),
        (["clip"], "clip: videos are .mp4, .mkv, .mov files", "clip.mp4"),
        ([], "Missing argument 'CLIP'", "offload video make --help"),
    ],
)
def test_usage_errors(run: Run, arguments: list[str], error: str, hint: str) -> None:
    outcome = run("video", "make", *arguments)
    assert error in check_refused(outcome, code=2)
    assert hint in outcome.hint


def test_a_place_that_cannot_be_written_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = run("video", "make", str(tmp_path / "file" / "clip.mp4"), *SMALL)
    assert check_refused(outcome).startswith(f"cannot write {tmp_path / 'file' / 'clip.mp4'}: ")


def test_a_dry_run_makes_nothing(run: Run, tmp_path: Path) -> None:
    outcome = run("video", "make", str(tmp_path / "clip.mp4"), *SMALL, "--dry-run")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"would make {tmp_path / 'clip.mp4'}: 15 frames of 320x192 at 15 a second, ")
    assert "; it takes about " in outcome.out
    assert files(tmp_path) == []


def test_ground_truth_that_cannot_be_written_leaves_no_clip(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_truth(_: object, path: Path, *__: object, **___: object) -> None:
        path.write_text("[half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(making, "write_truth", write_truth)
    (tmp_path / "clip.mp4").write_text("mine")
    outcome = run("video", "make", str(tmp_path / "clip.mp4"), *SMALL, "--force")
    assert check_refused(outcome) == f"cannot write {tmp_path / 'clip.truth.json'}: No space left on device"
    assert files(tmp_path) == ["clip.mp4"]
    assert (tmp_path / "clip.mp4").read_text() == "mine"


@pytest.mark.parametrize("most_bytes", [0, 20_000])
def test_a_full_disk_leaves_no_half_file(child: Run, tmp_path: Path, most_bytes: int) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    path = tmp_path / "clip.mp4"
    outcome = child("video", "make", str(path), "--size", "320x192", "--seconds", "3", preexec_fn=small_files)
    assert check_refused(outcome) == f"cannot write {path}: File too large"
    assert "free some space" in outcome.hint
    assert files(tmp_path) == []


def test_an_interrupt_leaves_no_half_file(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("mine")
    command = [sys.executable, "-m", "offload", "video", "make", str(path), "--size", "320x192", "--seconds", "600"]
    with subprocess.Popen(
        [*command, "--force"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        try:
            for _ in range(600):
                if any(tmp_path.glob(".clip.*.mp4")) or process.poll() is not None:
                    break
                time.sleep(0.1)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out) == (130, "")
    assert err.splitlines() == ["making clip.mp4 …", "error: interrupted"]
    assert files(tmp_path) == ["clip.mp4"]
    assert path.read_text() == "mine"
