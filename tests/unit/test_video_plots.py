"""Pictures of a video profile and of a run: what is on which axis, in which unit, and files of each kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offload.artifacts.video_profile import Setting, area_line
from offload.reports.picture import Panel, Picture, Series, write_picture
from offload.reports.video_plots import detector_time, swept, video_profile_picture
from offload.reports.video_run_plots import video_run_picture
from tests.made_profiles import made_profile, replayed
from tests.made_runs import made_run


def panel_of(picture: Picture, words: str) -> Panel:
    """The only panel whose axes say this."""
    (found,) = (panel for panel in picture.panels if words in f"{panel.x_label} | {panel.y_label}")
    return found


def series_of(panel: Panel, label: str) -> Series:
    (found,) = (series for series in panel.series if series.label == label)
    return found


def test_accuracy_against_each_setting_of_elf() -> None:
    picture = video_profile_picture(made_profile())
    for words, field, factor in (("small frame's side", "ratio", 100), ("one small frame", "interval", 1)):
        panel = panel_of(picture, words)
        replays = swept(made_profile(), field)
        assert list(series_of(panel, "AP50").x) == [factor * getattr(each.setting, field) for each in replays]
        assert list(series_of(panel, "AP50").y) == [each.accuracy.ap50 for each in replays]
        assert list(series_of(panel, "AP50:95").y) == [each.accuracy.ap for each in replays]
        assert set(series_of(panel, "whole frame").y) == {0.9}
        assert panel.y_label == "accuracy"
    assert list(series_of(panel_of(picture, "one small frame"), "AP50").x) == [1, 2, 3, 5, 8]
    assert list(series_of(panel_of(picture, "small frame's side"), "AP50").x) == [30, 40, 50, 60, 75]
    by_expansion = next(panel for panel in picture.panels if panel.y_label == "accuracy")
    assert by_expansion.x_label == "expansion, % of a box's side"
    np.testing.assert_allclose(series_of(by_expansion, "AP50").x, [0, 10, 20, 30, 40, 70])
    np.testing.assert_allclose(series_of(by_expansion, "AP50").y, [0.78, 0.7925, 0.805, 0.8175, 0.83, 0.8675])


def test_what_is_sent_is_a_share_of_the_whole_frames() -> None:
    panel = panel_of(video_profile_picture(made_profile()), "sent,")
    assert (panel.x_label, panel.y_label) == ("expansion, % of a box's side", "sent, % of the whole frame's")
    np.testing.assert_allclose(series_of(panel, "pixels").y, 100 * 10_000 / (640 * 384))
    np.testing.assert_allclose(series_of(panel, "bytes").y, 10)


def test_functions_on_the_device_have_a_bar_each() -> None:
    panel = panel_of(video_profile_picture(made_profile()), "on the device, ms")
    (bars,) = panel.series
    assert tuple(panel.rows) == ("predict, partition", "encode JPEG", "merge, index")
    np.testing.assert_allclose(bars.x, [2, 4, 2])  # means: the first frame takes longer
    assert (list(bars.y), bars.style) == ([0, 1, 2], "bars")


def test_the_detectors_latency_by_area_has_its_line() -> None:
    panel = panel_of(video_profile_picture(made_profile()), "area, million pixels")
    measured, line = panel.series
    np.testing.assert_allclose(measured.x, [0.004096, 0.016384, 0.24576])
    np.testing.assert_allclose(measured.y, [1.4096, 2.6384, 25.576])
    np.testing.assert_allclose(line.y, [1.0, 25.576], rtol=1e-6)
    assert line.label == "1.0 ms + 100.0 ms a million pixels"
    assert panel.y_label == "the detector, ms"


def test_the_predicted_latency_is_of_the_server_with_most_to_do() -> None:
    profile = made_profile()
    line = area_line(profile.crops)
    whole = detector_time(profile, profile.whole)
    assert whole.mean_s == pytest.approx(line.fixed_s + line.seconds_per_pixel * 640 * 384)
    bare = Setting(servers=2, interval=0, expansion=0.25)
    # Each box grows from 64 to 96 pixels, which the detector's grid of 16 divides; the first frame goes in strips.
    first = line.fixed_s + line.seconds_per_pixel * 320 * 384
    each = line.fixed_s + line.seconds_per_pixel * 96 * 96
    told = detector_time(profile, replayed(bare))
    assert told.mean_s == pytest.approx(first / 6 + 5 / 6 * each)
    assert told.percentile_s == pytest.approx(np.percentile([first, *[each] * 5], 95))
    alone = detector_time(profile, replayed(bare.model_copy(update={"servers": 1})))
    hull = line.fixed_s + line.seconds_per_pixel * (560 - 16) * (336 - 16)
    assert alone.mean_s == pytest.approx(whole.mean_s / 6 + 5 / 6 * hull)
    each_time = detector_time(profile, replayed(bare.model_copy(update={"interval": 1, "ratio": 0.5})))
    small = line.fixed_s + line.seconds_per_pixel * 320 * 192
    assert each_time.mean_s >= small


def test_the_predicted_latency_is_what_was_measured_even_off_the_line() -> None:
    profile = made_profile()
    slow = profile.crops[-1].model_copy(update={"samples_s": (0.1,)})
    profile = profile.model_copy(update={"crops": (*profile.crops[:-1], slow)})
    assert detector_time(profile, profile.whole).mean_s == pytest.approx(0.1)
    assert area_line(profile.crops).residual > 0.01


def test_latency_by_servers_and_by_scheme_is_told_to_be_predicted() -> None:
    profile = made_profile()
    picture = video_profile_picture(profile)
    by_servers = panel_of(picture, "servers of equal speed")
    assert list(series_of(by_servers, "ELF, mean").x) == [1, 2, 3, 4]
    assert "ms (predicted)" in by_servers.y_label
    expected = [1e3 * detector_time(profile, replay).mean_s for replay in swept(profile, "servers")]
    assert list(series_of(by_servers, "ELF, mean").y) == expected
    assert expected[0] > expected[-1]
    by_rule = panel_of(picture, "mean, predicted")
    assert set(by_rule.rows) == {"ELF", "as published", "equal strips", "whole frame, one server"}
    assert "4 servers" in by_rule.x_label
    (bars,) = by_rule.series
    told = dict(zip(by_rule.rows, bars.x, strict=True))
    assert told["ELF"] == expected[-1]
    assert told["whole frame, one server"] == pytest.approx(1e3 * detector_time(profile, profile.whole).mean_s)


def test_prediction_quality_by_expansion() -> None:
    panel = panel_of(video_profile_picture(made_profile()), "in the predicted box")
    assert [series.label for series in panel.series] == ["hold, IoU 0.800", "linear, IoU 0.800"]
    assert list(panel.series[0].x) == [0, 20]
    assert list(panel.series[0].y) == [90, 100]


@pytest.mark.parametrize(("ending", "servers"), [("png", 4), ("svg", 1), ("html", 4)])
def test_pictures_of_any_profile_are_written(tmp_path: Path, servers: int, ending: str) -> None:
    path = tmp_path / f"picture.{ending}"
    write_picture(video_profile_picture(made_profile(servers=servers, truth=False)), path)
    data = path.read_bytes()
    assert data.startswith({"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!doctype html>"}[ending])


def test_without_truth_the_axis_says_what_accuracy_is_against() -> None:
    picture = video_profile_picture(made_profile(truth=False))
    assert {panel.y_label for panel in picture.panels if "accuracy" in panel.y_label} == {
        "accuracy against the whole frame's"
    }


@pytest.mark.parametrize("count", [1, 2])
def test_an_interrupted_profile_has_the_panels_that_were_measured(tmp_path: Path, count: int) -> None:
    picture = video_profile_picture(made_profile(count=count))
    panel_of(picture, "area, million pixels")
    assert len(picture.panels) == (5 if count == 2 else 2)
    assert not [panel for panel in picture.panels if panel.y_label == "accuracy"]
    assert len([panel for panel in picture.panels if "servers of equal speed" in panel.x_label]) == count - 1
    write_picture(picture, tmp_path / "picture.png")


def test_a_frame_of_a_run_is_drawn_image_by_image() -> None:
    run = made_run("squares")
    picture = video_run_picture(run)
    usual, slowest, latencies, sizes = picture.panels
    assert usual.x_label == "frame 3, of median latency: ms since it began"
    assert slowest.x_label == "frame 7, the slowest: ms since it began"
    assert list(usual.rows) == ["the device", "near:8000, small frame", "near:8000", "far:8000"]
    assert list(series_of(usual, "plan").x) == [1.0]
    merged = series_of(usual, "merge")
    np.testing.assert_allclose((merged.start[0], merged.x[0], merged.y[0]), (32, 33, 0))
    stages = [series_of(usual, name) for name in ("encode", "uplink", "queue", "decode", "detector", "downlink")]
    for row, ask in ((2, run.frames[3].asks[1]), (3, run.frames[3].asks[2])):
        times = (ask.encode_s, ask.uplink_s, ask.queue_s, ask.decode_s, ask.server_s, ask.downlink_s)
        place = list(stages[0].y).index(row)
        ends = [each.x[place] for each in stages]
        np.testing.assert_allclose(ends, 1e3 * (ask.sent_at_s - ask.encode_s + np.cumsum(times)))
        np.testing.assert_allclose([each.start[place] for each in stages[1:]], ends[:-1])
        assert ends[-1] == pytest.approx(1e3 * ask.done_s)
    assert (latencies.x_label, latencies.y_label) == ("frame", "latency, ms")
    np.testing.assert_allclose(latencies.series[0].y, [30 + number for number in range(8)])
    assert list(series_of(latencies, "with a small frame").x) == [0, 3, 6]
    assert sizes.y_label == "sent, kB"
    assert list(sizes.series[0].y)[:2] == [2.2, 1.5]


def test_a_server_that_did_not_answer_keeps_its_row() -> None:
    run = made_run("squares", emulated=True)
    run = run.model_copy(update={"frames": run.frames[4:5]})
    picture = video_run_picture(run)
    assert "emulated" in picture.title
    assert list(picture.panels[0].rows) == ["the device", "near:8000", "far:8000, no answer"]
    assert len(picture.panels) == 3  # one frame is both usual and slowest


def test_a_run_of_which_nothing_was_sent_is_drawn(tmp_path: Path) -> None:
    run = made_run("squares")
    idle = tuple(frame.model_copy(update={"asks": ()}) for frame in run.frames)
    picture = video_run_picture(run.model_copy(update={"frames": idle}))
    assert list(picture.panels[0].rows) == ["the device"]
    write_picture(picture, tmp_path / "run.svg")


def test_what_the_device_looked_at_is_no_servers(tmp_path: Path) -> None:
    run = made_run("squares")
    alone = run.frames[1].asks[0].model_copy(update={"on_device": True})
    run = run.model_copy(update={"frames": (run.frames[1].model_copy(update={"asks": (alone,)}),)})
    assert list(video_run_picture(run).panels[0].rows) == ["the device", "by the device"]


def test_the_picture_of_a_run_is_written(tmp_path: Path) -> None:
    write_picture(video_run_picture(made_run("squares")), tmp_path / "run.html")
    page = (tmp_path / "run.html").read_text()
    assert "<svg" in page
    assert "elf on squares with 2 servers" in page


def test_bars_lie_where_they_are_said_to(tmp_path: Path) -> None:
    from offload.reports.picture import _draw

    bars = Series(label="a", x=[3.0, 5.0], y=[0.0, 1.0], start=[1.0, 4.0], style="bars")
    panel = Panel(series=[bars], x_label="ms", y_label="", rows=("first", "second"))
    figure = _draw(Picture(title="t", panels=[panel, panel, panel], columns=2))
    axes = figure.axes[0]
    assert [(patch.get_x(), patch.get_width()) for patch in axes.patches] == [(1.0, 2.0), (4.0, 1.0)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]
    assert axes.get_ylim() == (1.5, -0.5)  # the first on top
    assert [each.axison for each in figure.axes] == [True, True, True, False]
