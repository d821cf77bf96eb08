"""A video verification: what a plan for a clip predicted beside what came of it, and beside other ways to do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from offload.artifacts.base import Amount, Artifact, NotNegative, Positive
from offload.artifacts.estimate import Estimate
from offload.artifacts.video_plan import VideoOption, VideoServer
from offload.artifacts.video_profile import ClipRecord, DetectionAccuracy, DetectorRecord, Setting, Share
from offload.artifacts.video_run import AskRecord, FrameRecord

ELF, ALONE, WHOLE = "elf", "elf, one server", "whole"
"""What was planned; the same on the fastest of its servers; and the full frame to one server."""
VideoVerdict = Literal["within tolerance", "out of tolerance", "less accurate than promised"]
PARTS = ("plan_s", "encode_s", "uplink_s", "queue_s", "decode_s", "server_s", "downlink_s", "merge_s")
"""Of a frame's latency, in order; what is left over is the device waiting for itself."""
_FROZEN = ConfigDict(frozen=True, extra="forbid")


class TimedFrame(Protocol):
    """A frame that was measured, or predicted."""

    @property
    def asks(self) -> tuple[AskRecord, ...]:
        """What was sent where."""

    @property
    def plan_s(self) -> float:
        """Predicting and partitioning."""

    @property
    def merge_s(self) -> float:
        """Merging and indexing."""

    @property
    def latency_s(self) -> float:
        """From the frame's start until its answer."""


def split(frame: TimedFrame) -> Mapping[str, float]:
    """Where a frame's time went, by `PARTS`: on the way of the answer that came last, for which the others wait.

    `encode_s` is until that image was sent, those encoded before it included. Parts sum to the latency, but for what
    the device waited for itself.
    """
    told = dict.fromkeys(PARTS, 0.0) | {"plan_s": frame.plan_s, "merge_s": frame.merge_s}
    last = max((ask for ask in frame.asks if ask.answered), key=lambda ask: ask.done_s, default=None)
    if last is not None:
        told |= {part: getattr(last, part) for part in PARTS[2:-1]}
        told["encode_s"] = max(0.0, last.sent_at_s - frame.plan_s)
    return told


def mean_split(frames: Sequence[TimedFrame]) -> Mapping[str, float]:
    """The mean of each part over frames."""
    parts = [split(frame) for frame in frames]
    return {name: sum(part[name] for part in parts) / len(parts) for name in PARTS}


class MethodRun(BaseModel):
    """One way of offloading, over all frames.

    Attributes:
        name: A method's, or `ALONE`.
        setting: Of ELF; other methods take its quality of JPEG alone.
        servers: Which it had, by their places in the plan.
        emulated: Whether each image was measured alone and the frame's times follow from a model of the line, rather
            than all servers answering at once.
        frames: In order, cold start and small frames included.
        accuracy: Of its answers.
        ap50_change: Against `WHOLE`; the interval is a jackknife over blocks of frames that follow each other.
        shifted_ap50: Average precision of what is on the screen while each frame is shown: the newest answer that has
            arrived, each frame being begun when it is recorded.
        asked_by_age: At each age of objects, in frames, in how many frames one had to be found.
        missed_by_age: In how many of these it was not.
        notes: What happened on the way.
        waited: Share of its time in which threads of the device's process had no core, where the system tells.
    """

    model_config = _FROZEN

    name: str
    setting: Setting
    servers: Annotated[tuple[Amount, ...], Field(min_length=1)]
    emulated: bool
    frames: Annotated[tuple[FrameRecord, ...], Field(min_length=1)]
    accuracy: DetectionAccuracy
    ap50_change: Estimate
    shifted_ap50: Share
    asked_by_age: tuple[Amount, ...]
    missed_by_age: tuple[Amount, ...]
    notes: tuple[str, ...] = ()
    waited: NotNegative = 0.0

    @property
    def latencies_s(self) -> tuple[float, ...]:
        """Of each frame."""
        return tuple(frame.latency_s for frame in self.frames)

    @property
    def mean_s(self) -> float:
        """Mean latency of a frame: a median would not see the frames that have a small one besides."""
        return sum(self.latencies_s) / len(self.latencies_s)

    def percentile_s(self, percent: float) -> float:
        """The latency that so many per cent of the frames do not exceed."""
        import numpy as np

        return float(np.percentile(self.latencies_s, percent))

    @property
    def bytes_a_frame(self) -> float:
        """Sent, as JPEG; the mean."""
        return sum(frame.sent_bytes for frame in self.frames) / len(self.frames)

    @property
    def pixels_a_frame(self) -> float:
        """Of what is sent; the mean."""
        return sum(ask.pixels for frame in self.frames for ask in frame.asks) / len(self.frames)

    @property
    def sent_share(self) -> float:
        """Of the frames, those of which anything was sent."""
        return sum(bool(frame.asks) for frame in self.frames) / len(self.frames)

    @model_validator(mode="after")
    def _of_one_length(self) -> MethodRun:
        if len(self.asked_by_age) != len(self.missed_by_age):
            raise ValueError("objects were asked for at other ages than they were missed at")
        if any(ask.server not in self.servers for frame in self.frames for ask in frame.asks):
            raise ValueError("a frame was sent to a server that the method does not have")
        return self


