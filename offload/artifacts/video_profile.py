"""The video profile: what a detector costs and finds on a clip when regions of its frames are looked at, not all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from offload.artifacts.base import Amount, Artifact, Count, NotNegative, Positive, Seconds
from offload.artifacts.link import ProtocolSample
from offload.artifacts.profile import RuntimeIdentity

Share = Annotated[float, Field(ge=0, le=1)]
ElfFunction = Literal["predict", "expand", "partition", "merge", "index"]
"""What ELF does on the device beside encoding; the small frame's server is chosen while partitioning."""
Rule = Literal["elf", "published", "equal"]
"""How frames are divided among servers; one server and `equal` is the frame as it is."""
_FROZEN = ConfigDict(frozen=True, extra="forbid")
_LEAST_S = 1e-9
"""Less than any clock tells, for what took no time at all."""
_LEAST_SECONDS_PER_PIXEL = 1e-15
"""So that more pixels never take less, where sizes make no difference."""


class ClipRecord(BaseModel):
    """The clip that was profiled.

    Attributes:
        name: Of the file.
        path: As the user typed it.
        sha256: Of the decoded frames that were used.
        width: Pixels.
        height: Pixels.
        fps: Frames a second.
        frames: How many were used.
        truth: Whether accuracies are against ground truth; else against what the whole frame shows.
    """

    model_config = _FROZEN

    name: str
    path: str
    sha256: str
    width: Count
    height: Count
    fps: Positive
    frames: Count
    truth: bool


class DetectorRecord(BaseModel):
    """The detector that every server runs.

    Attributes:
        name: Of the file, or of one that comes with the program.
        spec: As the user typed it.
        sha256: Of its graph.
        classes: Names.
        multiple: Sides of what it looks at are multiples of this many pixels.
    """

    model_config = _FROZEN

    name: str
    spec: str
    sha256: str
    classes: tuple[str, ...]
    multiple: Count


class CropRecord(BaseModel):
    """Runs of the detector on crops of one size.

    Attributes:
        width: Pixels.
        height: Pixels.
        samples_s: Each run of the detector.
        decode_s: Before each, from the JPEG file to what the detector takes.
        answer_bytes: Of what the detector gives, which is what goes back.
    """

    model_config = _FROZEN

    width: Count
    height: Count
    samples_s: Annotated[tuple[Seconds, ...], Field(min_length=1)]
    decode_s: Annotated[tuple[Seconds, ...], Field(min_length=1)]
    answer_bytes: Amount

    @model_validator(mode="after")
    def _of_the_same_runs(self) -> CropRecord:
        if len(self.samples_s) != len(self.decode_s):
            raise ValueError("decoding was not measured as often as the detector")
        return self

    @property
    def pixels(self) -> int:
        """Area."""
        return self.width * self.height


class Setting(BaseModel):
    """One way to run ELF's loop.

    Attributes:
        servers: How many share a frame.
        rule: How frames are divided.
        expansion: Share of a box's sides by which it grows on each side.
        interval: Frames from one small frame to the next; 0 sends none.
        ratio: Of the small frame's sides to the frame's.
        predictor: Of regions.
        quality: Of JPEG.
    """

    model_config = _FROZEN

    servers: Count
    rule: Rule = "elf"
    expansion: NotNegative = 0.2
    interval: Amount = 3
    ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    predictor: str = "linear"
    quality: Annotated[int, Field(ge=1, le=100)] = 80

    @property
    def whole(self) -> bool:
        """Whether each frame goes to one server as it is."""
        return self.rule == "equal" and self.servers == 1


