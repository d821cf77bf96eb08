"""`offload video draw` through the real command line: what it writes, and every bad input."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from offload.artifacts.workspace import Workspace, write_artifact
from offload.video.annotating import FOUND, Annotator, server_colour
from offload.video.clips import open_clip
from offload.video.truth import truth_file
from tests.cli.conftest import Outcome, Run
from tests.made_runs import made_run
from tests.made_verifications import made_verification
from tests.made_videos import plain_frames, write_video
from tests.moving_squares import FRAMES, HEIGHT, WIDTH, write_squares


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A run whose clip and truth are beside it."""
    clip = write_squares(tmp_path)
    path = tmp_path / "run.json"
    write_artifact(made_run(str(clip)), path)
    return path


def refused(outcome: Outcome, code: int = 1) -> str:
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert outcome.hint
    return outcome.error


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "home")


BEFORE = ["run.json", "squares", "squares.truth.json"]


def test_a_video_and_frames(run: Run, made: Path) -> None:
    video, folder = made.parent / "new" / "drawn.mp4", made.parent / "frames"
    outcome = run("video", "draw", str(made), "-o", str(video), "--frames", str(folder))
    assert outcome.code == 0, outcome.err
    clip, pictures = open_clip(video), open_clip(folder)
    assert (clip.info.frames, clip.info.fps, clip.info.width) == (FRAMES, 30.0, WIDTH)
    assert clip.info.height > HEIGHT
    assert files(folder) == [f"{number:06d}.png" for number in range(FRAMES)]
    assert files(video.parent) == ["drawn.mp4"]
    for shown, exact in zip(clip.frames(), pictures.frames(), strict=True):
        assert shown.shape == exact.shape
        assert np.abs(shown.astype(int) - exact).mean() < 12
    second = np.asarray(Image.open(folder / "000001.png"))
    for colour in (FOUND, server_colour(0), server_colour(1)):
        assert (second == np.array(colour)).all(axis=-1)[:HEIGHT].any()
    assert outcome.out == (
        f"{video} and {folder}: 8 frames of {clip.info.width}x{clip.info.height}; "
        "6 missed, 4 told twice, 1 with nothing there\n"
    )


def test_the_newest_run_is_drawn_where_none_is_named(run: Run, made: Path) -> None:
    folder = made.parent / "frames"
    assert refused(run("video", "draw", "--frames", str(folder))).startswith("no run of a video in ")
    Workspace().save(made_run(str(made.with_name("squares"))), name="squares")
    outcome = run("video", "draw", "--frames", str(folder))
    assert outcome.code == 0, outcome.err
    assert len(files(folder)) == FRAMES


def test_without_truth_nothing_is_told_to_be_wrong(run: Run, made: Path) -> None:
    truth_file(made.with_name("squares")).unlink()
    folder = made.parent / "frames"
    outcome = run("video", "draw", str(made), "--frames", str(folder))
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"{folder}: 8 frames of {WIDTH}x")
    assert "missed" not in outcome.out


def test_truth_and_clip_may_be_elsewhere(run: Run, made: Path) -> None:
    clip, truth = made.parent / "moved", made.parent / "told.json"
    truth_file(made.with_name("squares")).rename(truth)
    made.with_name("squares").rename(clip)
    video = made.parent / "drawn.mkv"
    outcome = run("video", "draw", str(made), "-o", str(video))
    assert refused(outcome) == f"the clip of {made}, {made.with_name('squares')}, is not there"
    assert "--clip" in outcome.hint
    outcome = run("video", "draw", str(made), "-o", str(video), "--clip", str(clip), "--truth", str(truth))
    assert outcome.code == 0, outcome.err
    assert "6 missed" in outcome.out


def test_an_interrupted_run_is_drawn_as_far_as_it_goes(run: Run, made: Path) -> None:
    whole = made_run(str(made.with_name("squares")))
    write_artifact(whole.model_copy(update={"frames": whole.frames[2:5], "stopped": "interrupted"}), made)
    folder = made.parent / "frames"
    outcome = run("video", "draw", str(made), "--frames", str(folder))
    assert outcome.code == 0, outcome.err
    assert files(folder) == ["000002.png", "000003.png", "000004.png"]


