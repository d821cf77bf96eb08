"""Servers that a clip's profile and plan measure: over real sockets, by the server's own stamps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from offload.artifacts.video_plan import VideoPlan
from offload.artifacts.video_profile import VideoProfile
from offload.cli.main import main
from offload.serving.embedded import EmbeddedServer
from tests.made_detectors import SPOTS, bright_spots
from tests.moving_squares import HEIGHT, WIDTH, write_squares


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with EmbeddedServer(threads=1) as server:
        yield server.address


@pytest.fixture(scope="module", autouse=True)
def no_protocol() -> Iterator[None]:
    """Nothing is known of the serving protocol's cost, which takes seconds to measure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("offload.serving.protocol_cost.measure_protocol", lambda _: ())
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip and detectors: of images of any size, and of one size."""
    folder = tmp_path_factory.mktemp("clips")
    write_squares(folder)
    for name, onnx in (("spots", bright_spots()), ("fixed", bright_spots(str(HEIGHT), str(WIDTH)))):
        (folder / f"{name}.onnx").write_bytes(onnx)
        (folder / f"{name}.json").write_text(SPOTS.model_dump_json())
    return folder


def _profiled(folder: Path, *words: str) -> VideoProfile:
    path = folder / "profile.json"
    clip, common = str(folder / "squares"), ("--servers", "1", "--threads", "1", "--frames", "4", "--force")
    assert main(["profile", clip, *words, *common, "-o", str(path)]) == 0
    return VideoProfile.load(path)


@pytest.fixture(scope="module")
def here(folder: Path) -> VideoProfile:
    return _profiled(folder, "--detector", str(folder / "spots.onnx"))


def test_a_server_is_profiled_with_a_clip_and_planned_with(folder: Path, here: VideoProfile, address: str) -> None:
    profile = _profiled(folder, "--detector", str(folder / "spots.onnx"), "--on", address)
    assert profile.measured_on == address
    assert {len(crop.samples_s) for crop in profile.crops} == {9}
    assert profile.crops[0].pixels == WIDTH * HEIGHT
    assert min(min(crop.decode_s) for crop in profile.crops) > 0
    assert [(crop.width, crop.height, crop.answer_bytes) for crop in profile.crops] == [
        (crop.width, crop.height, crop.answer_bytes) for crop in here.crops
    ]
    there, plan_path = folder / "there.json", folder / "plan.json"
    there.write_text(profile.to_json())
    words = ["--video-profile", str(folder / "profile.json"), "--server", str(there), "--server", address]
    assert main(["plan", "--planner", "elf", *words, "--bw", "50mbps", "-o", str(plan_path), "--force"]) == 0
    plan = VideoPlan.load(plan_path)
    assert [(server.name, server.address) for server in plan.servers] == [(str(there), address), (address, address)]
    assert [server.profile_hash is None for server in plan.servers] == [False, True]
    assert all(server.seconds_per_pixel > 0 for server in plan.servers)


def test_a_detector_of_one_size_is_measured_there_too(folder: Path, address: str) -> None:
    profile = _profiled(folder, "--detector", str(folder / "fixed.onnx"), "--on", address)
    assert len(profile.crops) > 2
    assert {crop.answer_bytes for crop in profile.crops} == {profile.crops[0].answer_bytes}


def test_another_detector_or_clip_than_the_profiles_is_refused(
    folder: Path, here: VideoProfile, address: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = folder / "other.json"
    for part, fields, told in (
        ("detector", {"sha256": "0" * 64}, "is another detector now than the profile is of"),
        ("clip", {"path": str(folder / "gone")}, "the clip of the profile, is not there"),
    ):
        other = here.model_copy(update={part: getattr(here, part).model_copy(update=fields)})
        path.write_text(other.to_json())
        words = ["--video-profile", str(path), "--server", address, "--bw", "50mbps"]
        capfd.readouterr()
        assert main(["plan", "--planner", "elf", *words]) == 1
        error = capfd.readouterr().err
        assert told in error
        assert f"--on {address}" in error