class DetectionAccuracy(BaseModel):
    """What a clip's answers were worth.

    Attributes:
        ap50: Average precision at an intersection over union of 0.5.
        ap: Mean of those from 0.5 to 0.95.
        ap50_whole: As `ap50`, against what the whole frame shows.
        duplicates: Boxes a frame that show what another one shows.
        missed: Share of objects in frames that no box finds.
        new_object_delay_frames: Frames until an object is first found, the mean of those that are; None without truth.
        never_found: Share of objects that no frame's answer shows; None without truth.
    """

    model_config = _FROZEN

    ap50: Share
    ap: Share
    ap50_whole: Share
    duplicates: NotNegative
    missed: Share
    new_object_delay_frames: NotNegative | None
    never_found: Share | None


FrameBoxes = tuple[tuple[NotNegative, NotNegative, NotNegative, NotNegative], ...]
"""A frame's boxes: left, top, right and bottom, pixels."""


class ImageRecord(BaseModel):
    """One image that was sent.

    Attributes:
        pixels: Of it.
        small: Whether it is the whole frame made smaller, not a region.
        sent_bytes: As JPEG.
        encode_s: What cutting it out, making it smaller and JPEG took.
    """

    model_config = _FROZEN

    pixels: Amount
    small: bool
    sent_bytes: Amount
    encode_s: Seconds


class ReplayRecord(BaseModel):
    """The loop over the clip with one setting, every crop run alone on one machine.

    Attributes:
        setting: Which; servers are of equal speed.
        accuracy: Of what was found.
        predicted: Where objects were expected in each frame, before expansion; other servers would share out these.
        images: What was sent of each frame.
        plan_s: What predicting and partitioning took in each frame.
        merge_s: What reading the answers, merging and indexing took.
        functions_s: What each of ELF's functions took of these in each frame; empty where frames are sent as they are.
    """

    model_config = _FROZEN

    setting: Setting
    accuracy: DetectionAccuracy
    predicted: tuple[FrameBoxes, ...]
    images: tuple[tuple[ImageRecord, ...], ...]
    plan_s: tuple[Seconds, ...]
    merge_s: tuple[Seconds, ...]
    functions_s: dict[ElfFunction, tuple[Seconds, ...]] = {}

    @property
    def sent_pixels(self) -> tuple[int, ...]:
        """In each frame, small frame included."""
        return tuple(sum(image.pixels for image in frame) for frame in self.images)

    @property
    def sent_bytes(self) -> tuple[int, ...]:
        """In each frame, as JPEG."""
        return tuple(sum(image.sent_bytes for image in frame) for frame in self.images)

    @property
    def slowest_pixels(self) -> tuple[int, ...]:
        """Of the largest region in each frame."""
        return tuple(max((image.pixels for image in frame if not image.small), default=0) for frame in self.images)

    @property
    def encode_s(self) -> tuple[float, ...]:
        """What JPEG took in each frame."""
        return tuple(sum(image.encode_s for image in frame) for frame in self.images)

    @property
    def bytes_a_frame(self) -> float:
        """Mean."""
        return sum(self.sent_bytes) / max(1, len(self.sent_bytes))

    def pixel_share(self, clip: ClipRecord) -> float:
        """Sent pixels for each of the frame's, on average."""
        return sum(self.sent_pixels) / max(1, len(self.sent_pixels)) / (clip.width * clip.height)


class MotionRecord(BaseModel):
    """How well a predictor tells where the clip's objects are one frame later.

    Attributes:
        predictor: Its name.
        examples: How many boxes it had to tell.
        mean_iou: Of told and true boxes, over all of them.
        coverage: By expansion, the mean share of the true box that lies in the told box expanded by so much.
    """

    model_config = _FROZEN

    predictor: str
    examples: Count
    mean_iou: Share
    coverage: tuple[tuple[NotNegative, Share], ...]


