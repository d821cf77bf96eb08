"""What moving bytes costs: the link between device and server, and the serving protocol on top of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median_low
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from pydantic import Field, FiniteFloat, model_validator

from offload.artifacts.base import MOST, Amount, Artifact, Positive, Seconds
from offload.artifacts.estimate import CONFIDENCE, RESAMPLES, Estimate, add, median_estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Direction = Literal["up", "down"]


@dataclass(frozen=True, kw_only=True)
class AffineCost:
    """Seconds as a function of bytes: `fixed_s + per_byte_s * bytes`, and how far requests stray from it."""

    fixed_s: Seconds = 0.0
    per_byte_s: Seconds = 0.0
    below_s: Seconds = 0.0
    """How much less than the line 2.5 % of the samples took, at least."""
    above_s: Seconds = 0.0
    """How much more than the line 2.5 % of the samples took, at least."""
    below_per_byte_s: Seconds = 0.0
    """By how much `below_s` grows with each byte."""
    above_per_byte_s: Seconds = 0.0
    """By how much `above_s` grows with each byte."""
    message_bytes: Amount = 0
    """Of a protocol: what a message carries beside its payload, which takes no time here but over a link's rate."""

    def at(self, size_bytes: float) -> Estimate:
        """Seconds for a message of `size_bytes`."""
        value = self.fixed_s + self.per_byte_s * size_bytes
        below_s = self.below_s + self.below_per_byte_s * size_bytes
        above_s = self.above_s + self.above_per_byte_s * size_bytes
        return Estimate(value=value, low=max(0.0, value - below_s), high=value + above_s)


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

    uplink_bytes: Amount
    downlink_bytes: Amount
    encode_s: Seconds
    uplink_s: Seconds
    decode_s: Seconds
    downlink_s: Seconds
    uplink_message_bytes: Amount = 0
    """What the request carried beside its tensors: headers, names and framing, counted on the connection; 0 in files
    that did not tell."""
    downlink_message_bytes: Amount = 0
    """The same of the answer."""


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
        uplink = fit_affine(up, [s.uplink_s for s in samples])
        downlink = fit_affine(down, [s.downlink_s for s in samples])
        return cls(
            encode=fit_affine(up, [s.encode_s for s in samples]),
            uplink=replace(uplink, message_bytes=median_low([s.uplink_message_bytes for s in samples])),
            decode=fit_affine(up, [s.decode_s for s in samples]),
            downlink=replace(downlink, message_bytes=median_low([s.downlink_message_bytes for s in samples])),
        )


@dataclass(frozen=True, kw_only=True)
class Link:
    """The path between device and server."""

    uplink_bps: Positive
    downlink_bps: Positive
    rtt_s: Seconds
    """Round trip of an empty message: declared, without the protocol; measured, with it."""
    source: Literal["declared", "measured"] = "declared"
    """`declared`: the figures are the user's; nothing was measured."""
    uplink_curve: AffineCost | None = None
    """What requests of each size were measured to take, the protocol's own cost included; a slope of 8 / uplink_bps."""
    downlink_curve: AffineCost | None = None
    """The same for answers."""

    def uplink_s(self, size_bytes: int, protocol: AffineCost) -> Estimate:
        """Seconds until the server has a request of `size_bytes`; affine in it.

        Args:
            size_bytes: Payload.
            protocol: The protocol's own cost and bytes, added unless the measured curve holds them already: its
                sizes are those of payloads.
        """
        return _transfer_s(size_bytes, self.uplink_bps, self.rtt_s, self.uplink_curve, protocol)

    def downlink_s(self, size_bytes: int, protocol: AffineCost) -> Estimate:
        """Seconds until the device has an answer of `size_bytes`; see `uplink_s`."""
        return _transfer_s(size_bytes, self.downlink_bps, self.rtt_s, self.downlink_curve, protocol)

    def at_rates(self, *, uplink_bps: float, downlink_bps: float) -> Link:
        """The same link at other rates: what does not grow with the bytes stays."""
        return replace(
            self,
            uplink_bps=uplink_bps,
            downlink_bps=downlink_bps,
            uplink_curve=_at_rate(self.uplink_curve, uplink_bps),
            downlink_curve=_at_rate(self.downlink_curve, downlink_bps),
        )


def _at_rate(curve: AffineCost | None, rate_bps: float) -> AffineCost | None:
    return None if curve is None else replace(curve, per_byte_s=8 / rate_bps)


