"""`offload profile CLIP --detector D` by its real entry: what it measures, and every bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from offload.artifacts.video_profile import VideoProfile, area_line, decode_line
from offload.cli.main import main
from offload.errors import OffloadError
from offload.profilers.video.checkpoint import ClipCheckpoint
from offload.profilers.video.replay import replay
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
    assert {one.setting.predictor for one in profiled.replays} == {"hold", "linear", "kalman", "lstm"}
    assert {one.setting.servers for one in profiled.replays} == {1, 2}
    assert profiled.replays[1].setting.predictor == "linear"  # the squares move on straight lines
    for one in profiled.replays:
        assert len(one.sent_bytes) == len(one.images) == FRAMES
        assert 0 <= one.accuracy.ap <= one.accuracy.ap50 + 1e-9
    assert VideoProfile.from_json(profiled.to_json(), source="it") == profiled


def test_a_profile_holds_what_else_a_plan_needs(profiled: VideoProfile) -> None:
    for crop in profiled.crops:
        assert len(crop.decode_s) == len(crop.samples_s)
        assert min(crop.decode_s) > 0
        assert 0 < crop.answer_bytes <= 300 * (4 * 4 + 4 + 8)  # boxes, scores and labels of at most 300 objects
    assert decode_line(profiled.crops).seconds_per_pixel > 0
    assert {sample.uplink_bytes for sample in profiled.protocol} > {8}
    assert profiled.measured_on is None
    small = [[image for image in frame if image.small] for frame in profiled.replays[1].images]
    assert [bool(frame) for frame in small] == [False, False, True, False, True, False, True, False]
    for frame in filter(None, small):  # in strips, whose sides are rounded
        assert sum(image.pixels for image in frame) == pytest.approx(0.6**2 * WIDTH * HEIGHT, rel=0.02)


def test_each_function_of_the_device_is_timed_in_each_frame(profiled: VideoProfile) -> None:
    assert profiled.whole.functions_s == {}
    for one in profiled.replays:
        if one.setting.whole:
            continue
        took_s = one.functions_s
        assert {name: len(took) for name, took in took_s.items()} == dict.fromkeys(
            ("predict", "expand", "partition", "merge", "index"), FRAMES
        )
        planned = (took_s["predict"], took_s["expand"], took_s["partition"], one.plan_s)
        for predict_s, expand_s, partition_s, plan_s in zip(*planned, strict=True):
            assert 0 < predict_s + expand_s + partition_s <= plan_s
        for merge_s, index_s, whole_s in zip(took_s["merge"], took_s["index"], one.merge_s, strict=True):
            assert 0 < merge_s + index_s <= whole_s


def test_motion_is_judged_on_the_clips_own_paths(profiled: VideoProfile) -> None:
    """The squares move by 8 of their 16 pixels a frame: a held box has a third of the union, and half of the square."""
    assert profiled.motion_noise == pytest.approx(0, abs=0.01)  # the detector finds them to the pixel
    motion = {one.predictor: one for one in profiled.motion}
    assert set(motion) == {"hold", "linear", "kalman", "lstm"}
    assert {one.examples for one in profiled.motion} == {2 * (FRAMES - 1) + FRAMES - 4}
    assert motion["hold"].mean_iou == pytest.approx(1 / 3, abs=0.01)
    assert dict(motion["hold"].coverage)[0.0] == pytest.approx(0.5, abs=0.01)
    assert motion["linear"].mean_iou > 0.8
    assert dict(motion["linear"].coverage)[0.4] > dict(motion["linear"].coverage)[0.0]


@pytest.fixture
def protocol(profiled: VideoProfile, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured of the serving protocol before, which takes seconds."""
    monkeypatch.setattr("offload.serving.protocol_cost.measure_protocol", lambda _: profiled.protocol)


