"""Pictures of a video plan and of a verification of one: what is on which axis, in which unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offload.artifacts.estimate import Estimate
from offload.artifacts.link import AffineCost, Link, ProtocolCost
from offload.artifacts.video_plan import FramePrediction, VideoOption, VideoPlan, VideoServer
from offload.artifacts.video_profile import DetectionAccuracy, Setting
from offload.artifacts.video_verification import MethodRun, VideoVerification, mean_split
from offload.reports.picture import write_picture
from offload.reports.video_plan_plots import video_plan_picture
from offload.reports.video_verification_plots import video_verification_picture
from tests.made_profiles import made_profile
from tests.made_runs import SERVERS, made_run
from tests.unit.test_video_plots import panel_of, series_of

RUN = made_run("squares")
TWO, WHOLE = Setting(servers=2, expansion=0.25), Setting(servers=1, rule="equal", interval=0)


def option(setting: Setting, mean_s: float, ap50: float, *, told: bool) -> VideoOption:
    """A way to offload, whose frames are those of the made run on as many servers as it has."""
    mine = [
        (record, tuple(ask for ask in record.asks if ask.server < setting.servers)) for record in RUN.frames if told
    ]
    return VideoOption(
        setting=setting, servers=tuple(range(setting.servers)), accuracy_servers=setting.servers,
        mean_s=Estimate.exactly(mean_s), p50_s=Estimate.exactly(mean_s), p95_s=Estimate.exactly(2 * mean_s),
        bytes_a_frame=1e6 * mean_s, pixels_a_frame=1000, radio_j=None, ap50=ap50, ap=ap50 / 2, ap50_change=ap50 - 0.9,
        frames=tuple(
            FramePrediction(
                number=record.number, asks=asks, plan_s=record.plan_s, merge_s=record.merge_s,
                latency_s=record.latency_s,
            )
            for record, asks in mine
        ),
    )  # fmt: skip


def server(name: str) -> VideoServer:
    return VideoServer(
        name=name, address=None, fixed_s=1e-3, seconds_per_pixel=1e-8, residual=0, decode_fixed_s=0,
        decode_seconds_per_pixel=0, profile_hash=None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def plan() -> VideoPlan:
    none = AffineCost()
    one = option(TWO.model_copy(update={"servers": 1}), 0.05, 0.88, told=False)
    return VideoPlan.create(
        clip=RUN.clip, detector=RUN.detector, runtime=made_profile().runtime, profile_hash="0" * 64,
        servers=tuple(server(name) for name in SERVERS), link=Link(uplink_bps=2e8, downlink_bps=2e8, rtt_s=0.002),
        protocol=ProtocolCost(encode=none, uplink=none, decode=none, downlink=none), target="latency", radio=None,
        least_ap50=0.8, chosen=option(TWO, 0.034, 0.89, told=True), whole=option(WHOLE, 0.1, 0.9, told=True),
        by_servers=(one, option(TWO, 0.034, 0.89, told=False)), alternatives=(one,), considered=3,
    )  # fmt: skip


def method(name: str, servers: int, ap50: float, slower: float) -> MethodRun:
    """A method that took longer than the made run by so many seconds a frame."""
    frames = []
    for record in RUN.frames:
        asks = tuple(ask for ask in record.asks if ask.server < servers)
        frames.append(record.model_copy(update={"asks": asks, "latency_s": record.latency_s + slower}))
    return MethodRun(
        name=name, setting=TWO, servers=tuple(range(servers)), emulated=True, frames=tuple(frames),
        accuracy=DetectionAccuracy(
            ap50=ap50, ap=ap50 / 2, ap50_whole=ap50, duplicates=0, missed=0.1, new_object_delay_frames=None,
            never_found=None,
        ),
        ap50_change=Estimate.exactly(ap50 - 0.9), shifted_ap50=ap50 / 4, asked_by_age=(), missed_by_age=(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def verification(plan: VideoPlan) -> VideoVerification:
    return VideoVerification.create(
        plan_hash=plan.content_hash, clip=RUN.clip, first_frame=0, fresh=False, detector=RUN.detector,
        servers=plan.servers, link="200 Mbit/s", predicted=plan.chosen, predicted_whole=plan.whole,
        promised_change=-0.01, runs=(method("whole", 1, 0.9, 0.07), method("elf", 2, 0.8, 0.0)), tolerance=0.2,
        verdict="within tolerance",
    )  # fmt: skip


def test_a_plans_options_by_latency(plan: VideoPlan) -> None:
    picture = video_plan_picture(plan)
    by_servers = panel_of(picture, "servers |")
    assert list(series_of(by_servers, "mean").x) == [1, 2]
    np.testing.assert_allclose(series_of(by_servers, "mean").y, [50, 34])
    np.testing.assert_allclose(series_of(by_servers, "95th percentile").y, [100, 68])
    np.testing.assert_allclose(series_of(by_servers, "whole frame, mean").y, [100, 100])
    by_accuracy, by_bytes = panel_of(picture, "AP50"), panel_of(picture, "sent, kB a frame")
    for panel, value in ((by_accuracy, 0.89), (by_bytes, 34)):
        assert panel.x_label == "latency of a frame, ms (mean, predicted)"
        np.testing.assert_allclose((*series_of(panel, "chosen").x, *series_of(panel, "chosen").y), (34, value))
        np.testing.assert_allclose(series_of(panel, "alternatives").x, [50])
        assert [series.label for series in panel.series] == ["alternatives", "whole frame", "chosen"]
    assert list(panel_of(picture, "of median latency").rows)[-1] == SERVERS[1]
    assert picture.title == "spots.onnx on squares: the plan for 2 servers"


def test_a_plan_that_divides_nothing_is_drawn(plan: VideoPlan, tmp_path: Path) -> None:
    alone = plan.model_copy(update={"chosen": plan.whole, "by_servers": (), "alternatives": ()})
    picture = video_plan_picture(alone)
    assert not [panel for panel in picture.panels if panel.x_label == "servers"]
    write_picture(picture, tmp_path / "plan.png")
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")


def test_latency_by_method_is_split_and_beside_what_was_predicted(verification: VideoVerification) -> None:
    panel = panel_of(video_verification_picture(verification), "latency of a frame, ms (mean)")
    assert list(panel.rows) == ["full frame, predicted", "full frame", "ELF, predicted", "ELF"]
    assert [series.label for series in panel.series] == [
        "predict, partition", "encode", "uplink", "queue", "decode", "server", "downlink", "merge", "waiting",
    ]  # fmt: skip
    split = mean_split(verification.elf.frames)
    for series, part in zip(panel.series, split.values(), strict=False):
        assert series.x[3] - series.start[3] == pytest.approx(1e3 * part)
    assert panel.series[0].start[3] == 0
    # Each bar is as long as the mean latency, if its parts are not longer already.
    told = (verification.predicted_whole.mean_s.value, verification.whole.mean_s)
    np.testing.assert_allclose(panel.series[-1].x[:2], [1e3 * value for value in told])


def test_accuracy_and_bytes_by_method(verification: VideoVerification) -> None:
    picture = video_verification_picture(verification)
    accuracy, sizes = panel_of(picture, "accuracy"), panel_of(picture, "sent, kB a frame (mean)")
    assert list(accuracy.rows) == list(sizes.rows) == ["full frame", "ELF"]
    assert list(series_of(accuracy, "AP50").x) == [0.9, 0.8]
    assert list(series_of(accuracy, "AP50:95").x) == [0.45, 0.4]
    assert list(series_of(accuracy, "AP50 of what is on the screen").x) == [0.225, 0.2]
    (bars,) = sizes.series
    np.testing.assert_allclose(bars.x, [run.bytes_a_frame / 1e3 for run in verification.runs])
    assert "emulated" in picture.title
    without = verification.model_copy(update={"clip": RUN.clip.model_copy(update={"truth": False})})
    assert panel_of(video_verification_picture(without), "accuracy").x_label == "accuracy against the full frame's"


def test_the_picture_of_a_verification_is_written(verification: VideoVerification, tmp_path: Path) -> None:
    write_picture(video_verification_picture(verification), tmp_path / "verification.html")
    assert "<svg" in (tmp_path / "verification.html").read_text()
