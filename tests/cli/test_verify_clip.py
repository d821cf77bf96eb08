"""`offload verify PLAN` for the plan of a clip by its real entry: what it tells, and every bad input."""

from __future__ import annotations

import csv
import io
import json
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from offload.artifacts.video_plan import VideoPlan
from offload.artifacts.video_verification import ALONE, VideoVerification
from offload.profilers.video import replay
from offload.serving.embedded import EmbeddedServer
from tests import made_video_profiles as made
from tests.cli.conftest import Run
from tests.made_clip_plans import FRAMES, SLOW_S_A_PIXEL, PlannedClip, write_clip, write_planned
from tests.made_detectors import SPOTS, bright_spots

ANY_TIME = ("--tolerance", "100000%")
"""The made profile's times are not this machine's."""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> PlannedClip:
    return write_planned(tmp_path_factory.mktemp("planned"))


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[str, str]]:
    with EmbeddedServer(threads=1) as one, EmbeddedServer(threads=1) as other:
        yield one.address, other.address


def test_three_servers_are_emulated_beside_every_baseline(run: Run, planned: PlannedClip, tmp_path: Path) -> None:
    path = tmp_path / "it.json"
    outcome = run("verify", str(planned.plans["three"]), *ANY_TIME, "-o", str(path))
    assert outcome.code == 0
    told = VideoVerification.load(path)
    assert [each.name for each in told.runs] == [
        "whole", "elf", ALONE, "filter", "strips", "tiles", "hold", "oracle",
    ]  # fmt: skip
    assert told.emulated
    assert told.addresses == ()
    assert all(each.emulated for each in told.runs)
    # The plan was chosen by the first half of the clip.
    assert (told.first_frame, told.clip.frames, told.fresh) == (made.FRAMES, FRAMES - made.FRAMES, True)
    assert told.plan_hash == VideoPlan.load(planned.plans["three"]).content_hash
    whole, elf = told.whole, told.elf
    assert whole.accuracy.ap50 == pytest.approx(1, abs=0.01)
    assert elf.accuracy.ap50 == pytest.approx(1, abs=0.05)
    assert set(elf.servers) == {0, 1, 2}
    assert whole.pixels_a_frame == made.WIDTH * made.HEIGHT
    assert elf.pixels_a_frame < whole.pixels_a_frame
    assert elf.bytes_a_frame < whole.bytes_a_frame
    assert told.crop_gain * told.parallel_gain == pytest.approx(told.speedup(elf))
    assert told.run("oracle").accuracy.missed == 0
    assert elf.asked_by_age == (4,) * told.clip.frames
    assert "Methods, servers emulated" in outcome.out
    assert "ELF, one server" in outcome.out
    assert "emulated: each image was encoded, decoded and looked at alone" in outcome.out
    assert "frames 6 to 11 of" in outcome.out
    assert "by cropping (one server)" in outcome.out
    assert f"next: offload run {planned.plans['three']}" in outcome.err


@pytest.mark.slow
def test_records_hold_each_method_with_its_split(run: Run, planned: PlannedClip) -> None:
    words = ("verify", str(planned.plans["three"]), *ANY_TIME, "--methods", "tiles")
    rows = list(csv.DictReader(io.StringIO(run(*words, "--format", "csv").out)))
    assert [row["method"] for row in rows] == ["whole", "elf", ALONE, "tiles"]
    for row in rows:
        parts = sum(float(row[name]) for name in row if name.startswith("mean_") and name != "mean_s")
        assert parts == pytest.approx(float(row["mean_s"]), rel=0.01)
    assert float(rows[1]["speedup"]) == pytest.approx(float(rows[0]["mean_s"]) / float(rows[1]["mean_s"]))
    assert rows[2]["predicted_mean_s"] == ""


@pytest.mark.slow
def test_named_servers_are_asked_for_real(run: Run, planned: PlannedClip, servers: tuple[str, str]) -> None:
    named = [word for address in servers for word in ("--server", address)]
    outcome = run("verify", str(planned.plans["two"]), *named, *ANY_TIME, "--methods", "strips", "--json")
    assert outcome.code == 0
    told = VideoVerification.from_json(outcome.out, source="it")
    assert not told.emulated
    assert told.addresses == servers
    assert told.link == "the network as it is"
    assert [each.name for each in told.runs] == ["whole", "elf", ALONE, "strips"]
    assert {ask.server for frame in told.elf.frames for ask in frame.asks} == {0, 1}
    assert len({ask.server for frame in told.whole.frames for ask in frame.asks}) == 1
    assert told.elf.accuracy.ap50 == pytest.approx(1, abs=0.05)
    assert all(ask.answered for each in told.runs for frame in each.frames for ask in frame.asks)
    emulated = run("verify", str(planned.plans["two"]), *named, *ANY_TIME, "--methods", "", "--emulate-link", "9mbps")
    assert emulated.code == 0
    assert "link: emulated: 9 Mbit/s" in emulated.out
    assert "--emulate-link is not the plan's link" in emulated.out


