"""`offload run PLAN` by its real entry: what it does with a clip, and every bad input."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from offload.api.clips import clip_record
from offload.artifacts.estimate import Estimate
from offload.artifacts.link import AffineCost, Link, ProtocolCost
from offload.artifacts.video_plan import FramePrediction, VideoOption, VideoPlan, VideoServer
from offload.artifacts.video_profile import DetectorRecord, Setting
from offload.artifacts.video_run import VideoRun
from offload.artifacts.workspace import write_artifact
from offload.detectors.catalogue import load_detector
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.serving.embedded import EmbeddedServer
from offload.video.clips import open_clip
from tests.cli.conftest import Run
from tests.made_detectors import SPOTS, bright_spots
from tests.moving_squares import FRAMES, HEIGHT, WIDTH, write_squares

ELF = Setting(servers=2, expansion=0.5, interval=2, ratio=1.0, quality=95)
WHOLE = Setting(servers=1, rule="equal", interval=0)


def option(setting: Setting, frames: int) -> VideoOption:
    nothing = Estimate.exactly(0.01)
    return VideoOption(
        setting=setting, servers=tuple(range(setting.servers)), accuracy_servers=setting.servers, mean_s=nothing,
        p50_s=nothing, p95_s=nothing, bytes_a_frame=1000, pixels_a_frame=1000, radio_j=None, ap50=1, ap=1,
        ap50_change=0,
        frames=tuple(
            FramePrediction(number=number, asks=(), plan_s=0, merge_s=0, latency_s=0.01) for number in range(frames)
        ),
    )  # fmt: skip


def plan_for(clip: Path, detector: Path, setting: Setting, servers: int) -> VideoPlan:
    """A plan that chose this setting, whatever a planner would."""
    loaded, opened = load_detector(str(detector)), open_clip(clip)
    server = VideoServer(
        name="like here", address=None, fixed_s=1e-3, seconds_per_pixel=1e-8, residual=0, decode_fixed_s=0,
        decode_seconds_per_pixel=0, profile_hash=None,
    )  # fmt: skip
    none = AffineCost()
    return VideoPlan.create(
        clip=clip_record(clip, opened, 0, opened.info.frames, truth=True),
        detector=DetectorRecord(
            name=loaded.name, spec=str(detector), sha256=loaded.hash, classes=loaded.classes, multiple=loaded.multiple
        ),
        runtime=OnnxRuntime().identity(threads=1),
        profile_hash="0" * 64,
        servers=(server,) * servers,
        link=Link(uplink_bps=200e6, downlink_bps=200e6, rtt_s=0.002),
        protocol=ProtocolCost(encode=none, uplink=none, decode=none, downlink=none),
        target="latency",
        radio=None,
        least_ap50=0.9,
        chosen=option(setting, opened.info.frames),
        whole=option(WHOLE, opened.info.frames),
        by_servers=(),
        alternatives=(),
        considered=2,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A clip and a detector."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "spots.onnx").write_bytes(bright_spots())
    (folder / "spots.json").write_text(SPOTS.model_dump_json())
    return write_squares(folder), folder / "spots.onnx"


@pytest.fixture(scope="module")
def plan_file(made: tuple[Path, Path]) -> Path:
    path = made[0].parent / "plan.json"
    write_artifact(plan_for(*made, ELF, 2), path)
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(threads=1) as server:
        yield server


def test_a_plan_is_executed_on_servers_that_are_started_here(run: Run, plan_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    outcome = run("run", str(plan_file), "-o", str(path))
    assert outcome.code == 0, outcome.err
    for words in (
        "8 frames of 320×192",
        "embedded 1",
        "embedded 2",
        "p95",
        "not paced",
        "emulated: 200 Mbit/s, 1.00 ms delay",
    ):
        assert words in outcome.out
    assert "next: offload verify" in outcome.err
    found = VideoRun.load(path)
    assert (found.method, found.emulated, found.stopped) == ("elf", False, "done")
    assert found.servers == ("embedded 1", "embedded 2")
    assert [frame.number for frame in found.frames] == list(range(FRAMES))
    plan = VideoPlan.load(plan_file)
    assert found.plan_hash == plan.content_hash
    assert found.clip.sha256 == plan.clip.sha256
    for number, frame in enumerate(found.frames):
        shown = [box for box, score in zip(frame.boxes, frame.scores, strict=True) if score > 0.5]
        assert (16.0 + 8 * number, 32.0) in [(round(left), round(top)) for left, top, _, _ in shown]
        assert frame.asks


def test_a_named_server_runs_a_plan_for_one(
    run: Run, made: tuple[Path, Path], server: EmbeddedServer, tmp_path: Path
) -> None:
    plan = tmp_path / "whole.json"
    write_artifact(plan_for(*made, WHOLE, 1), plan)
    outcome = run("run", str(plan), "--server", server.address, "--frames", "3", "--format", "csv", "-o", "-")
    assert outcome.code == 0, outcome.err
    found = VideoRun.from_json(outcome.out, source="stdout")
    assert (found.method, found.servers, found.link) == ("whole", (server.address,), "the network as it is")
    assert len(found.frames) == found.clip.frames == 3
    assert {ask.box for frame in found.frames for ask in frame.asks} == {(0, 0, WIDTH, HEIGHT)}
    table = run("run", str(plan), "--server", server.address, "--frames", "3", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(table.out)))
    assert [row["frame"] for row in rows] == ["0", "1", "2"]
    assert {row["server"] for row in rows} == {server.address}
    assert all(float(row["uplink_s"]) > 0 for row in rows)
    assert json.loads(run("run", str(plan), "--server", server.address, "--frames", "1", "--json").out)["frames"]


def test_another_clip_of_the_same_size_may_be_asked_for(
    run: Run, plan_file: Path, server: EmbeddedServer, tmp_path: Path
) -> None:
    clip = tmp_path / "dark"
    clip.mkdir()
    for number in range(2):
        Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(clip / f"{number}.png")
    words = ("--server", server.address, "--server", "127.0.0.1:9", "--clip", str(clip), "-o", "-")
    outcome = run("run", str(plan_file), *words)
    assert outcome.code == 0, outcome.err
    assert "is another clip than the one that was profiled" in outcome.err
    found = VideoRun.from_json(outcome.out, source="stdout")
    assert found.clip.name == "dark"
    assert "127.0.0.1:9 cannot be reached" in found.notes[0]
    assert all(frame.boxes == () for frame in found.frames)


def test_what_happened_to_servers_is_told(run: Run, plan_file: Path, server: EmbeddedServer) -> None:
    words = ("--server", server.address, "--server", "127.0.0.1:9", "--emulate-link", "100mbps,1ms")
    outcome = run("run", str(plan_file), *words)
    assert outcome.code == 0, outcome.err
    assert "On the way" in outcome.out
    assert "server 127.0.0.1:9 cannot be reached" in outcome.out


def test_a_clip_that_has_changed_is_refused(run: Run, made: tuple[Path, Path], tmp_path: Path) -> None:
    clip = write_squares(tmp_path)
    plan = tmp_path / "plan.json"
    write_artifact(plan_for(clip, made[1], ELF, 2), plan)
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(clip / "002.png")
    outcome = run("run", str(plan))
    assert outcome.code == 1
    assert "is not the clip that was profiled" in outcome.error
    assert "--clip" in outcome.hint


def test_a_detector_that_has_changed_is_refused(run: Run, made: tuple[Path, Path], tmp_path: Path) -> None:
    detector = tmp_path / "spots.onnx"
    detector.write_bytes(bright_spots())
    (tmp_path / "spots.json").write_text(SPOTS.model_dump_json())
    plan = tmp_path / "plan.json"
    write_artifact(plan_for(made[0], detector, ELF, 2), plan)
    detector.write_bytes(bright_spots(opset=14))
    outcome = run("run", str(plan))
    assert outcome.code == 1
    assert "is not the detector that the plan is for" in outcome.error
    assert outcome.hint


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (("{folder}/none.json",), 1, "none.json is not there"),
        (("{plan}", "--frames", "0"), 2, "--frames"),
        (("{plan}", "--server", "nowhere", "--server", "127.0.0.1:9"), 2, "'nowhere' is not an address"),
        (("{plan}", "--server", "127.0.0.1:9"), 2, "1 server is named, the plan divides frames among 2"),
        (("{plan}", "--server", "127.0.0.1:9", "--server", "127.0.0.1:9"), 2, "names one server twice"),
        (("{plan}", "--server", "127.0.0.1:9", "--server", "127.0.0.1:19"), 1, "none of the 2 servers can be reached"),
        (("{plan}", "--emulate-link", "fast"), 2, "'fast'"),
        (("{plan}", "--clip", "{folder}/none.mp4"), 1, "none.mp4 is not there"),
        (("{plan}", "--clip", "{folder}/small"), 1, "has frames of 64x48, the plan is for 320x192"),
        (("{plan}", "--clip", "{plan}"), 1, "is not a video"),
        (("{plan}", "--tls-ca", "{folder}/none.pem"), 1, "none.pem is not there"),
        (("{folder}/network.json",), 1, "is a plan that divides a network"),
        (("{folder}/many.json",), 1, "divides frames among 3 servers; at most 2 are started here"),
        (("{folder}/damaged.json",), 1, "is damaged"),
    ],
)
def test_what_cannot_be_run_is_told_in_a_line(
    run: Run, made: tuple[Path, Path], plan_file: Path, words: tuple[str, ...], code: int, problem: str
) -> None:
    folder = plan_file.parent
    (folder / "small").mkdir(exist_ok=True)
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / "small" / "0.png")
    (folder / "network.json").write_text('{"kind": "plan", "schema_version": 1}')
    (folder / "damaged.json").write_text('{"kind": "video-plan", "schema_version": 1}')
    write_artifact(plan_for(*made, ELF.model_copy(update={"servers": 3}), 3), folder / "many.json", force=True)
    outcome = run("run", *(word.format(plan=plan_file, folder=folder) for word in words))
    assert outcome.code == code
    assert problem in outcome.error
    assert outcome.hint


def test_without_a_plan_the_newest_is_taken_and_none_is_one_line(
    run: Run, home: Path, plan_file: Path, server: EmbeddedServer
) -> None:
    outcome = run("run")
    assert outcome.code == 1
    assert "no video plan in" in outcome.error
    assert "--planner elf" in outcome.hint
    home.mkdir(exist_ok=True)
    (home / "squares.video-plan.json").write_text(plan_file.read_text())
    words = ("--server", server.address, "--server", "127.0.0.1:9", "--frames", "1")
    outcome = run("run", *words)
    assert outcome.code == 0, outcome.err
    assert "took the newest video plan" in outcome.err
    assert list(home.glob("squares-*.video-run.json"))


def test_an_interrupt_keeps_the_frames_that_were_answered(
    home: Path, made: tuple[Path, Path], server: EmbeddedServer, tmp_path: Path
) -> None:
    clip = tmp_path / "long"
    clip.mkdir()
    files = sorted(made[0].glob("*.png"))
    for number in range(2000):
        (clip / f"{number:04d}.png").symlink_to(files[number % len(files)])
    plan = tmp_path / "plan.json"
    short = plan_for(made[0], made[1], ELF, 2)
    write_artifact(short, plan)
    command = [sys.executable, "-m", "offload", "run", str(plan), "--clip", str(clip), "-o", str(tmp_path / "run.json")]
    command += ["--server", server.address, "--server", "127.0.0.1:9", "--emulate-link", "4mbps,5ms"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "offloading frames" in line:
                break
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)  # frames take a tenth of that
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    found = VideoRun.load(tmp_path / "run.json")
    assert found.stopped == "interrupted"
    assert 0 < len(found.frames) == found.clip.frames < 2000
    assert "interrupted: the rest of the clip is missing" in out
