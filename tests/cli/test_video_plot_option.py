"""`--plot` of the verbs about videos, through the real command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from offload import api
from offload.artifacts.workspace import Workspace
from tests import made_video_profiles
from tests.cli.conftest import Run
from tests.made_profiles import made_profile
from tests.made_runs import made_run

WORDS = ("profile", "squares", "--detector", "spots.onnx")


@pytest.mark.parametrize("stopped", ["done", "interrupted"])
def test_a_clips_profile_is_drawn(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: str) -> None:
    monkeypatch.setattr(api, "profile_video", lambda *_, **__: made_profile().model_copy(update={"stopped": stopped}))
    page = tmp_path / "profile.html"
    outcome = run(*WORDS, "--plot", str(page))
    assert outcome.code == (130 if stopped == "interrupted" else 0), outcome.err
    assert f"drawn in {page}" in outcome.err
    assert "<svg" in page.read_text()
    assert run(*WORDS, "--plot", str(page)).error == f"{page} is there already"


@pytest.mark.parametrize(
    ("plot", "code", "problem"),
    [
        ("profile.gif", 2, "pictures are .png, .svg, .html files"),
        ("none/a.png", 1, "is not there"),
        (".", 2, "pictures"),
    ],
)
def test_where_a_picture_cannot_go_is_told_before_anything_is_measured(
    run: Run, tmp_path: Path, plot: str, code: int, problem: str
) -> None:
    outcome = run(*WORDS, "--plot", str(tmp_path / plot), "-o", str(tmp_path / "profile.json"))
    assert outcome.code == code
    assert problem in outcome.error
    assert outcome.hint
    assert not (tmp_path / "profile.json").exists()


def test_profiles_of_models_have_no_picture(run: Run, tmp_path: Path) -> None:
    outcome = run("profile", "mnist", "--plot", str(tmp_path / "a.png"))
    assert (outcome.code, outcome.error) == (2, "--plot is about clips")


def test_a_plan_is_drawn(run: Run, home: Path, tmp_path: Path) -> None:
    Workspace(home).save(made_video_profiles.video_profile(), name="made")
    picture = tmp_path / "plan.png"
    outcome = run("plan", "--planner", "elf", "--servers", "2", "--bw", "50mbps", "--plot", str(picture))
    assert outcome.code == 0, outcome.err
    assert f"drawn in {picture}" in outcome.err
    assert picture.read_bytes().startswith(b"\x89PNG")
    again = run("plan", "--planner", "elf", "--servers", "2", "--bw", "50mbps", "--plot", str(picture))
    assert again.error == f"{picture} is there already"
    assert run("plan", "--bw", "50mbps", "--plot", str(tmp_path / "a.png")).error == "--plot is about videos"


def test_a_run_is_drawn_even_if_interrupted(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = made_run("squares").model_copy(update={"stopped": "interrupted"})
    monkeypatch.setattr(api, "run_video", lambda *_, **__: interrupted)
    page = tmp_path / "run.html"
    outcome = run("run", "--plot", str(page))
    assert outcome.code == 130
    assert f"drawn in {page}" in outcome.err
    assert "elf on squares with 2 servers" in page.read_text()
    assert run("run", "--plot", str(tmp_path / "run.gif")).code == 2


def test_networks_plans_are_not_drawn_by_verify(run: Run, tmp_path: Path) -> None:
    assert run("verify", "--plot", str(tmp_path / "a.png")).error == "--plot is about clips"