def _transfer_s(
    size_bytes: int, rate_bps: float, rtt_s: float, curve: AffineCost | None, protocol: AffineCost
) -> Estimate:
    """Without a curve the two add: a message is serialised before it leaves, and parsed once all of it is there."""
    if curve is not None:
        return curve.at(size_bytes)
    carried_s = (size_bytes + protocol.message_bytes) * 8 / rate_bps
    return add((Estimate.exactly(rtt_s / 2 + carried_s), protocol.at(size_bytes)))


@dataclass(frozen=True, kw_only=True)
class RttSample:
    """The round trip of one tiny request on a connection in use, without the server's own time where it tells it."""

    seconds: Seconds
    at_s: Seconds
    """When, seconds since measuring began."""


@dataclass(frozen=True, kw_only=True)
class TransferSample:
    """One message of some size, one way."""

    direction: Direction
    size_bytes: Annotated[int, Field(ge=1, le=int(MOST))]
    """Payload."""
    seconds: Seconds
    """Up: until the server has the request. Down: until the device has made an array of the answer."""
    cold: bool
    """Whether it was the first on a fresh connection."""
    at_s: Seconds
    """When it began, seconds since measuring began."""


@dataclass(frozen=True, kw_only=True)
class SizeSummary:
    """What messages of one size took, in a connection in use."""

    size_bytes: int
    samples: int
    median_s: Estimate
    deviation: float
    """How far the median is from the line, as a fraction of the line's value."""


@dataclass(frozen=True, kw_only=True)
class OneWay:
    """One direction of a measured link."""

    curve: AffineCost
    """The line through the sizes' medians."""
    goodput_bps: Estimate
    """Payload bits per second once a message is long: the inverse of the line's slope."""
    overhead_s: Estimate
    """What a message takes before its first byte counts: the line's value at no bytes."""
    sizes: tuple[SizeSummary, ...]
    """In rising order."""
    cold_s: Estimate | None
    """How much longer the first message on a fresh connection takes; None when none was measured."""

    @property
    def residual(self) -> float:
        """How far the sizes' medians are from the line: the median of the absolute deviations."""
        import numpy as np

        return float(np.median([abs(size.deviation) for size in self.sizes]))


def fit_one_way(samples: Sequence[TransferSample]) -> OneWay:
    """One direction, from its samples.

    The line goes through the medians of the sizes. Its slope is that of the longer half of them, since a token
    bucket's burst or a slow start bends short ones: the median of the pairwise slopes weighted by the distance of the
    sizes (Jaeckel 1972, a weighted Theil-Sen). Its value at zero is the median over all sizes. Intervals are the
    percentile bootstrap over the samples of each size, seeded so that they repeat.

    Raises:
        ValueError: fewer than two sizes, or longer messages took no longer.
    """
    import numpy as np

    warm: dict[int, list[float]] = {}
    for sample in samples:
        if not sample.cold:
            warm.setdefault(sample.size_bytes, []).append(sample.seconds)
    if len(warm) < 2:
        raise ValueError("a line needs samples of at least two sizes")
    sizes = np.array(sorted(warm), dtype=np.float64)
    seconds = [np.array(warm[int(size)]) for size in sizes]
    medians = np.array([np.median(each) for each in seconds])
    generator = np.random.default_rng(0)
    resampled = [np.median(each[generator.integers(0, each.size, (RESAMPLES, each.size))], axis=1) for each in seconds]
    slopes, fixed = _weighted_lines(sizes, np.vstack([medians, np.stack(resampled, axis=1)]))
    slope = float(slopes[0])
    if slope * MOST <= 8:
        raise ValueError("longer messages took no longer than short ones, so no rate can be told")
    tail = 100 * (1 - CONFIDENCE) / 2
    low_slope, high_slope = np.percentile(slopes[1:], [tail, 100 - tail])
    low_fixed, high_fixed = np.percentile(fixed[1:], [tail, 100 - tail])
    line = fixed[0] + slope * sizes
    below, above = (
        fit_affine(
            sizes.tolist(),
            [sign * float(np.percentile(each - at, part)) for each, at in zip(seconds, line, strict=True)],
        )
        for sign, part in ((-1, tail), (1, 100 - tail))
    )
    cold = [s.seconds - float(np.median(warm[s.size_bytes])) for s in samples if s.cold and s.size_bytes in warm]
    return OneWay(
        curve=AffineCost(
            fixed_s=float(fixed[0]),
            per_byte_s=slope,
            below_s=below.fixed_s,
            above_s=above.fixed_s,
            below_per_byte_s=below.per_byte_s,
            above_per_byte_s=above.per_byte_s,
        ),
        goodput_bps=Estimate(
            value=8 / slope,
            low=8 / max(slope, float(high_slope)),
            high=8 / max(8 / MOST, min(slope, float(low_slope))),
        ),
        overhead_s=Estimate(
            value=float(fixed[0]),
            low=min(float(fixed[0]), float(low_fixed)),
            high=max(float(fixed[0]), float(high_fixed)),
        ),
        sizes=tuple(
            SizeSummary(
                size_bytes=int(size),
                samples=each.size,
                median_s=median_estimate(each.tolist()),
                deviation=float(median / at - 1) if at else 0.0,
            )
            for size, each, median, at in zip(sizes, seconds, medians, line, strict=True)
        ),
        cold_s=median_estimate(cold) if cold else None,
    )


