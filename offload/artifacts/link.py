"""What moving bytes costs: the link between device and server, and the serving protocol on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from offload.artifacts.base import Positive, Seconds
from offload.artifacts.estimate import Estimate, add


@dataclass(frozen=True, kw_only=True)
class AffineCost:
    """Seconds as a function of bytes: `fixed_s + per_byte_s * bytes`, and how far requests stray from it."""

    fixed_s: Seconds = 0.0
    per_byte_s: Seconds = 0.0
    below_s: Seconds = 0.0
    """How much less than the line 2.5 % of the samples took, at least."""
    above_s: Seconds = 0.0
    """How much more than the line 2.5 % of the samples took, at least."""

    def at(self, size_bytes: float) -> Estimate:
        """Seconds for a message of `size_bytes`."""
        value = self.fixed_s + self.per_byte_s * size_bytes
        return Estimate(value=value, low=max(0.0, value - self.below_s), high=value + self.above_s)


def fit_affine(sizes_bytes: Sequence[float], seconds: Sequence[float]) -> AffineCost:
    """The robust line through samples (Theil-Sen: the median of all pairwise slopes), neither term below zero.

    Raises:
        ValueError: fewer than two different sizes.
    """
    import numpy as np

    x, y = np.asarray(sizes_bytes, dtype=np.float64), np.asarray(seconds, dtype=np.float64)
    dx, dy = x[:, None] - x[None, :], y[:, None] - y[None, :]
    apart = dx > 0
    if not apart.any():
        raise ValueError("a line needs samples of at least two sizes")
    slope = max(0.0, float(np.median(dy[apart] / dx[apart])))
    fixed = max(0.0, float(np.median(y - slope * x)))
    below, above = np.percentile(y - slope * x - fixed, [2.5, 97.5])
    return AffineCost(fixed_s=fixed, per_byte_s=slope, below_s=max(0.0, -float(below)), above_s=max(0.0, float(above)))


@dataclass(frozen=True, kw_only=True)
class ProtocolSample:
    """One request over loopback to a model that computes nothing."""

    uplink_bytes: int
    downlink_bytes: int
    encode_s: Seconds
    uplink_s: Seconds
    decode_s: Seconds
    downlink_s: Seconds


@dataclass(frozen=True, kw_only=True)
class ProtocolCost:
    """What the serving protocol costs where the network costs nothing, by direction."""

    encode: AffineCost
    uplink: AffineCost
    decode: AffineCost
    downlink: AffineCost

    @classmethod
    def fit(cls, samples: Sequence[ProtocolSample]) -> ProtocolCost:
        """Lines through loopback samples; all zero when there are none."""
        if not samples:
            return cls(encode=AffineCost(), uplink=AffineCost(), decode=AffineCost(), downlink=AffineCost())
        up = [s.uplink_bytes for s in samples]
        down = [s.downlink_bytes for s in samples]
        return cls(
            encode=fit_affine(up, [s.encode_s for s in samples]),
            uplink=fit_affine(up, [s.uplink_s for s in samples]),
            decode=fit_affine(up, [s.decode_s for s in samples]),
            downlink=fit_affine(down, [s.downlink_s for s in samples]),
        )


@dataclass(frozen=True, kw_only=True)
class Link:
    """The path between device and server."""

    uplink_bps: Positive
    downlink_bps: Positive
    rtt_s: Seconds
    """Round trip of an empty message, without the protocol."""
    source: Literal["declared"] = "declared"
    """`declared`: the figures are the user's; nothing was measured."""

    def uplink_s(self, size_bytes: int, protocol: AffineCost) -> Estimate:
        """Seconds until the server has a request of `size_bytes`."""
        return _transfer_s(size_bytes, self.uplink_bps, self.rtt_s, protocol)

    def downlink_s(self, size_bytes: int, protocol: AffineCost) -> Estimate:
        """Seconds until the device has an answer of `size_bytes`."""
        return _transfer_s(size_bytes, self.downlink_bps, self.rtt_s, protocol)


def _transfer_s(size_bytes: int, rate_bps: float, rtt_s: float, protocol: AffineCost) -> Estimate:
    """The two add: a message is serialised before it leaves, and parsed once all of it is there."""
    return add((Estimate.exactly(rtt_s / 2 + size_bytes * 8 / rate_bps), protocol.at(size_bytes)))
