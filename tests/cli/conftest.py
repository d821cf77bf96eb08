"""Runs the command line in this process or in a child, away from the user's own environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from offload.artifacts.workspace import write_artifact
from offload.cli.main import main
from tests.drawn import drawn
from tests.fitted import law_costs

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one `error:` line."""
        found = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(found) == 1, self.err
        return found[0].removeprefix("error: ")

    @property
    def hint(self) -> str:
        """The one `hint:` line."""
        found = [line for line in self.err.splitlines() if line.startswith("hint: ")]
        assert len(found) == 1, self.err
        return found[0].removeprefix("hint: ")


Run = Callable[..., Outcome]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workspace that the environment names."""
    for name in ("NO_COLOR", "OFFLOAD_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OFFLOAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path / "home"


@pytest.fixture
def shared_exports(home: Path, cache: Path) -> None:
    """The workspace holds what was exported of built-in networks for other tests."""
    home.mkdir()
    cache.mkdir(exist_ok=True)
    (home / "cache").symlink_to(cache)


@pytest.fixture
def run(home: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `offload ARGUMENTS…` in this process."""

    def runner(*arguments: str) -> Outcome:
        capfd.readouterr()
        code = main(arguments)
        sys.stdout.flush()
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return runner


@pytest.fixture
def costs_file(tmp_path: Path) -> Path:
    """Costs of all the kinds that random networks hold."""
    path = tmp_path / "costs.json"
    write_artifact(law_costs(), path)
    return path


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """A random network that the costs were not fitted on."""
    path = tmp_path / "network.onnx"
    path.write_bytes(drawn("image", 41).onnx)
    return path


@pytest.fixture
def child(home: Path) -> Run:
    """Run `python -m offload ARGUMENTS…` as a user would."""

    def runner(*arguments: str, **options: object) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "offload", *arguments],
            capture_output=True, text=True, cwd=ROOT, env=dict(os.environ), timeout=120, **options,
        )  # type: ignore[call-overload]  # fmt: skip
        return Outcome(done.returncode, done.stdout, done.stderr)

    return runner