class VideoVerification(Artifact):
    """A plan that was executed, and what it is compared with.

    Attributes:
        plan_hash: SHA-256 of the plan's content.
        clip: The frames that were used.
        first_frame: Of the clip's file, which of its frames is the first of those.
        fresh: Whether the plan was chosen by none of them.
        detector: What every server ran.
        servers: The plan's.
        addresses: HOST:PORT of each, where they ran for real; empty where they were emulated.
        link: The device's connection, in words.
        predicted: What was planned, with what each frame of the profile's clip should take.
        predicted_whole: The full frame, likewise.
        promised_change: The least change of AP50 that the plan allows, or told where nothing was asked for.
        runs: `WHOLE`, `ELF` and whatever else was asked for.
        left_out: Methods that could not be run, each with the reason.
        tolerance: Accepted error of the mean latency, as a fraction.
        verdict: The answer.
        warnings: Reasons to trust the result less, each with its remedy.
        stopped: Whether all frames that were asked for were answered.
    """

    KIND: ClassVar[str] = "video-verification"

    plan_hash: str
    clip: ClipRecord
    first_frame: Amount
    fresh: bool
    detector: DetectorRecord
    servers: Annotated[tuple[VideoServer, ...], Field(min_length=1)]
    addresses: tuple[str, ...] = ()
    link: str
    predicted: VideoOption
    predicted_whole: VideoOption
    promised_change: Annotated[float, Field(ge=-1, le=0)]
    runs: Annotated[tuple[MethodRun, ...], Field(min_length=2)]
    left_out: tuple[str, ...] = ()
    tolerance: Positive
    verdict: VideoVerdict
    warnings: tuple[str, ...] = ()
    stopped: Literal["done", "interrupted"] = "done"

    def run(self, name: str) -> MethodRun | None:
        """That of a method; None where it was not run."""
        return next((run for run in self.runs if run.name == name), None)

    @property
    def elf(self) -> MethodRun:
        """What was planned."""
        return self._required(ELF)

    @property
    def whole(self) -> MethodRun:
        """The full frame to one server."""
        return self._required(WHOLE)

    def _required(self, name: str) -> MethodRun:
        found = self.run(name)
        if found is None:
            raise AssertionError(f"{name} is there in every verification")
        return found

    @property
    def by_content(self) -> bool:
        """Whether what is sent follows what is expected in frames; else it is full frames, or equal strips."""
        return self.predicted.setting.rule != "equal"

    @property
    def emulated(self) -> bool:
        """Whether the planned servers were."""
        return self.elf.emulated

    @property
    def error(self) -> float:
        """How far the measured mean latency is from the predicted one, as a fraction of the predicted."""
        return self.elf.mean_s / self.predicted.mean_s.value - 1

    @property
    def whole_error(self) -> float:
        """Likewise of the full frame."""
        return self.whole.mean_s / self.predicted_whole.mean_s.value - 1

    @property
    def predicted_speedup(self) -> float:
        """How many times as fast as the full frame the planned option was to be, by mean latencies."""
        return self.predicted_whole.mean_s.value / self.predicted.mean_s.value

    def speedup(self, run: MethodRun) -> float:
        """How many times as fast as the full frame a method is, by mean latencies."""
        return self.whole.mean_s / run.mean_s

    @property
    def crop_gain(self) -> float | None:
        """What of the speed-up comes of sending regions, not frames: that on one server. None where not measured."""
        alone = self.elf if len(self.elf.servers) == 1 else self.run(ALONE)
        return None if alone is None else self.speedup(alone)

    @property
    def parallel_gain(self) -> float | None:
        """What of it comes of further servers; the product of the two gains is the speed-up."""
        return None if self.crop_gain is None else self.speedup(self.elf) / self.crop_gain

    @model_validator(mode="after")
    def _belongs_together(self) -> VideoVerification:
        names = [run.name for run in self.runs]
        if len(set(names)) != len(names) or not {ELF, WHOLE} <= set(names):
            raise ValueError("it does not hold what was planned and the full frame, each once")
        for option in (self.predicted, self.predicted_whole):
            if option.mean_s.value <= 0:
                raise ValueError("a frame was predicted to take no time")
        for run in self.runs:
            if [frame.number for frame in run.frames] != list(range(self.clip.frames)):
                raise ValueError(f"{run.name} tells of other frames than the clip's")
            if max(run.servers) >= len(self.servers) or run.mean_s <= 0:
                raise ValueError(f"{run.name} has a server that the plan does not name, or took no time")
            if any(label >= len(self.detector.classes) for frame in run.frames for label in frame.labels):
                raise ValueError(f"{run.name} shows a class that the detector does not name")
        if self.addresses and len(self.addresses) != len(self.servers):
            raise ValueError("not every server has its address")
        return self
