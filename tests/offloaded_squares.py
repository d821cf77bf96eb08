"""A clip of many squares, offloaded to real servers by ELF's loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from offload.artifacts.video_run import FrameRecord
from offload.detectors.base import Detector
from offload.progress import NullProgress
from offload.serving.embedded import EmbeddedServer
from offload.verification.video.pool import ServerPool, server_pool
from offload.verification.video.served_detector import ServedDetector
from offload.video.compensation import Compensation
from offload.video.detections import Detections
from offload.video.methods.base import Ask, FramePlan, Method
from offload.video.methods.elf import Elf, ElfSettings
from offload.video.partitioning import ServerCost
from offload.video.proposals.catalogue import make_predictor

WIDTH, HEIGHT, SIDE = 640, 384, 16
COST = ServerCost(fixed_s=1e-3, seconds_per_pixel=2e-8)
COLUMNS, ROWS = 6, 3


def squares(frames: int, *, width: int = WIDTH, height: int = HEIGHT) -> Iterator[np.ndarray]:
    """Eighteen squares in rows that move together, 4 pixels a frame to the right and back."""
    for number in range(frames):
        frame = np.zeros((height, width, 3), np.uint8)
        for left, top, colour in _places(number, width, height):
            frame[top : top + SIDE, left : left + SIDE, colour] = 255
        yield frame


def _places(number: int, width: int = WIDTH, height: int = HEIGHT) -> list[tuple[int, int, int]]:
    moved = 4 * abs(number % 16 - 8)
    columns = [(column * width // COLUMNS + 32, column) for column in range(COLUMNS)]
    rows = [(row * height // ROWS + 48, row) for row in range(ROWS)]
    return [(left + moved, top, (column + row) % 3) for left, column in columns for top, row in rows]


def assert_all_found(record: FrameRecord) -> None:
    """Each square of its frame, with its colour."""
    sure = {
        (round(left), round(top), label)
        for (left, top, _, _), score, label in zip(record.boxes, record.scores, record.labels, strict=True)
        if score > 0.5
    }
    wanted = _places(record.number)
    near = [
        any(abs(left - x) <= 2 and abs(top - y) <= 2 and label == colour for x, y, label in sure)
        for left, top, colour in wanted
    ]
    assert all(near), f"frame {record.number}: {sum(near)} of {len(wanted)} found"


def elf(servers: int, *, width: int = WIDTH, height: int = HEIGHT) -> Elf:
    """A new loop, with a full frame every fourth time."""
    settings = ElfSettings(expansion=0.5, compensation=Compensation(interval=4, ratio=1.0), multiple=16)
    return Elf(
        settings=settings, predictor=make_predictor("linear"), width=width, height=height, servers=(COST,) * servers
    )


@dataclass(kw_only=True)
class During:
    """A method beside which something happens once a frame is planned, before its images are sent."""

    method: Method
    happens: dict[int, Callable[[], object]]
    servers: Sequence[ServerCost | None] = ()
    told: list[tuple[bool, ...]] = field(default_factory=list)
    """Which servers were said to be there, for each frame."""

    def plan(self, number: int, frame: np.ndarray) -> FramePlan:
        """Plan, then let it happen."""
        self.told.append(tuple(server is not None for server in self.servers))
        self.method.servers = self.servers
        plan = self.method.plan(number, frame)
        self.happens.get(number, lambda: None)()
        return plan

    def take(self, plan: FramePlan, answers: Sequence[tuple[Ask, Detections]]) -> Detections:
        """As the method does."""
        return self.method.take(plan, answers)


@contextmanager
def pool_of(
    detector: Detector, *servers: EmbeddedServer | str, width: int = WIDTH, height: int = HEIGHT, **options: object
) -> Iterator[ServerPool]:
    """Servers that have the detector."""
    served = ServedDetector(detector, quality=95, width=width, height=height)
    addresses = [server if isinstance(server, str) else server.address for server in servers]
    with server_pool(addresses, served, progress=NullProgress(), **options) as pool:  # type: ignore[arg-type]
        yield pool


def share(records: Iterable[FrameRecord], server: int) -> float:
    """Of all pixels that were looked at, those that a server looked at."""
    looked = [ask for record in records for ask in record.asks if ask.answered and not ask.on_device]
    return sum(ask.pixels for ask in looked if ask.server == server) / sum(ask.pixels for ask in looked)