class VideoProfile(Artifact):
    """Measured on one machine, from a clip and a detector.

    Attributes:
        clip: What was looked at.
        detector: By what.
        runtime: What ran it here.
        measured_on: HOST:PORT of the server that `crops` were measured on; None for this machine. All else is of this.
        crops: Its latency by size.
        protocol: What the serving protocol costs where the network costs nothing.
        motion_noise: Standard deviation of what predictors were told of a box's side, as a share of it; the detector's
            own error where there is ground truth, else 0: then paths are those of what it finds in whole frames.
        motion: How well each predictor does on the clip's paths.
        replays: The loop with each setting.
        stopped: Whether everything was measured.
    """

    KIND: ClassVar[str] = "video-profile"

    clip: ClipRecord
    detector: DetectorRecord
    runtime: RuntimeIdentity
    measured_on: str | None = None
    crops: Annotated[tuple[CropRecord, ...], Field(min_length=2)]
    protocol: tuple[ProtocolSample, ...] = ()
    motion_noise: NotNegative = 0.0
    motion: tuple[MotionRecord, ...] = ()
    replays: Annotated[tuple[ReplayRecord, ...], Field(min_length=1)]
    stopped: Literal["done", "interrupted"] = "done"

    @model_validator(mode="after")
    def _belongs_together(self) -> VideoProfile:
        if not any(replay.setting.whole for replay in self.replays):
            raise ValueError("the frame as it is was not measured")
        settings = [replay.setting for replay in self.replays]
        if len(set(settings)) != len(settings):
            raise ValueError("two replays have the same setting")
        for replay in self.replays:
            told = (replay.predicted, replay.images, replay.plan_s, replay.merge_s, *replay.functions_s.values())
            if any(len(each) != self.clip.frames for each in told):
                raise ValueError("a replay tells of another number of frames than the clip has")
        return self

    @property
    def whole(self) -> ReplayRecord:
        """Each frame as it is, sent to one server."""
        return next(replay for replay in self.replays if replay.setting.whole)


@dataclass(frozen=True, kw_only=True)
class AreaLine:
    """Time as `fixed_s + pixels * seconds_per_pixel`."""

    fixed_s: float
    seconds_per_pixel: float
    residual: float
    """Median distance of the sizes' medians from the line, as a share of them."""


def area_line(crops: Sequence[CropRecord]) -> AreaLine:
    """What the detector takes, by area: the line through the sizes' medians."""
    return _through(crops, [median(crop.samples_s) for crop in crops])


def decode_line(crops: Sequence[CropRecord]) -> AreaLine:
    """What decoding takes, by area."""
    return _through(crops, [median(crop.decode_s) for crop in crops])


def _through(crops: Sequence[CropRecord], medians_s: Sequence[float]) -> AreaLine:
    line = proportional_line([crop.pixels for crop in crops], [max(each, _LEAST_S) for each in medians_s])
    return AreaLine(
        fixed_s=line.fixed, seconds_per_pixel=max(line.each, _LEAST_SECONDS_PER_PIXEL), residual=line.residual
    )


@dataclass(frozen=True, kw_only=True)
class ProportionalLine:
    """Something as `fixed + pixels * each`."""

    fixed: float
    each: float
    residual: float
    """Median distance of the values from the line, as a share of them."""

    def at(self, pixels: float) -> float:
        """For so many pixels."""
        return self.fixed + self.each * pixels


def proportional_line(pixels: Sequence[float], values: Sequence[float]) -> ProportionalLine:
    """The line that is off by the least share, squared; neither part of it below zero.

    Raises:
        ValueError: no values, or one that is not above zero.
    """
    import numpy as np
    from scipy.optimize import nnls

    x, y = np.array(pixels, np.float64), np.array(values, np.float64)
    if not len(y) or y.min() <= 0:
        raise ValueError("a line by shares needs values above zero")
    unit = max(float(x.max()), 1.0)
    (fixed, slope), _ = nnls(np.stack([1 / y, x / unit / y], axis=1), np.ones(len(y)))
    off = np.abs((fixed + slope * x / unit) / y - 1)
    return ProportionalLine(fixed=float(fixed), each=float(slope / unit), residual=float(np.median(off)))
