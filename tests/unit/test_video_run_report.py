"""The report on a video run: what it tells of frames that went well, and of those that did not."""

from __future__ import annotations

import csv
import io
import json

import pytest

from offload.artifacts.video_profile import Setting
from offload.artifacts.video_run import EMBEDDED, AskRecord, FrameRecord, VideoRun
from offload.errors import OffloadError
from offload.reports.render import render
from tests.made_runs import made_run

ASK = AskRecord(server=1, box=(0, 0, 100, 50), sent_bytes=500, sent_at_s=0.001, encode_s=0.001, answered=False)


def _table(run: VideoRun) -> str:
    return render(run, "table", width=200)


def _with_frame(run: VideoRun, **fields: object) -> VideoRun:
    frame = run.frames[2].model_copy(update=fields)
    return run.model_copy(update={"frames": (*run.frames[:2], frame, *run.frames[3:])})


def test_frames_and_servers_are_summed_up() -> None:
    run = made_run("squares")
    told = _table(run)
    assert "spots.onnx on squares: 8 frames of 320×192 offloaded" in told
    assert "near:8000" in told
    assert "far:8000" in told
    assert "33.5 ms" in told  # the median of 30 ms and 1 ms more each frame
    assert "1 image was not answered where first sent, in frame 4" in told
    assert "partition: ELF, expansion 25%" in told
    assert "one frame in 3 is sent whole, too, at 0.5 of its sides" in told
    for words in ("interrupted", "emulated", "share this machine's cores", "held"):
        assert words not in told


def test_what_went_wrong_is_told() -> None:
    run = made_run("squares", emulated=True).model_copy(
        update={"notes": ("server far:8000 is left out: broken",), "stopped": "interrupted"}
    )
    looked = ASK.model_copy(update={"on_device": True, "answered": True, "sent_bytes": 0, "server_s": 0.05})
    told = _table(_with_frame(run, asks=(ASK, looked), held=1))
    assert "server far:8000 is left out: broken" in told
    assert "2 images were not answered where first sent, in frames 2, 4" in told
    assert "the device itself" in told
    assert "held where expected, as nobody was left to look: 1 objects in 1 of 8 frames" in told
    assert "interrupted: the rest of the clip is missing" in told
    assert "emulated: each image was looked at alone" in told


def test_servers_that_were_started_here_are_no_measure() -> None:
    run = made_run("squares").model_copy(update={"servers": (f"{EMBEDDED} 1", f"{EMBEDDED} 2")})
    assert "device, link and servers share this machine's cores" in _table(run)


@pytest.mark.parametrize(
    ("method", "rule", "words"),
    [
        ("elf", "equal", "partition: equal strips, whatever is in them"),
        ("whole", "equal", "method: whole, JPEG 80"),
        ("elf", "published", "partition: as published, expansion 20%"),
    ],
)
def test_the_method_is_told(method: str, rule: str, words: str) -> None:
    setting = Setting.model_validate({"servers": 2, "rule": rule})
    assert words in _table(made_run("squares").model_copy(update={"method": method, "setting": setting}))


def test_each_image_is_a_row_and_a_frame_without_any_is_one_too() -> None:
    run = _with_frame(made_run("squares"), asks=())
    rows = list(csv.DictReader(io.StringIO(render(run, "csv"))))
    assert len(rows) == sum(max(1, len(frame.asks)) for frame in run.frames)
    (empty,) = [row for row in rows if row["frame"] == "2"]
    assert empty["server"] == ""
    assert {row["server"] for row in rows} == {"", "near:8000", "far:8000"}
    assert [row["answered"] for row in rows if row["frame"] == "4"] == ["1", "0"]


def test_a_run_in_which_nobody_answered_has_a_report() -> None:
    run = made_run("squares")
    frames = tuple(frame.model_copy(update={"asks": (ASK,)}) for frame in run.frames)
    assert "8 images were not answered" in _table(run.model_copy(update={"frames": frames}))


def test_documents_that_cannot_be_true_are_refused() -> None:
    told = json.loads(made_run("squares").to_json())
    told["frames"][0]["held"] = 99
    with pytest.raises(OffloadError, match="more boxes were held than there are"):
        VideoRun.from_json(json.dumps(told), source="it")
    assert FrameRecord.model_validate(json.loads(made_run("squares").to_json())["frames"][0]).held == 0