@pytest.mark.usefixtures("protocol")
def test_an_interrupted_profile_goes_on_where_it_stopped(
    run: Run, home: Path, made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, detector = made
    path = tmp_path / "it.json"
    words = ["profile", str(clip), "--detector", str(detector), "--servers", "1", "--threads", "1", "--frames", "4"]
    asked: list[int] = []

    def counted(*given: object, **more: object) -> object:
        asked.append(0)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return replay(*given, **more)

    monkeypatch.setattr("offload.profilers.video.replay.replay", counted)
    broken = run(*words, "-o", str(path))
    assert broken.code == 130
    assert "--resume goes on" in broken.err
    first = VideoProfile.load(path)
    assert (first.stopped, len(first.replays)) == ("interrupted", 3)
    assert "the same command with --resume goes on" in broken.out
    gone_on = run(*words, "--resume", "--force", "-o", str(path))
    assert gone_on.code == 0
    assert "2 settings were measured before" in gone_on.err
    assert f"next: offload plan --planner elf --video-profile {path} --servers 1" in gone_on.err
    second = VideoProfile.load(path)
    assert (second.stopped, second.crops) == ("done", first.crops)
    assert (bool(first.protocol), bool(second.protocol)) == (False, True)
    assert second.replays[1:3] == first.replays[1:3]
    assert len(asked) == 4 + len(second.replays) - 2  # whole frames again, as others are compared with them
    assert list(home.glob("cache/clip-*")) == []  # what is done is not kept


def test_a_profile_that_was_cut_off_in_a_line_passes_it_over(tmp_path: Path, profiled: VideoProfile) -> None:
    path = tmp_path / "kept.jsonl"
    kept = ClipCheckpoint(path)
    kept.keep(crops=profiled.crops)
    kept.keep(replay=profiled.replays[0])
    path.write_text(path.read_text()[:-40])
    kept = ClipCheckpoint(path)
    assert (kept.crops, kept.replays, kept.protocol) == (profiled.crops, {}, None)
    kept.keep(replay=profiled.replays[1])
    assert list(ClipCheckpoint(path).replays) == [profiled.replays[1].setting]


@pytest.mark.usefixtures("protocol")
def test_threads_are_those_that_were_asked_for_and_nothing_is_gone_on_with(run: Run, made: tuple[Path, Path]) -> None:
    clip, detector = made
    words = ("--servers", "1", "--threads", "2", "--frames", "2", "--json", "--resume")
    outcome = run("profile", str(clip), "--detector", str(detector), *words)
    assert "nothing of this profile was measured before: it begins anew" in outcome.err
    assert VideoProfile.from_json(outcome.out, source="it").runtime.threads == 2


@pytest.mark.usefixtures("protocol")
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
    assert "partition and assign" in outcome.out
    assert "what the detector finds in the whole frame" in outcome.out
    profile = VideoProfile.load(path)
    assert (profile.clip.truth, profile.clip.frames) == (False, 4)
    assert profile.whole.accuracy.ap50 == 1
    assert profile.whole.accuracy.new_object_delay_frames is None
    assert profile.motion_noise == 0
    assert profile.motion == ()  # the squares move farther than a box is followed without truth


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
        (("mnist", "--resume"), 2, "--resume is about clips"),
        (("{clip}", "--detector", "{detector}", "--on", "nowhere"), 2, "'nowhere' is not an address"),
        (("{clip}", "--detector", "{detector}", "--on", "127.0.0.1:1"), 1, "127.0.0.1:1"),
        (("{clip}", "--detector", "{detector}", "--tls-ca", "{folder}/no.pem"), 1, "--tls-ca"),
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
    assert "finds nothing in 3 frames" in outcome.error


def test_a_dry_run_says_what_would_be_done(run: Run, made: tuple[Path, Path]) -> None:
    clip, detector = made
    outcome = run("profile", str(clip), "--detector", str(detector), "--dry-run")
    assert outcome.code == 0
    assert "would time" in outcome.out


def test_an_artifact_of_other_frames_is_damaged(profiled: VideoProfile) -> None:
    told = json.loads(profiled.to_json())
    told["replays"][0]["images"].pop()
    with pytest.raises(OffloadError, match="another number of frames"):
        VideoProfile.from_json(json.dumps(told), source="it")
