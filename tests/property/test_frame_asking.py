"""A frame's images and servers that die at any moment: each image is looked at once, or told to be unanswered."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from offload.serving.client_errors import ServerError
from offload.serving.timing import ClockOffset, InferResult, ServerTimes
from offload.verification.video.asking import Asked, FrameAsking
from offload.verification.video.pool import Reply
from offload.video.detections import Detections
from offload.video.methods.base import Ask, FramePlan
from offload.video.partitioning import ServerCost

COST = ServerCost(fixed_s=1e-3, seconds_per_pixel=1e-8)
FRAME = np.zeros((64, 64, 3), np.uint8)
DEAD = ServerError("it is dead", code="UNAVAILABLE")


class FakeDetector:
    """What the device finds: nothing."""

    def detect(self, session: Any, image: np.ndarray) -> Detections:
        return Detections.none()


class FakeServed:
    """An image travels as the place of its box."""

    detector = FakeDetector()

    def encoded(self, frame: np.ndarray, ask: Ask) -> bytes:
        return bytes([int(ask.region[0, 0])])

    def found(self, outputs: Any, ask: Ask) -> Detections:
        if outputs:
            raise ServerError("no detector's answer", code="")
        return Detections.none()


class FakePool:
    """Servers that answer so many images each and then die, in one of three ways."""

    def __init__(self, lives: list[int], ways: list[str]) -> None:
        self.served = FakeServed()
        self._lives, self._ways = list(lives), ways
        self._here = [True] * len(lives)
        self._replies: list[Reply] = []
        self.looked_at: Counter[int] = Counter()
        self._tickets = 0

    @property
    def there(self) -> tuple[bool, ...]:
        return tuple(self._here)

    def offset(self, server: int) -> ClockOffset | None:
        return ClockOffset(offset_ns=0, uncertainty_ns=0) if self._here[server] else None

    def send(self, server: int, payload: bytes) -> int:
        assert self._here[server]
        self._tickets += 1
        alive = self._lives[server] > 0
        self._lives[server] -= 1
        if alive:
            self.looked_at[payload[0]] += 1
        elif self._ways[server] == "refuses to be sent":
            raise DEAD
        stamps = dict.fromkeys(ServerTimes.__dataclass_fields__, 0)
        answer = InferResult(
            outputs={} if alive else {"nonsense": np.zeros(1)},
            encoding_ns=0, started_ns=0, finished_ns=2**62, decoded_ns=2**62, server=ServerTimes(**stamps),
        )  # fmt: skip
        broken = not alive and self._ways[server] == "breaks"
        self._replies.append(Reply(ticket=self._tickets, server=server, answer=DEAD if broken else answer))
        return self._tickets

    def next_reply(self) -> Reply:
        return self._replies.pop(0)

    def lose(self, server: int, reason: str) -> None:
        self._here[server] = False


WAYS = st.sampled_from(["refuses to be sent", "breaks", "answers nonsense"])


@given(st.data(), st.integers(1, 4), st.lists(st.integers(0, 3), max_size=8), st.booleans())
def test_each_image_is_looked_at_once_or_told_to_be_unanswered(
    data: st.DataObject, servers: int, wanted: list[int], has_session: bool
) -> None:
    lives = data.draw(st.lists(st.integers(0, 6), min_size=servers, max_size=servers))
    ways = data.draw(st.lists(WAYS, min_size=servers, max_size=servers))
    asks = tuple(
        Ask(server=server % servers, region=np.array([[place, 0.0, place + 8, 8]]))
        for place, server in enumerate(wanted)
    )
    pool: Any = FakePool(lives, ways)
    session: Any = object() if has_session else None
    asked: Asked = FrameAsking(FRAME, 0, pool, (COST,) * servers, session).run(FramePlan(number=0, asks=asks))
    answered = [int(ask.region[0, 0]) for ask, _ in asked.answers]
    unanswered = [int(ask.region[0, 0]) for ask in asked.unanswered]
    assert sorted(answered + unanswered) == list(range(len(asks)))
    assert not (has_session and unanswered)
    by_servers = {record.box[0] for record in asked.records if record.answered and not record.on_device}
    here = {record.box[0] for record in asked.records if record.on_device}
    assert sorted(answered) == sorted([*by_servers, *here])
    assert not by_servers & here
    assert all(pool.looked_at[place] >= 1 for place in by_servers)
    if any(pool.there):  # as long as one server lives, nobody else has to look, and nothing is lost
        assert not here
        assert not unanswered
    assert sum(record.answered for record in asked.records) == len(answered)
