"""What frames should take with servers and a link that they were not measured with.

A setting's replay tells where objects were expected in each frame, what its images had in bytes and took to encode.
ELF's own code shares the expected boxes out among other servers; bytes and encoding follow pixels as they did in that
frame of the replay; servers take what was measured there, and `offload.video.timing` tells what waits for what.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from offload.artifacts.video_plan import FramePrediction
from offload.artifacts.video_profile import AreaLine, area_line, decode_line, proportional_line
from offload.video.boxes import areas, as_boxes
from offload.video.expansion import expanded
from offload.video.methods.elf import Elf, ElfSettings
from offload.video.partitioning import ServerCost
from offload.video.proposals.hold import Hold
from offload.video.timing import AskCost, Line, ask_record, ask_times

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.artifacts.link import ProtocolCost
    from offload.artifacts.video_profile import CropRecord, ReplayRecord, Setting, VideoProfile
    from offload.video.methods.base import Ask

_DRAWS = 8
"""Runs of each frame, with servers as much faster or slower than usual as single runs were when they were measured."""
_INTERVAL = 1.96 / 0.6745
"""Half of the interval that holds 95 % of errors, for each of their median size; of a normal distribution."""
_MOST_STRAYING = 0.9
_LEAST_S = 1e-9


@dataclass(frozen=True, kw_only=True)
class _Size:
    """Images of one size, as they were measured."""

    pixels: int
    decode_s: float
    detector_s: float
    answer_bytes: int


@dataclass(frozen=True, kw_only=True)
class ServerModel:
    """What one server takes for an image, from the crops that were measured there.

    ELF's partitioning goes by lines; predictions by what was measured, along straight lines from one size to the next.
    """

    detector: AreaLine
    decode: AreaLine
    residual: float
    """Median distance of the sizes' medians from both lines together, as a share of them."""
    straying: float
    """By which share a size may be off what those around it tell, with 95 %."""
    ratios: tuple[float, ...]
    """Each run against its size's median."""
    sizes: tuple[_Size, ...]
    """In the order of pixels."""

    @classmethod
    def of(cls, crops: Sequence[CropRecord]) -> Self:
        """From at least two sizes."""
        detector, decode = area_line(crops), decode_line(crops)
        fixed_s, slope_s = detector.fixed_s + decode.fixed_s, detector.seconds_per_pixel + decode.seconds_per_pixel
        ordered = sorted(crops, key=lambda crop: crop.pixels)
        runs = [[sum(run) for run in zip(crop.decode_s, crop.samples_s, strict=True)] for crop in ordered]
        medians = [max(median(each), _LEAST_S) for each in runs]
        pixels = [crop.pixels for crop in ordered]
        off = [abs((fixed_s + slope_s * size) / usual - 1) for size, usual in zip(pixels, medians, strict=True)]
        return cls(
            detector=detector,
            decode=decode,
            residual=median(off),
            straying=min(_MOST_STRAYING, _INTERVAL * _neighbours_off(pixels, medians)),
            ratios=tuple(run / usual for each, usual in zip(runs, medians, strict=True) for run in each),
            sizes=tuple(
                _Size(
                    pixels=crop.pixels,
                    decode_s=median(crop.decode_s),
                    detector_s=median(crop.samples_s),
                    answer_bytes=crop.answer_bytes,
                )
                for crop in ordered
            ),
        )

    @property
    def cost(self) -> ServerCost:
        """As the partitioning takes it."""
        return ServerCost(
            fixed_s=self.detector.fixed_s + self.decode.fixed_s,
            seconds_per_pixel=self.detector.seconds_per_pixel + self.decode.seconds_per_pixel,
        )

    def decode_s(self, pixels: float) -> float:
        """From the JPEG file to what the detector takes."""
        return self._between(pixels, [size.decode_s for size in self.sizes])

    def detector_s(self, pixels: float) -> float:
        """The detector alone."""
        return self._between(pixels, [size.detector_s for size in self.sizes])

    def answer_bytes(self, pixels: float) -> float:
        """Of what goes back."""
        return self._between(pixels, [float(size.answer_bytes) for size in self.sizes])

    def run(self, chance: float, *, off: Literal[-1, 0, 1]) -> float:
        """How many times longer than usual a run takes, as one that was measured did; chance is 0 to 1."""
        return self.ratios[int(chance * len(self.ratios))] * (1 + off * self.straying)

    def _between(self, pixels: float, values: Sequence[float]) -> float:
        """Between two sizes along a straight line; beyond them all along that of the nearest two."""
        sizes = [size.pixels for size in self.sizes]
        after = min(max(bisect(sizes, pixels), 1), len(sizes) - 1)
        low, high = sizes[after - 1], sizes[after]
        share = (pixels - low) / (high - low) if high > low else 0.0
        return max(0.0, values[after - 1] + share * (values[after] - values[after - 1]))


