"""Signals to the real command line: the exit code is told, nothing measured is lost, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from offload import api
from offload.artifacts.profile import Profile
from offload.artifacts.workspace import Workspace
from offload.serving import protocol_cost
from offload.serving.embedded import EmbeddedServer
from tests import serving_models

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace and a folder for temporary files, both empty; the second is returned."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("OFFLOAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return temporary


@pytest.fixture
def start(folders: Path) -> Iterator[Start]:
    """Start `offload ARGUMENTS…` as a process, alone in its group as a shell would start it."""
    started = []

    def starter(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "offload", *arguments]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        return process

    yield starter
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "slow.onnx"
    path.write_bytes(serving_models.slow(products=4, size=256))
    return path


@pytest.fixture
def plan_file(folders: Path, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(protocol_cost, "measure_protocol", lambda _: ())
    workspace = Workspace(tmp_path / "plans")
    profile = api.profile(
        api.ProfileRequest(model=str(model_file), threads=1, max_time_s=1.0, precision=0.5), workspace=workspace
    )
    path = workspace.save(profile, name="slow")
    request = api.PlanRequest(profile=path, server=str(path), uplink_bps=50e6, rtt_s=0.02)
    return workspace.save(api.plan(request, workspace=workspace), name="slow")


def said(process: subprocess.Popen[str], words: str) -> None:
    """Wait until the process says so on stderr."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"it never said {words!r}")


def children_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_verification_leaves_nothing(
    start: Start, plan_file: Path, folders: Path, stop: signal.Signals
) -> None:
    process = start("verify", str(plan_file), "--requests", "100000")
    said(process, "verifying")
    children = children_of(process)
    assert len(children) == 2, "the server and the link"
    os.killpg(process.pid, stop)
    _, rest = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "error: interrupted" in rest
    assert "Traceback" not in rest
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert not list(folders.glob("offload-*"))


def test_a_killed_verification_takes_its_children_along(start: Start, plan_file: Path) -> None:
    process = start("verify", str(plan_file), "--requests", "100000")
    said(process, "verifying")
    children = children_of(process)
    process.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


@pytest.mark.parametrize("moment_s", [1.0, 1.013, 1.027])
def test_an_interrupt_in_the_middle_of_a_round_keeps_the_rounds_before_it(
    start: Start, model_file: Path, folders: Path, tmp_path: Path, moment_s: float
) -> None:
    output = tmp_path / "profile.json"
    process = start("profile", str(model_file), "--threads", "1", "--precision", "0.0001%", "-o", str(output))
    said(process, "measuring")
    time.sleep(moment_s)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=20)
    assert process.returncode == 130, rest
    assert "error: interrupted" in rest
    assert Profile.load(output).stopped == "interrupted"
    assert not list(folders.glob("offload-*"))


def test_an_interrupt_while_the_protocol_is_measured_keeps_the_profile(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(_: float) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(protocol_cost, "measure_protocol", press)
    request = api.ProfileRequest(model=str(model_file), threads=1, max_time_s=1.0, precision=0.5)
    profile = api.profile(request, workspace=Workspace(tmp_path))
    assert isinstance(profile, Profile)
    assert profile.stopped == "interrupted"
    assert profile.whole_s
    assert profile.protocol == ()


def test_a_remote_profile_that_is_given_up_leaves_nothing_on_the_server(
    start: Start, model_file: Path, folders: Path
) -> None:
    with EmbeddedServer(threads=1) as server:
        process = start("profile", str(model_file), "--on", server.address, "--precision", "0.001%")
        said(process, "profiling on")
        deadline = time.monotonic() + 20
        while not list(folders.glob("offload-profile-*/offload-profile-*")):
            assert time.monotonic() < deadline, "the server never began to measure"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
        server_process = psutil.Process(server.pid)
        while server_process.children(recursive=True) or list(folders.glob("offload-*")):
            assert time.monotonic() < deadline + 10, "something is left on the server"
            time.sleep(0.05)


def test_a_server_that_dies_while_it_profiles_is_an_error(start: Start, model_file: Path) -> None:
    with EmbeddedServer(threads=1) as server:
        process = start("profile", str(model_file), "--on", server.address, "--precision", "0.001%")
        said(process, "profiling on")
        server_process = psutil.Process(server.pid)
        while not (children := server_process.children()):
            time.sleep(0.05)
        server.kill()
        _, rest = process.communicate(timeout=20)
        assert process.returncode == 1
        assert f"error: cannot reach the server at {server.address}" in rest
        assert "hint: " in rest
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive


def test_a_stopped_fit_keeps_its_networks_and_goes_on(start: Start, folders: Path, tmp_path: Path) -> None:
    command = ("fit", "--threads", "1", "--budget", "10m", "--meter", "none")
    process = start(*command)
    said(process, "measuring")
    deadline = time.monotonic() + 60
    while not (found := list((tmp_path / "home" / "cache").glob("fit-*.jsonl"))):
        assert time.monotonic() < deadline, "it never finished a network"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "a fit needs 20: the same command goes on where it stopped" in rest
    assert "error: interrupted" in rest
    assert "Traceback" not in rest
    assert not list(folders.glob("offload-*"))
    kept = len(found[0].read_text(encoding="utf-8").splitlines())
    assert kept >= 1
    again = start(*command)
    said(again, f"{kept} networks were measured before")
    again.send_signal(signal.SIGINT)
    _, rest = again.communicate(timeout=30)
    assert again.returncode == 130
    assert "Traceback" not in rest
    assert len(found[0].read_text(encoding="utf-8").splitlines()) >= kept