def test_a_method_of_a_verification_is_drawn(run: Run, made: Path) -> None:
    verification, clip, late = made_verification(), made.with_name("squares"), made.parent / "late"
    late.mkdir()
    for number, file in enumerate([clip / "000.png"] * 3 + sorted(clip.iterdir())):  # three more frames before
        os.link(file, late / f"{number:03d}.png")
    told = verification.clip.model_copy(update={"path": str(late)})
    path = made.parent / "verification.json"
    write_artifact(verification.model_copy(update={"clip": told, "first_frame": 3}), path)
    folder = made.parent / "frames"
    outcome = run("video", "draw", str(path), "--frames", str(folder))
    assert outcome.code == 0, outcome.err
    assert len(files(folder)) == FRAMES
    shown = np.asarray(Image.open(folder / "000001.png"))
    expected = Annotator(made_run(str(clip), emulated=True), judged=False)
    frame = next(itertools.islice(open_clip(clip).frames(), 1, None))
    np.testing.assert_array_equal(
        shown, expected.annotated(frame, made_run(str(clip)).frames[1]), err_msg="not that of the run"
    )
    told_truth = json.loads(truth_file(clip).read_text())
    told_truth["images"] += [told_truth["images"][0] | {"id": FRAMES + number} for number in range(3)]
    for annotation in told_truth["annotations"]:
        annotation["image_id"] += 3
    truth_file(late).write_text(json.dumps(told_truth))
    outcome = run("video", "draw", str(path), "--frames", str(folder), "--force")
    assert "6 missed, 4 told twice, 1 with nothing there" in outcome.out
    words = ("video", "draw", str(path), "--method", "whole", "-o", str(made.parent / "whole.mp4"))
    assert run(*words).code == 0
    outcome = run("video", "draw", str(path), "--method", "tiles", "-o", str(made.parent / "tiles.mp4"))
    assert refused(outcome) == f"{path} has no method 'tiles'"
    assert outcome.hint == "it has whole, elf"
    outcome = run("video", "draw", str(made), "--method", "elf", "-o", str(made.parent / "elf.mp4"))
    assert refused(outcome, 2) == "--method is about verifications of clips' plans"
    (late / "010.png").unlink()
    assert "it has 10 frames instead of 11" in refused(
        run("video", "draw", str(path), "--frames", str(folder), "--force")
    )


def test_nothing_is_replaced_unless_told_to(run: Run, made: Path) -> None:
    video, folder = made.parent / "drawn.mp4", made.parent / "frames"
    video.write_text("mine")
    folder.mkdir()
    (folder / "000099.png").write_text("drawn before")
    words = ("video", "draw", str(made), "-o", str(video), "--frames", str(folder))
    assert refused(run(*words)) == f"{video} is there already"
    assert refused(run("video", "draw", str(made), "--frames", str(folder))) == f"{folder} is there already"
    assert run(*words, "--force").code == 0
    assert len(files(folder)) == FRAMES
    assert open_clip(video).info.frames == FRAMES
    (folder / "notes.txt").write_text("mine")
    assert "holds notes.txt" in refused(run(*words, "--force"))
    assert (folder / "notes.txt").read_text() == "mine"
    assert files(made.parent) == sorted([*BEFORE, "drawn.mp4", "frames"])


