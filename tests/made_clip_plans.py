"""A clip of bright squares, a detector of them, and plans for it by the real planner from a made-up profile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from offload.api.clips import clip_record
from offload.artifacts.video_profile import DetectorRecord, Setting
from offload.artifacts.workspace import write_artifact
from offload.cli.main import main
from offload.detectors.catalogue import load_detector
from offload.video.clips import open_clip
from offload.video.truth import FrameTruth, GroundTruth, truth_file, write_truth
from tests import made_video_profiles as made
from tests.made_detectors import SPOTS, bright_spots

FRAMES = 12
"""Of the clip; the profile is of the first half."""
SEES = Setting(servers=2, ratio=0.75, expansion=0.4)
"""Shows squares in the small frame; a ratio of 0.5 does not."""
SLOW_S_A_PIXEL = 4e-6
"""Of the server in the plan `unequal` that is not like this machine: far slower than any that tests run on."""
BLIND = SEES.model_copy(update={"ratio": 0.5})


@dataclass(frozen=True)
class PlannedClip:
    """Files."""

    clip: Path
    detector: Path
    plans: dict[str, Path]
    """`one`, `two` and `three` servers; `blind`, which finds nothing; `whole`, which does not divide frames; `unequal`,
    whose second server was measured elsewhere."""


def write_clip(clip: Path, first: int = 0, frames: int = FRAMES, *, truth: bool = True, jumping: bool = False) -> Path:
    """A folder of frames in which four squares of 16 pixels move to the right, or are elsewhere in each."""
    clip.mkdir(parents=True)
    told = []
    for number in range(first, first + frames):
        random = np.random.default_rng(number)
        frame = random.integers(0, 40, (made.HEIGHT, made.WIDTH, 3)).astype(np.uint8)
        rows = []
        for index in range(4):
            left, top = 20 + 6 * number + 130 * index, 30 + 80 * index
            if jumping:  # in a row of its own, so that none hides another
                left, top = int(random.integers(0, made.WIDTH - 16)), 90 * index + int(random.integers(0, 70))
            frame[top : top + 16, left : left + 16] = 0
            frame[top : top + 16, left : left + 16, index % 3] = 255
            rows.append(((left, top, left + 16, top + 16), index % 3, index, 1.0))
        Image.fromarray(frame).save(clip / f"{number:03d}.png")
        told.append(FrameTruth.of(rows))
    if truth:
        told_all = GroundTruth(classes=SPOTS.classes, frames=tuple(told))
        write_truth(told_all, truth_file(clip), {}, width=made.WIDTH, height=made.HEIGHT)
    return clip


def write_planned(folder: Path) -> PlannedClip:
    """The clip, the detector, and plans that take the made profile's word for how long everything takes."""
    clip, detector = write_clip(folder / "clip"), folder / "spots.onnx"
    detector.write_bytes(bright_spots())
    detector.with_suffix(".json").write_text(SPOTS.model_dump_json())
    loaded, opened = load_detector(str(detector)), open_clip(clip)
    of_it = {
        "clip": clip_record(clip, opened, 0, made.FRAMES, truth=True),
        "detector": DetectorRecord(
            name=loaded.name, spec=str(detector), sha256=loaded.hash, classes=loaded.classes, multiple=loaded.multiple
        ),
    }
    plans = {}
    for name, servers, setting in (
        ("one", 1, SEES), ("two", 2, SEES), ("three", 3, SEES), ("blind", 3, BLIND), ("whole", 1, made.WHOLE),
    ):  # fmt: skip
        tried = {made.WHOLE: 0.8, setting: 0.8}
        profile, plans[name] = folder / f"{name}.profile.json", folder / f"{name}.json"
        write_artifact(made.video_profile(tuple(tried.items()), **of_it), profile)
        words = ("--video-profile", str(profile), "--servers", str(servers), "--bw", "100mbps", "--rtt", "2ms")
        assert main(["-q", "plan", "--planner", "elf", *words, "-o", str(plans[name])]) == 0
    far = folder / "far.profile.json"
    slow = made.crops(seconds_per_pixel=SLOW_S_A_PIXEL)
    write_artifact(made.video_profile(((made.WHOLE, 0.8), (SEES, 0.8)), server=slow, measured_on="far:1", **of_it), far)
    plans["unequal"], near = folder / "unequal.json", folder / "two.profile.json"
    words = ("--video-profile", str(near), "--server", str(near), "--server", str(far), "--bw", "100mbps")
    assert main(["-q", "plan", "--planner", "elf", *words, "-o", str(plans["unequal"])]) == 0
    return PlannedClip(clip=clip, detector=detector, plans=plans)
