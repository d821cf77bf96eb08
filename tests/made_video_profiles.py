"""Video profiles whose figures are known, made without running anything."""

from __future__ import annotations

from collections.abc import Sequence

from offload.artifacts.profile import RuntimeIdentity
from offload.artifacts.video_profile import (
    ClipRecord,
    CropRecord,
    DetectionAccuracy,
    DetectorRecord,
    ImageRecord,
    ReplayRecord,
    Setting,
    VideoProfile,
)
from offload.video.boxes import areas, as_boxes
from offload.video.expansion import expanded
from offload.video.methods.elf import Elf, ElfSettings
from offload.video.partitioning import ServerCost
from offload.video.proposals.hold import Hold

WIDTH, HEIGHT, FRAMES, MULTIPLE = 640, 384, 6, 16
BYTES_A_PIXEL, HEADER = 0.5, 600
ENCODE_S_A_PIXEL = 1e-8
ANSWER_BYTES = 840
PLAN_S, MERGE_S = 0.0005, 0.00025


def crops(
    *, fixed_s: float = 0.002, seconds_per_pixel: float = 1e-7, decode_seconds_per_pixel: float = 1e-8, off: float = 0.0
) -> tuple[CropRecord, ...]:
    """A server whose times are on a line, or every other size off it by a share; each run is the same."""
    found = []
    for index, (wide, high) in enumerate(((WIDTH, HEIGHT), (320, 192), (160, 96), (64, 64))):
        factor = 1 + off * (1 if index % 2 else -1)
        found.append(
            CropRecord(
                width=wide,
                height=high,
                samples_s=((fixed_s + seconds_per_pixel * wide * high) * factor,) * 3,
                decode_s=(decode_seconds_per_pixel * wide * high * factor,) * 3,
                answer_bytes=ANSWER_BYTES,
            )
        )
    return tuple(found)


def boxes(number: int, count: int = 4) -> tuple[tuple[float, float, float, float], ...]:
    """Where objects are expected in a frame: some squares that move to the right, one below the other."""
    if number == 0:
        return ()
    return tuple(
        (40.0 + 8 * number + 130 * index, 30.0 + 80 * index, 80.0 + 8 * number + 130 * index, 70.0 + 80 * index)
        for index in range(count)
    )


def replay(setting: Setting, *, ap50: float) -> ReplayRecord:
    """What a setting would have sent among equal servers."""
    loop = Elf(
        settings=ElfSettings.of(setting, MULTIPLE),
        predictor=Hold(),
        width=WIDTH,
        height=HEIGHT,
        servers=(ServerCost(fixed_s=0.002, seconds_per_pixel=1.1e-7),) * setting.servers,
    )
    images = []
    for number in range(FRAMES):
        wanted = expanded(as_boxes(boxes(number)), setting.expansion, width=WIDTH, height=HEIGHT)
        images.append(
            tuple(
                ImageRecord(
                    pixels=ask.pixels,
                    small=ask.scale != 1,
                    sent_bytes=round(HEADER + BYTES_A_PIXEL * setting.quality / 80 * ask.pixels),
                    encode_s=ENCODE_S_A_PIXEL * ask.pixels,
                )
                for ask in loop.asks(number, wanted[areas(wanted) > 0])
            )
        )
    return ReplayRecord(
        setting=setting,
        accuracy=DetectionAccuracy(
            ap50=ap50, ap=ap50 / 2, ap50_whole=ap50, duplicates=0, missed=1 - ap50, new_object_delay_frames=0.5,
            never_found=0.0,
        ),
        predicted=tuple(boxes(number) for number in range(FRAMES)),
        images=tuple(images),
        plan_s=(PLAN_S,) * FRAMES,
        merge_s=(MERGE_S,) * FRAMES,
    )  # fmt: skip


WHOLE = Setting(servers=1, rule="equal", interval=0)
ELF = Setting(servers=3)
TRIED = (
    (WHOLE, 0.80),
    (ELF, 0.798),
    (ELF.model_copy(update={"expansion": 0.0}), 0.70),
    (ELF.model_copy(update={"expansion": 0.4}), 0.80),
    (ELF.model_copy(update={"interval": 8}), 0.75),
    (ELF.model_copy(update={"servers": 1}), 0.80),
    (ELF.model_copy(update={"rule": "published"}), 0.796),
    (ELF.model_copy(update={"rule": "equal", "interval": 0}), 0.79),
)


def video_profile(
    tried: Sequence[tuple[Setting, float]] = TRIED, *, server: tuple[CropRecord, ...] | None = None, **fields: object
) -> VideoProfile:
    """A profile with these settings and their AP50."""
    told: dict[str, object] = {
        "clip": ClipRecord(
            name="made.mp4", path="made.mp4", sha256="0" * 64, width=WIDTH, height=HEIGHT, fps=10, frames=FRAMES,
            truth=True,
        ),
        "detector": DetectorRecord(
            name="made", spec="made.onnx", sha256="1" * 64, classes=("a", "b"), multiple=MULTIPLE
        ),
        "runtime": RuntimeIdentity(name="onnxruntime", version="1", device="cpu", threads=1),
        "crops": server or crops(),
        "replays": tuple(replay(setting, ap50=ap50) for setting, ap50 in tried),
    }  # fmt: skip
    return VideoProfile.create(**(told | fields))