def test_an_empty_folder_is_filled(run: Run, made: Path) -> None:
    folder = made.parent / "frames"
    folder.mkdir()
    assert run("video", "draw", str(made), "--frames", str(folder)).code == 0
    assert len(files(folder)) == FRAMES


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (("{run}",), 2, "nothing says where to draw to"),
        (("{run}", "-o", "{folder}/drawn.gif"), 2, "videos are .mp4, .mkv, .mov files"),
        (("{run}", "-o", "{folder}/squares"), 1, "is the clip itself"),
        (("{run}", "--frames", "{folder}/squares", "--force"), 1, "is the clip itself"),
        (("{run}", "--frames", "{run}"), 1, "is a file"),
        (("{run}", "--frames", "."), 1, "is the current folder"),
        (("{run}", "-o", "{folder}/f/a.mp4", "--frames", "{folder}/f"), 2, "lies in the folder of --frames"),
        (("{folder}/none.json", "-o", "{folder}/a.mp4"), 1, "none.json is not there"),
        (("{folder}/squares.truth.json", "-o", "{folder}/a.mp4"), 1, "is not an artifact of offload"),
        (("{run}", "-o", "{folder}/a.mp4", "--clip", "{folder}/none.mp4"), 1, "none.mp4 is not there"),
        (("{run}", "-o", "{folder}/a.mp4", "--clip", "{run}"), 1, "is not a video"),
        (("{run}", "-o", "{folder}/a.mp4", "--truth", "{folder}/none.json"), 1, "none.json is not there"),
        (("{run}", "-o", "{folder}/a.mp4", "--truth", "{run}"), 1, "is damaged"),
        (("{run}", "-o", "{run}/a.mp4"), 1, "cannot write"),
        (("{run}", "--frames", "{run}/a"), 1, "cannot write"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_a_line(
    run: Run, made: Path, words: tuple[str, ...], code: int, problem: str
) -> None:
    filled = [word.format(run=made, folder=made.parent) for word in words]
    assert problem in refused(run("video", "draw", *filled), code)
    assert files(made.parent) == BEFORE


def test_another_clip_is_refused(run: Run, made: Path) -> None:
    folder = made.parent
    words = ("video", "draw", str(made), "-o", str(folder / "drawn.mp4"), "--clip")
    write_video(folder / "other.mp4", plain_frames(3))
    assert "it has 160x96 pixels instead of 320x192" in refused(run(*words, str(folder / "other.mp4")))
    wide = plain_frames(8, width=WIDTH, height=HEIGHT)
    write_video(folder / "slow.mp4", wide, fps=10)
    assert "it has 10 frames a second instead of 30" in refused(run(*words, str(folder / "slow.mp4")))
    write_video(folder / "other30.mp4", plain_frames(8, width=WIDTH, height=HEIGHT), fps=30)
    outcome = run(*words, str(folder / "other30.mp4"))
    assert refused(outcome) == f"{folder / 'other30.mp4'} is not the clip of {made}: it has other pixels"
    assert "--clip" in outcome.hint
    (folder / "squares" / "007.png").unlink()
    assert "it has 7 frames instead of 8" in refused(run("video", "draw", str(made), "-o", str(folder / "drawn.mp4")))
    assert not (folder / "drawn.mp4").exists()


def test_truth_with_other_classes_is_refused(run: Run, made: Path) -> None:
    truth = truth_file(made.with_name("squares"))
    told = json.loads(truth.read_text())
    told["categories"][0]["name"] = "purple"
    truth.write_text(json.dumps(told))
    problem = refused(run("video", "draw", str(made), "-o", str(made.parent / "drawn.mp4")))
    assert "has the classes purple, green, blue, the detector red, green, blue" in problem


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("labels", [3, 1, 2], "a class that the detector does not name"),
        ("number", 8, "are not the clip's, in order"),
        ("number", 0, "are not the clip's, in order"),
    ],
)
def test_a_run_that_cannot_be_is_damaged(run: Run, made: Path, field: str, value: object, problem: str) -> None:
    told = json.loads(made.read_text())
    told["frames"][2][field] = value
    made.write_text(json.dumps(told))
    assert problem in refused(run("video", "draw", str(made), "-o", str(made.parent / "drawn.mp4")))


@pytest.mark.parametrize("most_bytes", [0, 6000])
def test_a_full_disk_leaves_neither_a_video_nor_frames(child: Run, made: Path, most_bytes: int) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    words = ("-o", str(made.parent / "drawn.mp4"), "--frames", str(made.parent / "frames"))
    outcome = child("video", "draw", str(made), *words, preexec_fn=small_files)
    assert refused(outcome).startswith("cannot write ")
    assert "free some space" in outcome.hint
    assert files(made.parent) == BEFORE


def test_a_full_disk_for_frames_alone_leaves_no_folder(child: Run, made: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    folder = made.parent / "frames"
    outcome = child("video", "draw", str(made), "--frames", str(folder), preexec_fn=small_files)
    assert refused(outcome) == f"cannot write {folder}: File too large"
    assert files(made.parent) == BEFORE


def test_an_interrupt_leaves_what_was_there(home: Path, made: Path) -> None:
    clip, frames = made.parent / "squares", 400
    for number in range(FRAMES, frames):
        os.link(clip / f"{number % FRAMES:03d}.png", clip / f"{number:03d}.png")
    truth_file(clip).unlink()
    long = made_run(str(clip))
    content = hashlib.sha256()
    for frame in open_clip(clip).frames():
        content.update(frame.tobytes())
    records = tuple(long.frames[number % FRAMES].model_copy(update={"number": number}) for number in range(frames))
    told = long.clip.model_copy(update={"frames": frames, "sha256": content.hexdigest()})
    write_artifact(long.model_copy(update={"clip": told, "frames": records}), made)
    video, folder = made.parent / "drawn.mp4", made.parent / "frames"
    video.write_text("mine")
    words = ["video", "draw", str(made), "-o", str(video), "--frames", str(folder), "--force"]
    with subprocess.Popen(
        [sys.executable, "-m", "offload", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            for _ in range(2400):
                if any(made.parent.glob(".frames.*.part/000003.png")) or process.poll() is not None:
                    break
                time.sleep(0.025)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out) == (130, "")
    assert err.splitlines() == ["reading squares …", "drawing …", "error: interrupted"]
    assert files(made.parent) == sorted(["drawn.mp4", "run.json", "squares"])
    assert video.read_text() == "mine"
