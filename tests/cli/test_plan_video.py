"""`offload plan --planner elf` by its real entry: what it answers, and every bad input."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from offload.artifacts.link import LinkProfile, RttSample, TransferSample
from offload.artifacts.video_plan import VideoPlan
from offload.artifacts.video_profile import VideoProfile
from offload.artifacts.workspace import Workspace, write_artifact
from tests import made_video_profiles as made
from tests.cli.conftest import Run


@pytest.fixture
def profiled(home: Path) -> Path:
    """A clip's profile in the workspace."""
    return Workspace(home).save(made.video_profile(), name="made")


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A profile that was made on a slower server."""
    path = tmp_path / "slow.json"
    profile = made.video_profile(server=made.crops(seconds_per_pixel=4e-7), measured_on="far:8001")
    write_artifact(profile, path)
    return path


def test_the_newest_profile_is_taken_and_said(run: Run, profiled: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    outcome = run("plan", "--planner", "elf", "--servers", "3", "--bw", "50mbps", "--rtt", "4ms", "-o", str(path))
    assert outcome.code == 0
    assert f"took the newest video profile, {profiled}" in outcome.err
    assert f"next: offload verify {path}" in outcome.err
    assert "Divide frames among 3 servers by ELF's partition" in outcome.out
    assert "whole frame, one server" in outcome.out
    plan = VideoPlan.load(path)
    assert plan.profile_hash == VideoProfile.load(profiled).content_hash
    assert [server.name for server in plan.servers] == ["server 1", "server 2", "server 3"]
    assert {server.address for server in plan.servers} == {None}
    assert (plan.link.uplink_bps, plan.link.downlink_bps, plan.link.rtt_s) == (50e6, 50e6, 0.004)
    assert plan.least_ap50 == pytest.approx(0.79)
    assert plan.chosen.ap50_change >= -0.01
    assert plan.pareto == ()


def test_servers_differ_and_each_is_what_was_measured_there(run: Run, profiled: Path, slow: Path) -> None:
    words = ("--server", str(profiled), "--server", str(slow), "--bw", "50mbps", "--json", "--pareto")
    outcome = run("plan", "--planner", "elf", "--video-profile", str(profiled), *words)
    plan = VideoPlan.from_json(outcome.out, source="it")
    near, far = plan.servers
    assert (near.name, near.address, near.profile_hash) == (
        str(profiled),
        None,
        VideoProfile.load(profiled).content_hash,
    )
    assert (far.name, far.address, far.profile_hash) == (str(slow), "far:8001", VideoProfile.load(slow).content_hash)
    assert far.seconds_per_pixel == pytest.approx(4.1e-7)
    assert near.seconds_per_pixel == pytest.approx(1.1e-7)
    assert plan.whole.servers == (0,)
    pixels = {
        place: sum(ask.box[2] - ask.box[0] for frame in plan.chosen.frames for ask in frame.asks if ask.server == place)
        for place in (0, 1)
    }
    assert pixels[0] > pixels[1]
    assert plan.pareto


def test_a_table_for_programs(run: Run, profiled: Path) -> None:
    outcome = run("plan", "--planner", "elf", "--servers", "2", "--bw", "50mbps", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert [row["option"] for row in rows[:4]] == ["chosen", "whole frame", "1 servers", "2 servers"]
    assert float(rows[0]["mean_s"]) < float(rows[1]["mean_s"])


@pytest.mark.parametrize(
    ("floor", "least"), [("-1%", 0.79), ("-0%", 0.80), ("-4%", 0.76), ("75%", 0.75), ("79.9%", 0.799), ("0%", 0.0)]
)
def test_a_floor_is_below_the_whole_frame_or_absolute(run: Run, profiled: Path, floor: str, least: float) -> None:
    words = ("--servers", "2", "--bw", "50mbps", "--min-accuracy", floor, "--json")
    outcome = run("plan", "--planner", "elf", *words)
    plan = VideoPlan.from_json(outcome.out, source="it")
    assert plan.least_ap50 == pytest.approx(least)
    assert min(option.ap50 for option in (plan.chosen, *plan.alternatives)) >= least - 1e-9
    assert f"{plan.considered} options" not in outcome.err


def test_a_floor_that_nothing_reaches_is_exit_4_and_says_the_best(run: Run, profiled: Path) -> None:
    outcome = run("plan", "--planner", "elf", "--servers", "2", "--bw", "50mbps", "--min-accuracy", "95%")
    assert outcome.code == 4
    assert "AP50 of 0.950: the best is 0.800" in outcome.error
    assert "--min-accuracy 80%" in outcome.hint


def test_energy_needs_a_radio_and_assumes_one_aloud(run: Run, profiled: Path) -> None:
    words = ("plan", "--planner", "elf", "--servers", "2", "--bw", "5mbps", "--target", "energy")
    assumed = run(*words)
    assert assumed.code == 0
    assert "no radio was named and wifi is assumed" in assumed.out
    named = run(*words, "--radio", "lte")
    assert "is assumed" not in named.out
    assert "radio: lte" in named.out


def test_bandwidth_is_a_target_of_videos(run: Run, profiled: Path) -> None:
    outcome = run("plan", "--planner", "elf", "--servers", "2", "--bw", "5mbps", "--target", "bandwidth", "--json")
    plan = VideoPlan.from_json(outcome.out, source="it")
    assert plan.chosen.bytes_a_frame == min(option.bytes_a_frame for option in (plan.chosen, *plan.alternatives))


def test_a_measured_link_is_taken_and_its_curves_count(run: Run, home: Path, profiled: Path) -> None:
    sizes = (1_000, 50_000, 200_000, 800_000)
    link = LinkProfile.create(
        server="far:8001",
        server_name="offload",
        probes="built-in",
        timing="one-way",
        rtts=tuple(RttSample(seconds=0.01, at_s=0.1 * number) for number in range(5)),
        transfers=tuple(
            TransferSample(
                direction=direction, size_bytes=size, seconds=0.005 + size * 8 / 20e6, cold=False, at_s=0.1 * number
            )
            for direction in ("up", "down")
            for size in sizes
            for number in range(5)
        ),
        stopped="interrupted",
    )
    path = Workspace(home).save(link, name="far")
    outcome = run("plan", "--planner", "elf", "--servers", "1", "--json")
    assert f"took the newest one measured, {path}" in outcome.err
    plan = VideoPlan.from_json(outcome.out, source="it")
    assert plan.link.uplink_bps == pytest.approx(20e6)
    assert any("measuring the link ended early" in warning for warning in plan.warnings)
    (ask,) = plan.whole.frames[0].asks
    assert ask.uplink_s == pytest.approx(0.005 + ask.sent_bytes * 8 / 20e6, rel=1e-3)


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (("--bw", "5mbps"), 2, "no server was told"),
        (("--servers", "0", "--bw", "5mbps"), 2, "0 servers"),
        (("--servers", "17", "--bw", "5mbps"), 2, "17 servers"),
        (("--servers", "2", "--server", "{slow}", "--bw", "5mbps"), 2, "--server and --servers exclude each other"),
        (("--servers", "2"), 1, "no --bw, and no measured link"),
        (("--servers", "2", "--bw", "5"), 2, "'5' has no unit"),
        (("--servers", "2", "--bw", "5mbps", "--link", "{slow}"), 2, "--bw and --link exclude each other"),
        (("--servers", "2", "--rtt", "4ms"), 2, "--down and --rtt belong to --bw"),
        (("--servers", "2", "--link", "{slow}"), 1, "is a video-profile, not a link"),
        (("--servers", "2", "--bw", "5mbps", "--link", "{folder}/no"), 1, "--link: {folder}/no is not there"),
        (("--server", "nowhere", "--bw", "5mbps"), 1, "--server nowhere: neither a file nor HOST:PORT"),
        (("--server", "{folder}/link.json", "--bw", "5mbps"), 1, "is damaged"),
        (("--server", "{other}", "--bw", "5mbps"), 1, "of the detector other (222222222222), the profile of made"),
        (("--server", "a:1", "--server", "a:1", "--bw", "5mbps"), 2, "--server a:1 is named twice"),
        (("--server", "127.0.0.1:1", "--bw", "5mbps"), 1, "made.mp4, the clip of the profile, is not there"),
        (("--servers", "2", "--bw", "5mbps", "--video-profile", "{folder}/no.json"), 1, "--video-profile: "),
        (("--servers", "2", "--bw", "5mbps", "--video-profile", "{folder}/link.json"), 1, "is damaged"),
        (("--servers", "2", "--bw", "5mbps", "--target", "throughput"), 2, "--target throughput is for networks"),
        (("--servers", "2", "--bw", "5mbps", "--min-accuracy", "good"), 2, "'good' is not a percentage"),
        (("--servers", "2", "--bw", "5mbps", "--min-accuracy", "--1%"), 2, "'-1%'"),
        (("--servers", "2", "--bw", "5mbps", "--min-accuracy", "101%"), 2, "an AP50 is from 0% to 100%"),
        (("--servers", "2", "--bw", "5mbps", "--radio", "smoke"), 1, "there is no radio 'smoke'"),
        (("--servers", "2", "--bw", "5mbps", "--profile", "{slow}"), 2, "--profile is about networks"),
        (("--servers", "2", "--bw", "5mbps", "--pin", "a=device"), 2, "--pin is about networks"),
        (("--servers", "2", "--bw", "5mbps", "--emulate-slowdown", "2"), 2, "--emulate-slowdown is about networks"),
        (("--servers", "2", "--bw", "5mbps", "--max-latency", "2ms"), 2, "--max-latency is about networks"),
    ],
)
def test_what_cannot_be_planned_is_told_in_a_line(
    run: Run, profiled: Path, slow: Path, tmp_path: Path, words: tuple[str, ...], code: int, problem: str
) -> None:
    (tmp_path / "link.json").write_text("{")
    other = made.video_profile()
    detector = other.detector.model_copy(update={"name": "other", "sha256": "2" * 64})
    write_artifact(other.model_copy(update={"detector": detector}), tmp_path / "other.json")
    places = {"slow": slow, "folder": tmp_path, "other": tmp_path / "other.json"}
    outcome = run("plan", "--planner", "elf", *(word.format(**places) for word in words))
    assert outcome.code == code, outcome.err
    assert problem.format(**places) in outcome.error
    assert outcome.hint


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--servers", "2"), "--servers is about videos"),
        (("--video-profile", "x.json"), "--video-profile is about videos"),
        (("--target", "bandwidth"), "--target bandwidth is about videos"),
    ],
)
def test_what_is_about_videos_is_refused_without_elf(run: Run, words: tuple[str, ...], problem: str) -> None:
    outcome = run("plan", "--bw", "5mbps", *words)
    assert (outcome.code, outcome.hint.startswith("add --planner elf")) == (2, True)
    assert problem in outcome.error


def test_elf_is_among_the_planners_that_a_hint_names(run: Run) -> None:
    assert run("plan", "--planner", "ELF", "--bw", "5mbps").hint == "planners: elf"
    assert run("plan", "--planner", "xyz", "--bw", "5mbps").hint.endswith(", elf")


def test_without_a_profile_the_hint_is_how_to_make_one(run: Run) -> None:
    outcome = run("plan", "--planner", "elf", "--servers", "2", "--bw", "5mbps")
    assert outcome.code == 1
    assert "no video profile in" in outcome.error
    assert "offload profile CLIP --detector" in outcome.hint


def test_a_damaged_profile_is_told_with_the_field(run: Run, profiled: Path) -> None:
    told = json.loads(profiled.read_text())
    told["crops"][0]["decode_s"] = []
    profiled.write_text(json.dumps(told))
    outcome = run("plan", "--planner", "elf", "--servers", "2", "--bw", "5mbps", "--video-profile", str(profiled))
    assert outcome.code == 1
    assert "is damaged at crops.0.decode_s" in outcome.error
