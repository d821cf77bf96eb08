"""A video run: what came of each frame of a clip when it was offloaded."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from offload.artifacts.base import Amount, Artifact, Seconds
from offload.artifacts.video_profile import ClipRecord, DetectorRecord, FrameBoxes, Setting, Share

EMBEDDED = "embedded"
"""What servers that a run started itself are called, with a number behind."""
_FROZEN = ConfigDict(frozen=True, extra="forbid")


class AskRecord(BaseModel):
    """One image that one server was asked to look at, and how long each part of that took.

    Attributes:
        server: Which, by its place in the run's servers.
        box: Left, top, right and bottom of what was sent, pixels of the frame.
        scale: Sides of what was sent, as a share of the box's.
        sent_bytes: Of the JPEG file.
        sent_at_s: From the frame's start until it was encoded and sending began.
        encode_s: On the device.
        uplink_s: From there until the server has it.
        queue_s: Waiting on the server.
        decode_s: From the JPEG file to the tensor, on the server.
        server_s: The detector.
        downlink_s: Until the device has the answer.
        found: Boxes in the answer.
        answered: Whether there was one; without, its times are 0.
        on_device: Whether the device looked at it, as no server was left; nothing was sent, then.
    """

    model_config = _FROZEN

    server: Amount
    box: tuple[Amount, Amount, Amount, Amount]
    scale: Share = 1.0
    sent_bytes: Amount
    sent_at_s: Seconds
    encode_s: Seconds
    uplink_s: Seconds = 0.0
    queue_s: Seconds = 0.0
    decode_s: Seconds = 0.0
    server_s: Seconds = 0.0
    downlink_s: Seconds = 0.0
    found: Amount = 0
    answered: bool = True
    on_device: bool = False

    @property
    def pixels(self) -> int:
        """Of what was sent."""
        left, top, right, bottom = self.box
        return max(1, round((right - left) * self.scale)) * max(1, round((bottom - top) * self.scale))

    @property
    def done_s(self) -> float:
        """From the frame's start until the answer was there."""
        return self.sent_at_s + self.uplink_s + self.queue_s + self.decode_s + self.server_s + self.downlink_s


class FrameRecord(BaseModel):
    """One frame.

    Attributes:
        number: From 0.
        predicted: Where objects were expected.
        asks: What was sent where.
        boxes: What the answer is: left, top, right and bottom of each object, pixels.
        scores: Of each, 0 to 1.
        labels: Of each, an index of the detector's classes.
        held: How many of the boxes, the last ones, nobody looked at: objects where they were expected, with the scores
            that they had last.
        plan_s: Predicting and partitioning.
        merge_s: From the last answer on: reading it, merging and indexing.
        latency_s: From the frame's start until its answer.
    """

    model_config = _FROZEN

    number: Amount
    predicted: FrameBoxes = ()
    asks: tuple[AskRecord, ...]
    boxes: FrameBoxes
    scores: tuple[Share, ...]
    labels: tuple[Amount, ...]
    held: Amount = 0
    plan_s: Seconds
    merge_s: Seconds
    latency_s: Seconds

    @property
    def sent_bytes(self) -> int:
        """Of all that was sent."""
        return sum(ask.sent_bytes for ask in self.asks)

    @model_validator(mode="after")
    def _of_one_length(self) -> FrameRecord:
        if not len(self.boxes) == len(self.scores) == len(self.labels):
            raise ValueError("boxes, scores and labels are not as many")
        if self.held > len(self.boxes):
            raise ValueError("more boxes were held than there are")
        return self


class VideoRun(Artifact):
    """A clip that was offloaded, frame by frame.

    Attributes:
        clip: Which.
        detector: What every server ran.
        method: How frames were offloaded: `elf`, or what it is compared with.
        setting: Of ELF; what it does not use of that is without meaning for other methods.
        servers: As the user named them.
        link: What was between the device and them.
        plan_hash: SHA-256 of the content of the plan that was executed; None where there was none.
        emulated: Whether each image's time was measured alone and the slowest taken, rather than all at once.
        notes: What happened on the way: a server that stopped answering.
        frames: In order.
        stopped: Whether the clip was done.
    """

    KIND: ClassVar[str] = "video-run"

    clip: ClipRecord
    detector: DetectorRecord
    method: str
    setting: Setting
    servers: Annotated[tuple[str, ...], Field(min_length=1)]
    link: str = "the network as it is"
    plan_hash: str | None = None
    emulated: bool
    notes: tuple[str, ...] = ()
    frames: Annotated[tuple[FrameRecord, ...], Field(min_length=1)]
    stopped: Literal["done", "interrupted"] = "done"

    @model_validator(mode="after")
    def _belongs_together(self) -> VideoRun:
        if any(ask.server >= len(self.servers) for frame in self.frames for ask in frame.asks):
            raise ValueError("a frame was sent to a server that the run does not name")
        numbers = [frame.number for frame in self.frames]
        if numbers != sorted(set(numbers)) or numbers[-1] >= self.clip.frames:
            raise ValueError("its frames are not the clip's, in order")
        if any(label >= len(self.detector.classes) for frame in self.frames for label in frame.labels):
            raise ValueError("a frame shows a class that the detector does not name")
        return self