def test_a_server_that_was_measured_elsewhere_is_emulated_as_fast_as_it_was(run: Run, planned: PlannedClip) -> None:
    words = ("verify", str(planned.plans["unequal"]), *ANY_TIME, "--methods", "strips", "--json")
    told = VideoVerification.from_json(run(*words).out, source="it")
    assert told.emulated
    strips = told.run("strips")
    assert strips is not None
    asks = [ask for frame in strips.frames for ask in frame.asks]
    here, slow = (
        statistics.median((ask.decode_s + ask.server_s) / ask.pixels for ask in asks if ask.server == server)
        for server in (0, 1)
    )
    assert SLOW_S_A_PIXEL / 5 < slow < SLOW_S_A_PIXEL * 5  # measured here, where other work may run
    assert here < slow / 3


def test_another_clip_without_truth_is_compared_with_full_frames(
    run: Run, planned: PlannedClip, tmp_path: Path
) -> None:
    other = write_clip(tmp_path / "other", first=3, frames=5, truth=False)
    outcome = run("verify", str(planned.plans["three"]), "--clip", str(other), *ANY_TIME, "--frames", "4", "--json")
    told = VideoVerification.from_json(outcome.out, source="it")
    assert (told.first_frame, told.clip.frames, told.fresh, told.clip.truth) == (0, 4, True, False)
    assert told.whole.accuracy.ap50 == 1
    assert told.run("oracle") is None
    assert told.left_out == ("oracle: there is no ground truth, which it sees",)
    assert any("there is no ground truth" in warning for warning in told.warnings)
    assert told.elf.asked_by_age == ()


def test_a_clip_of_nothing_but_the_frames_that_the_plan_was_chosen_by_is_said(
    run: Run, planned: PlannedClip, tmp_path: Path
) -> None:
    same = write_clip(tmp_path / "same", frames=made.FRAMES)
    words = ("verify", str(planned.plans["three"]), "--clip", str(same), *ANY_TIME, "--methods", "hold")
    outcome = run(*words)
    assert outcome.code == 0
    assert "the plan was chosen by these very frames" in outcome.out
    assert "by which the plan was chosen" in outcome.out


@pytest.mark.slow
def test_a_plan_that_sends_full_frames_has_nothing_to_predict(run: Run, planned: PlannedClip) -> None:
    outcome = run("verify", str(planned.plans["whole"]), "--emulate-link", "1gbps", *ANY_TIME, "--json")
    told = VideoVerification.from_json(outcome.out, source="it")
    assert not told.by_content
    assert told.elf.bytes_a_frame == told.whole.bytes_a_frame
    assert [reason.partition(":")[0] for reason in told.left_out] == ["oracle", "hold"]


def test_a_latency_far_from_the_predicted_one_is_a_negative_verdict(run: Run, planned: PlannedClip) -> None:
    outcome = run("verify", str(planned.plans["three"]), "--methods", "", "--tolerance", "0.001%")
    assert outcome.code == 4
    assert outcome.error == "verdict: out of tolerance"
    assert "--tolerance" in outcome.hint
    assert "Verdict: out of tolerance" in outcome.out


def test_answers_that_are_worse_than_promised_are_a_negative_verdict(
    run: Run, planned: PlannedClip, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "jumping", jumping=True)  # what moves so can be predicted by nothing
    outcome = run("verify", str(planned.plans["blind"]), "--clip", str(clip), "--methods", "", *ANY_TIME)
    assert outcome.code == 4
    assert outcome.error == "verdict: less accurate than promised"
    assert "--min-accuracy" in outcome.hint


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (("{three}", "--server", "localhost:1"), 2, "the plan is for 3 servers, --server names 1"),
        (("{two}", "--server", "localhost:1", "--server", "localhost:1"), 2, "--server names a server twice"),
        (("{three}", "--clip", "{detector}"), 1, "is not a video"),
        (("{three}", "--clip", "{folder}/missing"), 1, "missing is not there"),
        (("{three}", "--truth", "{folder}/missing"), 1, "missing is not there"),
        (("{three}", "--truth", "{detector}"), 1, "is no ground truth"),
        (("{three}", "--methods", "magic"), 1, "no method is called 'magic'"),
        (("{whole}", "--methods", "oracle"), 1, "the same whatever is expected"),
        (("{three}", "--frames", "1"), 2, "--frames 1 are too few"),
        (("{three}", "--emulate-link", "fast"), 2, "fast"),
        (("{three}", "--requests", "5"), 2, "--requests is about networks"),
        (("{three}", "--background-traffic",), 2, "--background-traffic is about networks"),
        (("{three}", "--emulate-slowdown", "3"), 2, "--emulate-slowdown is about networks"),
        (("--clip", "{clip}"), 2, "--clip is about clips"),
        (("--emulate-servers",), 2, "--emulate-servers is about clips"),
        (("{three}", "--emulate-servers", "--server", "a:1", "--server", "b:1", "--server", "c:1"), 2, "exclude each"),
        (("--server", "a:1", "--server", "b:1"), 2, "a network's plan has one server, --server names 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_verified_is_told_in_a_line(
    run: Run, planned: PlannedClip, words: tuple[str, ...], code: int, problem: str
) -> None:
    filled = [
        word.format(**planned.plans, clip=planned.clip, detector=planned.detector, folder=planned.clip.parent)
        for word in words
    ]
    outcome = run("verify", *filled)
    assert outcome.code == code
    assert problem in outcome.error
    assert outcome.hint


