"""A video plan: how frames are divided among which servers, and what each frame should then take."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from offload.artifacts.base import Amount, Artifact, Count, NotNegative, Positive, Seconds
from offload.artifacts.estimate import Estimate
from offload.artifacts.link import Link, ProtocolCost
from offload.artifacts.plan import Radio
from offload.artifacts.profile import RuntimeIdentity
from offload.artifacts.video_profile import ClipRecord, DetectorRecord, Setting, Share
from offload.artifacts.video_run import AskRecord

VideoTarget = Literal["latency", "energy", "bandwidth"]
_FROZEN = ConfigDict(frozen=True, extra="forbid")


class VideoServer(BaseModel):
    """One server, as it was measured: `fixed_s + pixels * seconds_per_pixel` from JPEG file to answer.

    Attributes:
        name: As the user gave it: a profile's file, HOST:PORT, or one like the profile's machine.
        address: HOST:PORT, where that is known.
        fixed_s: For a rectangle of any size.
        seconds_per_pixel: Of what is sent.
        residual: Median distance of the sizes' medians from that line, as a share of them.
        decode_fixed_s: What of `fixed_s` is decoding.
        decode_seconds_per_pixel: What of `seconds_per_pixel` is.
        profile_hash: SHA-256 of the profile's content that it was measured in; None where it was measured for the plan.
    """

    model_config = _FROZEN

    name: str
    address: str | None
    fixed_s: Seconds
    seconds_per_pixel: Positive
    residual: NotNegative
    decode_fixed_s: Seconds
    decode_seconds_per_pixel: NotNegative
    profile_hash: str | None


class FramePrediction(BaseModel):
    """What a frame should take.

    Attributes:
        number: From 0.
        asks: What is sent where, in the order of sending; each takes its usual time.
        plan_s: Predicting and partitioning.
        merge_s: Merging and indexing.
        latency_s: From the frame's start until its answer.
    """

    model_config = _FROZEN

    number: Amount
    asks: tuple[AskRecord, ...]
    plan_s: Seconds
    merge_s: Seconds
    latency_s: Seconds


class VideoOption(BaseModel):
    """One way to offload frames.

    Attributes:
        setting: How.
        servers: Which of the plan's servers, by their places.
        accuracy_servers: With how many servers of equal speed the accuracy was measured.
        mean_s: A frame's latency, the mean over all frames of the clip; what the target `latency` minimises.
        p50_s: Its median.
        p95_s: Its 95th percentile.
        bytes_a_frame: Sent, as JPEG; the mean.
        pixels_a_frame: Of what is sent.
        radio_j: Energy of the radio for a frame; None where no radio was given.
        ap50: Average precision at an intersection over union of 0.5, measured.
        ap: Mean of those from 0.5 to 0.95.
        ap50_change: Against the whole frame; negative is a loss.
        frames: The prediction for each frame of the clip; empty where it is left out.
    """

    model_config = _FROZEN

    setting: Setting
    servers: Annotated[tuple[Amount, ...], Field(min_length=1)]
    accuracy_servers: Count
    mean_s: Estimate
    p50_s: Estimate
    p95_s: Estimate
    bytes_a_frame: NotNegative
    pixels_a_frame: NotNegative
    radio_j: Estimate | None
    ap50: Share
    ap: Share
    ap50_change: FiniteFloat
    frames: tuple[FramePrediction, ...] = ()

    def cost(self, target: VideoTarget) -> float | None:
        """What the target minimises: seconds, joules or bytes of a frame; None where it is not known."""
        match target:
            case "latency":
                return self.mean_s.value
            case "energy":
                return None if self.radio_j is None else self.radio_j.value
            case "bandwidth":
                return self.bytes_a_frame


class VideoPlan(Artifact):
    """The answer to "how should a clip's frames be offloaded".

    Attributes:
        clip: Which clip the profile is of.
        detector: What every server runs.
        runtime: What ran it when the profile was made.
        profile_hash: SHA-256 of the profile's content.
        servers: All that were given.
        link: The device's connection, which all servers are behind.
        protocol: What the serving protocol costs on it.
        target: What was minimised.
        radio: What energy was computed with, if any.
        least_ap50: What was asked for: no option has less.
        chosen: The best option, with what each frame should take.
        whole: Each frame as it is to the fastest server, likewise.
        by_servers: The best option with each number of servers, rising.
        alternatives: The next best ways, best first.
        pareto: Options that none beats in latency, bytes and accuracy at once; empty where not asked for.
        considered: How many options that are accurate enough were compared.
        warnings: Reasons to trust the plan less, each with its remedy.
        notes: How the answer was found.
    """

    KIND: ClassVar[str] = "video-plan"

    clip: ClipRecord
    detector: DetectorRecord
    runtime: RuntimeIdentity
    profile_hash: str
    servers: Annotated[tuple[VideoServer, ...], Field(min_length=1)]
    link: Link
    protocol: ProtocolCost
    target: VideoTarget
    radio: Radio | None
    least_ap50: NotNegative
    chosen: VideoOption
    whole: VideoOption
    by_servers: tuple[VideoOption, ...]
    alternatives: tuple[VideoOption, ...]
    pareto: tuple[VideoOption, ...] = ()
    considered: Count
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def divides(self) -> bool:
        """Whether dividing frames is better than sending each as it is; if not, that is what was chosen."""
        return not self.chosen.setting.whole

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if not self.whole.setting.whole:
            raise ValueError("what is called the whole frame is not")
        for option in (self.chosen, self.whole, *self.by_servers, *self.alternatives, *self.pareto):
            asked = {ask.server for frame in option.frames for ask in frame.asks}
            if len(option.servers) != option.setting.servers or len(set(option.servers)) != len(option.servers):
                raise ValueError("an option does not name as many servers as it has")
            if max(option.servers) >= len(self.servers) or not asked <= set(option.servers):
                raise ValueError("an option uses a server that the plan does not name")
        for option in (self.chosen, self.whole):
            if [frame.number for frame in option.frames] != list(range(self.clip.frames)):
                raise ValueError("a prediction is not of each frame of the clip")
        return self
