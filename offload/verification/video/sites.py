"""Where the servers of a plan are for a verification: real, or emulated on this machine."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from offload.artifacts.video_profile import area_line, decode_line
from offload.profilers.video.latency import measure_crops
from offload.profilers.video.replay import jpeg, pixels_of
from offload.verification.video.emulation import Emulated, emulate
from offload.verification.video.pool import server_pool
from offload.verification.video.run import run_clip
from offload.verification.video.served_detector import ServedDetector
from offload.video.methods.whole import Whole
from offload.video.partitioning import ServerCost

if TYPE_CHECKING:
    from offload.artifacts.video_plan import VideoPlan, VideoServer
    from offload.artifacts.video_run import FrameRecord
    from offload.detectors.base import Detector
    from offload.progress import Progress
    from offload.runtimes.base import Session
    from offload.serving.pacing import LinkShape
    from offload.video.clips import Frame
    from offload.video.methods.base import Method
    from offload.video.timing import Line

_ROUNDS = _WARMING = 3


class Site(Protocol):
    """Servers that a method can be run on."""

    emulated: bool
    addresses: tuple[str, ...]
    """HOST:PORT of all; none of those that are emulated."""

    def warm(self, frame: Frame, *, quality: int) -> None:
        """Have each server look at a frame a few times, so that the method that is run first is not at a loss.

        Args:
            frame: One of the clip.
            quality: Of JPEG.

        Raises:
            OffloadError: no server can be reached, or the detector fails.
        """

    def run(
        self, frames: Iterable[Frame], method: Method, places: Sequence[int], *, quality: int, notes: list[str]
    ) -> Generator[FrameRecord]:
        """Run a new method over frames.

        Args:
            frames: In order.
            method: It knows of the servers at these places alone, in this order.
            places: Among the plan's servers.
            quality: Of JPEG.
            notes: Told what happens on the way.

        Raises:
            OffloadError: no server can be reached, or the detector fails.
        """


@dataclass(kw_only=True)
class RealSite:
    """Running servers, all asked at once.

    Args:
        addresses: HOST:PORT of each of the plan's servers.
        costs: What was measured of each.
        detector: What they run.
        link: Uplink and downlink to emulate; None uses the network as it is.
        token: The servers'.
        tls: Authority to trust, PEM.
        progress: Told what happens to servers.
    """

    addresses: tuple[str, ...]
    costs: tuple[ServerCost, ...]
    detector: Detector
    link: tuple[LinkShape, LinkShape] | None
    token: str | None
    tls: Path | None
    progress: Progress
    emulated: bool = field(default=False, init=False)

    def warm(self, frame: Frame, *, quality: int) -> None:
        """See `Site`."""
        height, width = frame.shape[:2]
        for place, cost in enumerate(self.costs):
            whole = Whole(width=width, height=height, servers=(cost,))
            for _ in self.run([frame] * _WARMING, whole, (place,), quality=quality, notes=[]):
                pass

    def run(
        self, frames: Iterable[Frame], method: Method, places: Sequence[int], *, quality: int, notes: list[str]
    ) -> Generator[FrameRecord]:
        """See `Site`."""
        frames = iter(frames)
        first = next(frames)
        height, width = first.shape[:2]
        served = ServedDetector(self.detector, quality=quality, width=width, height=height)
        addresses = [self.addresses[place] for place in places]
        with server_pool(
            addresses, served, token=self.token, tls=self.tls, link=self.link, progress=self.progress
        ) as pool:
            try:
                yield from run_clip(_with(first, frames), method, pool, costs=[self.costs[place] for place in places])
            finally:
                notes += pool.notes


@dataclass(kw_only=True)
class EmulatedSite:
    """This machine in the stead of each server.

    Args:
        costs: What was measured of each of the plan's servers.
        here: What this machine takes in the stead of each.
        line: The device's connection.
        detector: What they run.
        session: It, loaded here.
    """

    costs: tuple[ServerCost, ...]
    here: tuple[ServerCost, ...]
    line: Line
    detector: Detector
    session: Session
    emulated: bool = field(default=True, init=False)
    addresses: tuple[str, ...] = field(default=(), init=False)

    def warm(self, frame: Frame, *, quality: int) -> None:
        """See `Site`."""
        for _ in range(_WARMING):
            self.detector.detect(self.session, pixels_of(jpeg(frame, quality)))

    def run(
        self, frames: Iterable[Frame], method: Method, places: Sequence[int], *, quality: int, notes: list[str]
    ) -> Generator[FrameRecord]:
        """See `Site`."""
        there = Emulated(
            servers=tuple(self.costs[place] for place in places),
            here=tuple(self.here[place] for place in places),
            line=self.line,
        )
        yield from emulate(frames, method, there, detector=self.detector, session=self.session, quality=quality)


def planned_costs(plan: VideoPlan) -> tuple[ServerCost, ...]:
    """What each of the plan's servers takes."""
    return tuple(
        ServerCost(fixed_s=server.fixed_s, seconds_per_pixel=server.seconds_per_pixel) for server in plan.servers
    )


def like_here(plan: VideoPlan, server: VideoServer) -> bool:
    """Whether the plan takes a server to be like the machine that was profiled, which is the device."""
    return server.address is None and server.profile_hash == plan.profile_hash


def costs_here(
    plan: VideoPlan, detector: Detector, session: Session, frame: Frame, progress: Progress
) -> tuple[ServerCost, ...]:
    """What this machine takes in the stead of each server: measured now where one is not like this machine."""
    planned = planned_costs(plan)
    alike = [like_here(plan, server) for server in plan.servers]
    if all(alike):
        return planned
    crops = measure_crops(
        detector, session, frame, quality=plan.chosen.setting.quality, rounds=_ROUNDS, progress=progress
    )
    lines = area_line(crops), decode_line(crops)
    here = ServerCost(
        fixed_s=sum(line.fixed_s for line in lines), seconds_per_pixel=sum(line.seconds_per_pixel for line in lines)
    )
    return tuple(cost if same else here for cost, same in zip(planned, alike, strict=True))


def _with(first: Frame, frames: Iterator[Frame]) -> Iterator[Frame]:
    yield first
    yield from frames