def test_servers_that_nobody_answers_at_are_told_in_a_line(run: Run, planned: PlannedClip) -> None:
    outcome = run("verify", str(planned.plans["one"]), "--server", "127.0.0.1:9", "--methods", "")
    assert outcome.code == 1
    assert "127.0.0.1:9" in outcome.error
    assert outcome.hint


@pytest.mark.slow
def test_a_server_that_nobody_answers_at_beside_one_that_does_is_told_in_a_line(
    run: Run, planned: PlannedClip, servers: tuple[str, str]
) -> None:
    words = ("--server", servers[0], "--server", "127.0.0.1:9", "--methods", "")
    outcome = run("verify", str(planned.plans["two"]), *words)
    assert outcome.code == 1
    assert "127.0.0.1:9" in outcome.error
    assert outcome.hint


@pytest.mark.parametrize("what", ["clip", "size", "truth", "classes", "detector", "gone"])
def test_a_plan_for_something_else_is_told_in_a_line(run: Run, planned: PlannedClip, tmp_path: Path, what: str) -> None:
    plan, words, clip = json.loads(planned.plans["three"].read_text()), [], tmp_path / "clip"
    if what == "clip":
        plan["clip"]["path"] = str(write_clip(clip, first=9))
        problem = "is not the clip that was profiled"
    elif what == "size":
        clip.mkdir()
        for number in range(3):
            Image.new("RGB", (64, 64)).save(clip / f"{number}.png")
        words, problem = ["--clip", str(clip)], "has frames of 64x64, the plan is for 640x384"
    elif what == "truth":
        words = ["--clip", str(write_clip(clip, frames=4)), "--truth", str(planned.clip.with_name("clip.truth.json"))]
        problem = "is not about this clip: it tells of 12 frames"
    elif what == "classes":
        write_clip(clip)
        told = json.loads((tmp_path / "clip.truth.json").read_text())
        told["categories"][0]["name"] = "violet"
        (tmp_path / "clip.truth.json").write_text(json.dumps(told))
        words, problem = ["--clip", str(clip)], "has the classes violet, green, blue, the detector red, green, blue"
    elif what == "detector":
        shutil.copy(planned.detector.with_suffix(".json"), tmp_path / "spots.json")
        (tmp_path / "spots.onnx").write_bytes(bright_spots(opset=14))
        plan["detector"]["spec"] = str(tmp_path / "spots.onnx")
        problem = "is not the detector that the plan is for"
    else:
        plan["clip"]["path"] = str(tmp_path / "gone")
        problem = "gone, is not there"
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    outcome = run("verify", str(path), *words)
    assert outcome.code == 1
    assert problem in outcome.error
    assert outcome.hint
    assert SPOTS.classes == ("red", "green", "blue")


@pytest.mark.parametrize("frames", [0, 9])
def test_an_interrupt_keeps_what_was_answered(
    run: Run, planned: PlannedClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: int
) -> None:
    original, done = replay.replayed, []

    def interrupted(*arguments: object, **more: object) -> object:
        if len(done) == frames:
            raise KeyboardInterrupt
        done.append(1)
        return original(*arguments, **more)

    monkeypatch.setattr("offload.verification.video.emulation.replayed", interrupted)
    path = tmp_path / "it.json"
    outcome = run("verify", str(planned.plans["three"]), *ANY_TIME, "-o", str(path))
    assert outcome.code == 130
    if not frames:
        assert not path.exists()
        return
    told = VideoVerification.load(path)
    assert (told.stopped, told.clip.frames) == ("interrupted", frames - (FRAMES - made.FRAMES))
    assert [each.name for each in told.runs] == ["whole", "elf"]
    assert "interrupted: the frames and methods not reached are missing" in outcome.out
