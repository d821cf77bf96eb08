"""`offload profile CLIP --detector D` by its real entry: what it measures, and every bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from offload.artifacts.video_profile import VideoProfile, area_line
from offload.cli.main import main
from offload.errors import OffloadError
from tests.cli.conftest import Run
from tests.made_detectors import SPOTS, bright_spots
from tests.moving_squares import FRAMES, HEIGHT, WIDTH, write_squares


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A clip and a detector."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "spots.onnx").write_bytes(bright_spots())
    (folder / "spots.json").write_text(SPOTS.model_dump_json())
    return write_squares(folder), folder / "spots.onnx"


@pytest.fixture(scope="module")
def profiled(made: tuple[Path, Path]) -> VideoProfile:
    clip, detector = made
    path = clip.parent / "it.json"
    words = ["profile", str(clip), "--detector", str(detector), "--servers", "2", "--threads", "1", "-o", str(path)]
    assert main(words) == 0
    return VideoProfile.load(path)


def test_a_profile_of_a_clip_holds_latencies_and_the_loop_with_each_setting(profiled: VideoProfile) -> None:
    clip = profiled.clip
    assert (clip.width, clip.height, clip.frames, clip.truth) == (WIDTH, HEIGHT, FRAMES, True)
    assert profiled.detector.classes == SPOTS.classes
    assert max(crop.pixels for crop in profiled.crops) == WIDTH * HEIGHT
    assert area_line(profiled.crops).seconds_per_pixel > 0
    whole = profiled.whole
    assert whole.accuracy.ap50 == pytest.approx(1, abs=0.02)
    assert set(whole.sent_pixels) == {WIDTH * HEIGHT}
    assert {replay.setting.predictor for replay in profiled.replays} == {"hold", "linear", "kalman", "lstm"}
    assert {replay.setting.servers for replay in profiled.replays} == {1, 2}
    for replay in profiled.replays:
        assert len(replay.sent_bytes) == FRAMES
        assert 0 <= replay.accuracy.ap <= replay.accuracy.ap50 <= 1
    assert VideoProfile.from_json(profiled.to_json(), source="it") == profiled


def test_without_truth_accuracy_is_against_the_whole_frame(run: Run, made: tuple[Path, Path], tmp_path: Path) -> None:
    clip, detector = made
    alone = tmp_path / "alone"
    shutil.copytree(clip, alone)
    path = tmp_path / "it.json"
    words = ("profile", str(alone), "--detector", str(detector), "--servers", "1", "--frames", "4", "-o", str(path))
    outcome = run(*words)
    assert outcome.code == 0
    assert "The detector by area" in outcome.out
    assert "whole frame" in outcome.out
    assert "what the detector finds in the whole frame" in outcome.out
    profile = VideoProfile.load(path)
    assert (profile.clip.truth, profile.clip.frames) == (False, 4)
    assert profile.whole.accuracy.ap50 == 1
    assert profile.whole.accuracy.new_object_delay_frames is None


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (("{clip}", "--detector", "nothing"), 1, "there is no detector 'nothing'"),
        (("{folder}/missing.mp4", "--detector", "{detector}"), 1, "is not there"),
        (("{detector}", "--detector", "{detector}"), 1, "is not a video"),
        (("{clip}", "--detector", "{detector}", "--servers", "0"), 2, "--servers 0"),
        (("{clip}", "--detector", "{detector}", "--servers", "17"), 2, "--servers 17"),
        (("{clip}", "--detector", "{detector}", "--frames", "1"), 2, "--frames 1"),
        (("{clip}", "--detector", "{detector}", "--batch", "2"), 2, "--batch is about models"),
        (("{clip}", "--detector", "{detector}", "--truth", "{folder}/none.json"), 1, "none.json"),
        (("mnist", "--truth", "{detector}"), 2, "--truth is about clips"),
        (("mnist", "--servers", "2"), 2, "--servers is about clips"),
    ],
)
def test_what_cannot_be_profiled_is_told_in_a_line(
    run: Run, made: tuple[Path, Path], words: tuple[str, ...], code: int, problem: str
) -> None:
    clip, detector = made
    filled = [word.format(clip=clip, detector=detector, folder=clip.parent) for word in words]
    outcome = run("profile", *filled)
    assert outcome.code == code
    assert problem in outcome.error
    assert outcome.hint


def test_a_detector_with_other_classes_than_the_truth_is_refused(
    run: Run, made: tuple[Path, Path], tmp_path: Path
) -> None:
    clip, _ = made
    (tmp_path / "spots.onnx").write_bytes(bright_spots())
    other = SPOTS.model_copy(update={"classes": ("a", "b", "c")})
    (tmp_path / "spots.json").write_text(other.model_dump_json())
    outcome = run("profile", str(clip), "--detector", str(tmp_path / "spots.onnx"))
    assert outcome.code == 1
    assert "has the classes red, green, blue, the detector a, b, c" in outcome.error


def test_a_clip_with_nothing_to_find_is_an_error(run: Run, made: tuple[Path, Path], tmp_path: Path) -> None:
    clip = tmp_path / "dark"
    clip.mkdir()
    for number in range(3):
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(clip / f"{number}.png")
    outcome = run("profile", str(clip), "--detector", str(made[1]))
    assert outcome.code == 1
    assert "finds nothing in the first 3 frames" in outcome.error


def test_a_dry_run_says_what_would_be_done(run: Run, made: tuple[Path, Path]) -> None:
    clip, detector = made
    outcome = run("profile", str(clip), "--detector", str(detector), "--dry-run")
    assert outcome.code == 0
    assert "would time" in outcome.out


def test_an_artifact_of_other_frames_is_damaged(profiled: VideoProfile) -> None:
    told = json.loads(profiled.to_json())
    told["replays"][0]["sent_bytes"].pop()
    with pytest.raises(OffloadError, match="another number of frames"):
        VideoProfile.from_json(json.dumps(told), source="it")
