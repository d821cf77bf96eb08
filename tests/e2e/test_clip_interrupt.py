"""A clip's profile that is killed, and one that is interrupted: what was measured is there afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offload.artifacts.video_profile import VideoProfile
from tests.made_detectors import SPOTS, bright_spots
from tests.moving_squares import write_squares

Start = Callable[..., subprocess.Popen[str]]
_LONGEST_S = 120.0


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start `offload ARGUMENTS…` as a process, alone in its group as a shell would start it."""
    monkeypatch.setenv("OFFLOAD_HOME", str(tmp_path / "home"))
    started = []

    def starter(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "offload", *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
        started.append(process)
        return process

    yield starter
    for process in started:
        process.kill()
        process.communicate()


def _kept(home: Path) -> int:
    """Lines of the checkpoint."""
    return sum(len(path.read_text().splitlines()) for path in home.glob("cache/clip-*.jsonl"))


def _wait(home: Path, lines: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + _LONGEST_S
    while _kept(home) < lines:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def test_neither_a_crash_nor_an_interrupt_loses_what_was_measured(start: Start, tmp_path: Path) -> None:
    home, path = tmp_path / "home", tmp_path / "it.json"
    (tmp_path / "spots.onnx").write_bytes(bright_spots())
    (tmp_path / "spots.json").write_text(SPOTS.model_dump_json())
    clip, detector = str(write_squares(tmp_path)), str(tmp_path / "spots.onnx")
    words = ("profile", clip, "--detector", detector, "--threads", "1", "-o", str(path), "--resume")
    killed = start(*words)
    _wait(home, 4, killed)  # the crops and three settings
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    before = _kept(home)
    assert not path.exists()
    interrupted = start(*words)
    _wait(home, before + 2, interrupted)
    os.killpg(interrupted.pid, signal.SIGINT)
    _, error = interrupted.communicate(timeout=_LONGEST_S)
    assert interrupted.returncode == 130, error
    assert f"{before - 1} settings were measured before" in error
    assert "Traceback" not in error
    assert "--resume goes on" in error
    profile = VideoProfile.load(path)
    assert profile.stopped == "interrupted"
    assert len(profile.replays) >= before - 1 + 2
