"""A profile of a clip, each of whose numbers can be told from the setting that it is of."""

from __future__ import annotations

from offload.artifacts.profile import RuntimeIdentity
from offload.artifacts.video_profile import (
    CropRecord,
    DetectionAccuracy,
    ImageRecord,
    MotionRecord,
    ReplayRecord,
    Setting,
    VideoProfile,
)
from offload.profilers.video.sweep import settings
from tests.made_runs import made_run

CLIP = made_run("squares").clip.model_copy(update={"width": 640, "height": 384, "frames": 6})
PREDICTED = ((32.0, 32.0, 96.0, 96.0), (480.0, 256.0, 544.0, 320.0))
"""Boxes far apart, so that two servers have one each."""


def replayed(setting: Setting) -> ReplayRecord:
    """What a setting might come to: each of its numbers can be told from the setting."""
    size = 640 * 384 if setting.whole else 10_000
    image = ImageRecord(pixels=size, small=False, sent_bytes=50_000 if setting.whole else 5000, encode_s=0.004)
    return ReplayRecord(
        setting=setting,
        accuracy=DetectionAccuracy(
            ap50=0.9 if setting.whole else 0.8 + setting.expansion / 8 - 0.01 * setting.interval,
            ap=0.5 + setting.ratio / 8, ap50_whole=0.9, duplicates=0.0, missed=0.1,
            new_object_delay_frames=None, never_found=None,
        ),
        predicted=((),) * 6 if setting.whole else ((), *(PREDICTED,) * 5),
        images=((image,),) * 6,
        plan_s=(0.007, *(0.001,) * 5),
        merge_s=(0.002,) * 6,
    )  # fmt: skip


def made_profile(*, servers: int = 4, truth: bool = True, count: int | None = None) -> VideoProfile:
    """A profile with the first replays of the sweep, or all."""
    runtime = RuntimeIdentity(name="onnxruntime", version="1", device="cpu", threads=1)
    crops = tuple(
        CropRecord(width=wide, height=high, samples_s=(0.001 + wide * high * 1e-7,), decode_s=(1e-3,), answer_bytes=99)
        for wide, high in ((64, 64), (128, 128), (640, 384))
    )
    motion = tuple(
        MotionRecord(predictor=name, examples=9, mean_iou=0.8, coverage=((0.0, 0.9), (0.2, 1.0)))
        for name in ("hold", "linear")
    )
    return VideoProfile.create(
        clip=CLIP.model_copy(update={"truth": truth}),
        detector=made_run("squares").detector,
        runtime=runtime,
        crops=crops,
        motion=motion,
        replays=tuple(replayed(setting) for setting in settings(servers, ("linear", "hold"))[:count]),
    )
