"""`offload serve` with models of its own: what it takes, what it refuses, and what it says."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from offload.artifacts.profile import Profile
from offload.serving.embedded import EmbeddedServer
from offload.serving.own_models import OwnModel
from offload.serving.server import ServeSettings
from tests.cli.conftest import ROOT, Run

TINY = ("--model", "tests.tiny_torch:branches", "--input", "x=2x8")


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        (("--device", "cuda"), "--device is for models that the server is started with", "--model"),
        (("--dtype", "fp16"), "--dtype is for models", "--model"),
        (("--channels-last",), "--channels-last is for models", "--model"),
        (("--compile",), "--compile is for models", "--model"),
        (("--batch", "2"), "--batch is for models", "--model"),
        (("--input", "x=1x3"), "--input is for models", "--model"),
        (("--weights", "pyproject.toml"), "--weights is for models", "--model"),
        (("--model", "alexnet", "--model", "unet", "--weights", "pyproject.toml"), "--weights does not say", "one"),
        (("--model", "alexnet", "--model", "resnet18", "--input", "1x3x9x9"), "--input does not say", "one server"),
        ((*TINY, "--input", "x=2x8"), "names the same input twice", "one shape"),
        ((*TINY, "--device", "tpu"), "--device tpu", "cuda"),
        ((*TINY, "--idle-unload", "5"), "'5' has no unit", "20ms"),
        ((*TINY, "--idle-unload", "-5min"), "'-5min'", "20ms"),
        ((*TINY, "--max-loaded", "4"), "'4' has no unit", "5MiB"),
        (("--model", "model.onnx"), "ONNX file", "upload"),
        (("--threads", "1000000"), "1000000 threads are more than any machine", "leave --threads out"),
    ],
)
def test_wrong_use_is_a_usage_error(run: Run, options: tuple[str, ...], error: str, hint: str) -> None:
    outcome = run("serve", "--port", "0", *options)
    assert outcome.code == 2
    assert error in outcome.error
    assert hint in outcome.hint


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--model", "alexnett"), "there is no model 'alexnett'"),
        (("--model", "alexnet", "--weights", "nowhere.safetensors"), "nowhere.safetensors is not there"),
        (("--model", "tests.tiny_torch:nothing"), "has no 'nothing'"),
        (("--model", "tests.tiny_torch:branches"), "the shape of input 'x' is not known"),
        ((*TINY, "--device", "cuda:999"), "--device cuda:999"),
        ((*TINY, "--max-loaded", "100B"), "is too big: its weights take"),
        ((*TINY, "--model", "tests.tiny_torch:branches"), "--input does not say"),
    ],
)
def test_models_that_cannot_be_served_are_one_line(run: Run, options: tuple[str, ...], error: str) -> None:
    outcome = run("serve", "--port", "0", *options)
    assert outcome.code in (1, 2)
    assert error in outcome.error
    assert outcome.hint
    assert "Traceback" not in outcome.err


def test_it_says_how_to_profile_its_model(home: Path) -> None:
    options = ("--port", "0", "--threads", "1", *TINY, "--dtype", "bf16")
    command = [sys.executable, "-m", "offload", "serve", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stderr is not None
        try:
            lines = [server.stderr.readline() for _ in range(3)]
            assert any("listening on 127.0.0.1:" in line for line in lines), lines
            profiled = "offload profile tests.tiny_torch:branches --runtime torch --dtype bf16 --input x=2x8 --on"
            assert any(profiled in line for line in lines), lines
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0


@pytest.mark.slow
def test_a_torch_model_is_profiled_planned_and_verified_on_a_server_of_its_own(run: Run, tmp_path: Path) -> None:
    spec, inputs = "tests.tiny_torch:branches", {"x": (2, 8)}
    torch_here = ("profile", spec, "--input", "x=2x8", "--runtime", "torch", "--max-time", "1s")
    own = OwnModel(spec=spec, inputs=inputs)
    with EmbeddedServer(threads=1, settings=ServeSettings(models=(own,))) as server:
        there = run(*torch_here, "--on", server.address, "-o", str(tmp_path / "server.json"))
        assert there.code == 0, there.err
        assert Profile.load(tmp_path / "server.json").runtime.name == "torch"
        assert run(*torch_here, "--threads", "1", "-o", str(tmp_path / "device.json")).code == 0
        plan = str(tmp_path / "plan.json")
        planned = run(
            *("plan", "--profile", str(tmp_path / "device.json"), "--server", server.address, "--bw", "450mbps"),
            *("-o", plan),
        )
        assert planned.code == 0, planned.err
        verified = run("verify", plan, "--server", server.address, "--requests", "3")
        assert verified.code in (0, 4), verified.err  # a tiny model's times say nothing; that it ran does
        assert "server-only" in verified.out
        other = run(*torch_here[:2], "--input", "x=3x8", *torch_here[4:], "--on", server.address)
    assert other.code == 1
    assert "is asked for, this server was started with branches" in other.error
    assert "offload serve --model" in other.hint
