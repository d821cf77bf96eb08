"""Pictures of a video plan and of a verification of one: what is on which axis, in which unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offload.artifacts.video_plan import VideoPlan
from offload.artifacts.video_verification import VideoVerification, mean_split
from offload.reports.picture import write_picture
from offload.reports.video_plan_plots import video_plan_picture
from offload.reports.video_verification_plots import video_verification_picture
from tests.made_runs import SERVERS
from tests.made_verifications import RUN, made_plan, made_verification
from tests.unit.test_video_plots import panel_of, series_of


@pytest.fixture(scope="module")
def plan() -> VideoPlan:
    return made_plan()


@pytest.fixture(scope="module")
def verification() -> VideoVerification:
    return made_verification()


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
        "predict, partition", "encode", "uplink", "queue", "decode", "server", "downlink", "merge", "rest",
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
    assert list(series_of(accuracy, "AP50, shifted").x) == [0.225, 0.2]
    (bars,) = sizes.series
    np.testing.assert_allclose(bars.x, [run.bytes_a_frame / 1e3 for run in verification.runs])
    assert "emulated" in picture.title
    without = verification.model_copy(update={"clip": RUN.clip.model_copy(update={"truth": False})})
    assert panel_of(video_verification_picture(without), "accuracy").x_label == "accuracy against the full frame's"


def test_the_picture_of_a_verification_is_written(verification: VideoVerification, tmp_path: Path) -> None:
    write_picture(video_verification_picture(verification), tmp_path / "verification.html")
    assert "<svg" in (tmp_path / "verification.html").read_text()