def _neighbours_off(pixels: Sequence[int], medians_s: Sequence[float]) -> float:
    """Median share by which a size is off the straight line between the next smaller and the next larger one."""
    off = [
        abs(
            float(np.interp(pixels[at], pixels[at - 1 : at + 2 : 2], medians_s[at - 1 : at + 2 : 2])) / medians_s[at]
            - 1
        )
        for at in range(1, len(pixels) - 1)
    ]
    return median(off) if off else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameCosts:
    """What a frame's images take by themselves."""

    number: int
    asks: tuple[Ask, ...]
    costs: tuple[AskCost, ...]
    plan_s: float
    merge_s: float

    def latency_s(self, line: Line, costs: Sequence[AskCost]) -> float:
        """From the frame's start until its answer, with these costs instead of its own."""
        return self.plan_s + max((times.done_s for times in ask_times(costs, line)), default=0.0) + self.merge_s


def frame_costs(
    profile: VideoProfile,
    replay: ReplayRecord,
    setting: Setting,
    servers: Mapping[int, ServerModel],
    protocol: ProtocolCost,
) -> list[FrameCosts]:
    """Each frame of a replay, shared out among these servers.

    Args:
        profile: Which the replay is of.
        replay: Of the same setting with another number of servers, perhaps.
        setting: The way to share out.
        servers: Those that are used, by their places among all.
        protocol: What turning images into messages and back takes.
    """
    clip, sent = profile.clip, _SentImages(replay, servers, protocol)
    loop = Elf(
        settings=ElfSettings.of(setting, profile.detector.multiple),
        predictor=Hold(),  # what is expected is known
        width=clip.width,
        height=clip.height,
        servers=[servers[place].cost if place in servers else None for place in range(max(servers) + 1)],
    )
    found = []
    for number, told in enumerate(replay.predicted):
        wanted = expanded(as_boxes(told), setting.expansion, width=clip.width, height=clip.height)
        asks = loop.asks(number, wanted[areas(wanted) > 0])
        found.append(
            FrameCosts(
                number=number,
                asks=asks,
                costs=tuple(sent.cost(number, ask) for ask in asks),
                plan_s=replay.plan_s[number],
                merge_s=replay.merge_s[number],
            )
        )
    return found


class _SentImages:
    """Bytes and encoding by pixels, for regions and small frames apart: lines, and how far a frame is off them."""

    def __init__(self, replay: ReplayRecord, servers: Mapping[int, ServerModel], protocol: ProtocolCost) -> None:
        self._replay, self._servers, self._protocol = replay, servers, protocol
        self._lines = {}
        for small in (False, True):
            images = [image for frame in replay.images for image in frame if image.small == small]
            if images:
                pixels = [image.pixels for image in images]
                self._lines[small] = (
                    proportional_line(pixels, [image.sent_bytes for image in images]),
                    proportional_line(pixels, [max(image.encode_s, _LEAST_S) for image in images]),
                )

    def cost(self, number: int, ask: Ask) -> AskCost:
        server, small = self._servers[ask.server], ask.scale != 1
        size, encode = self._lines[small if small in self._lines else not small]
        size_off, encode_off = 1.0, 1.0
        images = [image for image in self._replay.images[number] if image.small == small]
        if images:
            size_off = sum(image.sent_bytes for image in images) / sum(size.at(image.pixels) for image in images)
            encode_off = sum(image.encode_s for image in images) / sum(encode.at(image.pixels) for image in images)
        sent_bytes = size.at(ask.pixels) * size_off
        return AskCost(
            server=ask.server,
            encode_s=encode.at(ask.pixels) * encode_off + self._protocol.encode.at(sent_bytes).value,
            sent_bytes=sent_bytes,
            decode_s=server.decode_s(ask.pixels) + self._protocol.decode.at(sent_bytes).value,
            server_s=server.detector_s(ask.pixels),
            answer_bytes=server.answer_bytes(ask.pixels),
        )


def latencies(
    frames: Sequence[FrameCosts], servers: Mapping[int, ServerModel], line: Line, *, off: Literal[-1, 0, 1] = 0
) -> NDArray[np.float64]:
    """Latency of each frame in some runs, seconds, (frames, runs).

    Args:
        frames: Of a clip.
        servers: By their places.
        line: The link.
        off: 0 with servers as they were measured; -1 and 1 with all as fast and as slow as they may be between sizes.
    """
    found = np.empty((len(frames), _DRAWS))
    for row, frame in zip(found, frames, strict=True):
        chances = np.random.default_rng(frame.number).random((_DRAWS, len(frame.costs))).tolist()
        for run, chance in enumerate(chances):
            costs = [
                _slowed(cost, servers[cost.server].run(share, off=off))
                for cost, share in zip(frame.costs, chance, strict=True)
            ]
            row[run] = frame.latency_s(line, costs)
    return found


def predicted(frame: FrameCosts, line: Line) -> FramePrediction:
    """A frame with every server as it usually is."""
    times = ask_times(frame.costs, line)
    return FramePrediction(
        number=frame.number,
        asks=tuple(
            ask_record(ask, cost, each, started_s=frame.plan_s)
            for ask, cost, each in zip(frame.asks, frame.costs, times, strict=True)
        ),
        plan_s=frame.plan_s,
        merge_s=frame.merge_s,
        latency_s=frame.latency_s(line, frame.costs),
    )


def _slowed(cost: AskCost, factor: float) -> AskCost:
    return AskCost(
        server=cost.server,
        encode_s=cost.encode_s,
        sent_bytes=cost.sent_bytes,
        decode_s=cost.decode_s * factor,
        server_s=cost.server_s * factor,
        answer_bytes=cost.answer_bytes,
    )
