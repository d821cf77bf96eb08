"""From a clip to what one looks at: it is run on two servers, drawn frame by frame, and plotted."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from offload.artifacts.video_run import VideoRun
from offload.artifacts.workspace import write_artifact
from offload.cli.main import main
from offload.video.annotating import FOUND, server_colour
from offload.video.clips import open_clip
from tests.cli.test_run import ELF, plan_for
from tests.made_detectors import SPOTS, bright_spots
from tests.moving_squares import FRAMES, HEIGHT, WIDTH, frames_and_truth, write_squares


def test_a_run_is_drawn_and_plotted(tmp_path: Path) -> None:
    (tmp_path / "spots.onnx").write_bytes(bright_spots())
    (tmp_path / "spots.json").write_text(SPOTS.model_dump_json())
    clip = write_squares(tmp_path)
    write_artifact(plan_for(clip, tmp_path / "spots.onnx", ELF, 2), tmp_path / "plan.json")
    path, video, folder, page = (tmp_path / name for name in ("run.json", "drawn.mp4", "frames", "run.html"))
    assert main(["run", str(tmp_path / "plan.json"), "-o", str(path), "--plot", str(page)]) == 0
    assert main(["video", "draw", str(path), "-o", str(video), "--frames", str(folder)]) == 0
    run = VideoRun.load(path)
    assert open_clip(video).info.frames == FRAMES
    _, truth = frames_and_truth()
    for number, image in enumerate(open_clip(folder).frames()):
        colours = {tuple(colour) for colour in image[:HEIGHT, :WIDTH].reshape(-1, 3).tolist()}
        assert {server_colour(ask.server) for ask in run.frames[number].asks} <= colours
        for box in truth.frames[number].boxes[:2]:  # red and green are there from the first frame on
            left, top, right, bottom = (int(value) for value in box)
            around = image[top - 2 : bottom + 2, left - 2 : right + 2]
            assert (around == np.array(FOUND)).all(axis=-1).sum() > 16
    words = re.sub(r"\s+", " ", page.read_text())
    assert "elf on squares with 2 servers" in words
    for server in run.servers:
        assert server in words
