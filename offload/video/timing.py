"""When each image of a frame is where: one device that encodes, one line that all servers share, servers side by side.

The same for a prediction, whose parts were estimated, and for an emulation, whose parts were measured alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from offload.artifacts.link import AffineCost
from offload.artifacts.video_run import AskRecord

if TYPE_CHECKING:
    from offload.artifacts.link import Link, ProtocolCost
    from offload.video.methods.base import Ask

_LEAST_S_PER_BYTE = 1e-15


@dataclass(frozen=True, kw_only=True)
class Line:
    """The device's connection, which all of its servers are behind."""

    uplink_bps: float
    """Bits a second of payload, above 0."""
    downlink_bps: float
    rtt_s: float = 0.0
    """Of an empty message, there and back."""
    uplink: AffineCost = field(default_factory=AffineCost)
    """What a message takes besides, while others may use the line; the bytes it carries besides are on the line."""
    downlink: AffineCost = field(default_factory=AffineCost)

    @classmethod
    def of(cls, link: Link, protocol: ProtocolCost, *, off: Literal[-1, 0, 1] = 0) -> Self:
        """A link as planners have it, with the protocol's own cost, which a measured link's curve holds already.

        Args:
            link: Declared or measured.
            protocol: What the serving protocol costs.
            off: 0 as it is; -1 and 1 as fast and as slow as 95 % of what was measured allow.
        """
        uplink, downlink = link.uplink_curve, link.downlink_curve
        if uplink is None or downlink is None:
            return cls(
                uplink_bps=link.uplink_bps,
                downlink_bps=link.downlink_bps,
                rtt_s=link.rtt_s,
                uplink=_off(protocol.uplink, off),
                downlink=_off(protocol.downlink, off),
            )
        up, down = _off(uplink, off), _off(downlink, off)
        return cls(
            uplink_bps=8 / max(up.per_byte_s, _LEAST_S_PER_BYTE),
            downlink_bps=8 / max(down.per_byte_s, _LEAST_S_PER_BYTE),
            uplink=AffineCost(fixed_s=up.fixed_s),
            downlink=AffineCost(fixed_s=down.fixed_s),
        )


def _off(cost: AffineCost, off: int) -> AffineCost:
    fixed_s = {-1: -cost.below_s, 0: 0.0, 1: cost.above_s}[off]
    per_byte_s = {-1: -cost.below_per_byte_s, 0: 0.0, 1: cost.above_per_byte_s}[off]
    return AffineCost(
        fixed_s=max(0.0, cost.fixed_s + fixed_s),
        per_byte_s=max(0.0, cost.per_byte_s + per_byte_s),
        message_bytes=cost.message_bytes,
    )


@dataclass(frozen=True, kw_only=True)
class AskCost:
    """What one image takes by itself."""

    server: int
    encode_s: float
    """On the device."""
    sent_bytes: float
    decode_s: float
    """On the server."""
    server_s: float
    """The detector."""
    answer_bytes: float


@dataclass(frozen=True, kw_only=True)
class AskTimes:
    """When it is where, in seconds; their sum is when the answer is there, from when the frame's encoding began."""

    sent_at_s: float
    """Until it is encoded; those before it are encoded first."""
    uplink_s: float
    """Until the server has it: waiting for the line is part of it."""
    queue_s: float
    """Until the server begins with it, which has those before it to do."""
    decode_s: float
    server_s: float
    downlink_s: float

    @property
    def done_s(self) -> float:
        """From when the frame's encoding began."""
        return self.sent_at_s + self.uplink_s + self.queue_s + self.decode_s + self.server_s + self.downlink_s


def ask_times(asks: Sequence[AskCost], line: Line) -> tuple[AskTimes, ...]:
    """Times of a frame's images, encoded and sent in this order, the line and each server used by one at a time.

    Answers are so short beside images that they do not wait for each other.
    """
    up, down = line.uplink, line.downlink
    encoded_s = line_free_s = 0.0
    server_free_s: dict[int, float] = {}
    times = []
    for ask in asks:
        encoded_s += ask.encode_s
        line_free_s = max(line_free_s, encoded_s) + 8 * (ask.sent_bytes + up.message_bytes) / line.uplink_bps
        arrived_s = line_free_s + line.rtt_s / 2 + up.fixed_s + up.per_byte_s * ask.sent_bytes
        begun_s = max(arrived_s, server_free_s.get(ask.server, 0.0))
        server_free_s[ask.server] = begun_s + ask.decode_s + ask.server_s
        times.append(
            AskTimes(
                sent_at_s=encoded_s,
                uplink_s=arrived_s - encoded_s,
                queue_s=begun_s - arrived_s,
                decode_s=ask.decode_s,
                server_s=ask.server_s,
                downlink_s=8 * (ask.answer_bytes + down.message_bytes) / line.downlink_bps
                + line.rtt_s / 2
                + down.fixed_s
                + down.per_byte_s * ask.answer_bytes,
            )
        )
    return tuple(times)


def ask_record(ask: Ask, cost: AskCost, times: AskTimes, *, started_s: float, found: int = 0) -> AskRecord:
    """One image for a document.

    Args:
        ask: Which.
        cost: What it took by itself.
        times: When it was where.
        started_s: From the frame's start until encoding began.
        found: Boxes in the answer.
    """
    left, top, right, bottom = (int(side) for side in ask.region[0])
    return AskRecord(
        server=ask.server,
        box=(left, top, right, bottom),
        scale=ask.scale,
        sent_bytes=round(cost.sent_bytes),
        sent_at_s=started_s + times.sent_at_s,
        encode_s=cost.encode_s,
        uplink_s=times.uplink_s,
        queue_s=times.queue_s,
        decode_s=times.decode_s,
        server_s=times.server_s,
        downlink_s=times.downlink_s,
        found=found,
    )