def _weighted_lines(sizes: Array, seconds: Array) -> tuple[Array, Array]:
    """Slope and value at zero, neither below zero, of the line through each row of `seconds`, float64 (rows, sizes)."""
    import numpy as np

    longer = (sizes.size - 1) // 2
    first, second = (index + longer for index in np.triu_indices(sizes.size - longer, k=1))
    distance = sizes[second] - sizes[first]
    slopes = (seconds[:, second] - seconds[:, first]) / distance
    order = np.argsort(slopes, axis=1)
    reached = np.cumsum(distance[order], axis=1) >= distance.sum() / 2
    middle = np.take_along_axis(order, reached.argmax(axis=1)[:, None], axis=1)
    slope = np.maximum(0.0, np.take_along_axis(slopes, middle, axis=1)[:, 0])
    fixed = np.maximum(0.0, np.median(seconds - slope[:, None] * sizes, axis=1))
    return slope, fixed


class LinkProfile(Artifact):
    """What moving bytes between this machine and a server costs, as raw samples.

    Attributes:
        server: HOST:PORT.
        server_name: What the server calls itself, with its version.
        probes: `built-in` models of our own server, or models `uploaded` for the purpose.
        timing: `one-way` by the server's clock, or from the `round trip` with half an empty one taken off.
        compute_included: Whether transfers hold the probes' own computing, as the server told no statistics.
        clock_uncertainty_s: How far one-way times may be shifted from one direction to the other; None for round trips.
        clock_drift: How fast the server's clock ran away from ours, seconds a second; None for round trips.
        rtts: Round trips of tiny requests, in the order of time.
        transfers: Messages of several sizes each way, in the order of time.
        stopped: Why measuring ended.
        failure: The error that ended it, when the connection was lost.
    """

    KIND: ClassVar[str] = "link"

    server: str
    server_name: str
    probes: Literal["built-in", "uploaded"]
    timing: Literal["one-way", "round trip"]
    compute_included: bool = False
    clock_uncertainty_s: Seconds | None = None
    clock_drift: FiniteFloat | None = None
    rtts: tuple[RttSample, ...]
    transfers: tuple[TransferSample, ...]
    stopped: Literal["time", "interrupted", "lost"]
    failure: str | None = None

    @model_validator(mode="after")
    def _is_enough(self) -> LinkProfile:
        if not self.rtts:
            raise ValueError("rtts holds no samples")
        for direction in get_args(Direction):
            try:
                self._one_way(direction)
            except ValueError as error:
                raise ValueError(f"transfers {direction}: {error}") from None
        return self

    @cached_property
    def uplink(self) -> OneWay:
        """From the device to the server."""
        return self._one_way("up")

    @cached_property
    def downlink(self) -> OneWay:
        """From the server to the device."""
        return self._one_way("down")

    def _one_way(self, direction: Direction) -> OneWay:
        return fit_one_way([sample for sample in self.transfers if sample.direction == direction])

    @cached_property
    def rtt_s(self) -> Estimate:
        """The median round trip of a tiny request."""
        return median_estimate([sample.seconds for sample in self.rtts])

    @cached_property
    def rtt_spread_s(self) -> tuple[float, float]:
        """The 5th and 95th percentile of the round trips, seconds."""
        import numpy as np

        low, high = np.percentile([sample.seconds for sample in self.rtts], [5, 95])
        return float(low), float(high)

    @cached_property
    def jitter_s(self) -> float:
        """The median absolute difference of consecutive round trips, seconds; 0 when there is only one."""
        import numpy as np

        steps = np.abs(np.diff([sample.seconds for sample in self.rtts]))
        return float(np.median(steps)) if steps.size else 0.0

    def link(self) -> Link:
        """The link as planners take it."""
        return Link(
            uplink_bps=self.uplink.goodput_bps.value,
            downlink_bps=self.downlink.goodput_bps.value,
            rtt_s=self.rtt_s.value,
            source="measured",
            uplink_curve=self.uplink.curve,
            downlink_curve=self.downlink.curve,
        )
