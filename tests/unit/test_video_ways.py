"""What methods are run on which servers, and what an interrupt leaves of them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from offload.artifacts.video_run import AskRecord, FrameRecord
from offload.artifacts.video_verification import ALONE
from offload.errors import OffloadError
from offload.progress import NullProgress
from offload.verification.video.ways import ClipPart, answered, chosen_ways
from offload.video.clips import ClipInfo
from offload.video.methods.base import Method
from offload.video.truth import FrameTruth
from tests.made_verifications import made_plan

COUNT = 5
DETECTOR = SimpleNamespace(multiple=32)


class Site:
    """Answers at once, and is interrupted at a turn."""

    addresses, emulated = (), True

    def __init__(self, *, interrupted_at: int | None = None) -> None:
        self._interrupted_at = interrupted_at
        self.turns: list[tuple[str, int]] = []
        self.closed = 0

    def warm(self, frame: np.ndarray, *, quality: int) -> None:
        """Nothing."""

    def run(
        self, frames: Iterable[np.ndarray], method: Method, places: Sequence[int], *, quality: int, notes: list[str]
    ) -> Generator[FrameRecord]:
        """Each frame asks the last of the method's servers."""
        try:
            for number, frame in enumerate(frames):
                if len(self.turns) == self._interrupted_at:
                    raise KeyboardInterrupt
                self.turns.append((type(method).__name__, number))
                assert frame[0, 0, 0] == number
                ask = AskRecord(
                    server=len(places) - 1, box=(0, 0, 8, 8), sent_bytes=1, sent_at_s=0, encode_s=0, server_s=0.1
                )
                yield FrameRecord(
                    number=number, asks=(ask,), boxes=(), scores=(), labels=(), plan_s=0, merge_s=0, latency_s=0.1
                )
        finally:
            self.closed += 1
            notes.append("closed")


def _part(*, truth: bool = True) -> ClipPart:
    nothing = FrameTruth.of([])
    return ClipPart(
        info=ClipInfo(name="it", width=64, height=64, fps=10, frames=COUNT),
        first=0,
        count=COUNT,
        fresh=True,
        frames=lambda: (np.full((64, 64, 3), number, np.uint8) for number in range(COUNT)),
        truth=(nothing,) * COUNT if truth else None,
        record=lambda count: None,
    )


def test_one_method_has_all_frames_before_the_next() -> None:
    plan, site = made_plan(), Site()
    ways, _ = chosen_ways(plan, _part(), ("tiles",))
    found, interrupted = answered(plan, _part(), site, DETECTOR, ways, NullProgress())
    assert not interrupted
    assert [one.way.name for one in found] == ["whole", "elf", ALONE, "tiles"]
    assert [name for name, _ in site.turns] == ["Whole"] * COUNT + ["Elf"] * 2 * COUNT + ["Tiles"] * COUNT
    assert [number for _, number in site.turns] == [*range(COUNT)] * 4
    assert all(len(one.frames) == COUNT for one in found)
    assert site.closed == len(ways)
    assert all(one.notes == ("closed",) for one in found)
    # Servers are told by their places in the plan.
    assert {ask.server for frame in found[1].frames for ask in frame.asks} == {plan.chosen.servers[-1]}
    assert {ask.server for frame in found[0].frames for ask in frame.asks} == set(plan.whole.servers)


def test_what_other_work_took_meanwhile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([0.0, 1e6, 1e6, 5e5, 5e5, 5e5])  # seconds before and after each method
    monkeypatch.setattr("offload.verification.video.ways.waited_s", lambda: next(readings))
    ways, _ = chosen_ways(made_plan(), _part(), ())
    found, _ = answered(made_plan(), _part(), Site(), DETECTOR, ways, NullProgress())
    assert found[0].waited > 1
    assert [one.waited for one in found[1:]] == [0, 0]


@pytest.mark.parametrize(
    ("at", "frames", "names"),
    [
        (COUNT + 3, 3, ("whole", "elf")),
        (2 * COUNT + 2, COUNT, ("whole", "elf")),
        (3 * COUNT + 2, COUNT, ("whole", "elf", ALONE)),
    ],
)
def test_an_interrupt_keeps_what_can_be_compared(at: int, frames: int, names: tuple[str, ...]) -> None:
    plan, site = made_plan(), Site(interrupted_at=at)
    ways, _ = chosen_ways(plan, _part(), ("tiles",))
    found, interrupted = answered(plan, _part(), site, DETECTOR, ways, NullProgress())
    assert interrupted
    assert tuple(one.way.name for one in found) == names
    assert {len(one.frames) for one in found} == {frames}


@pytest.mark.parametrize("at", [0, 3, COUNT + 1])
def test_an_interrupt_before_anything_can_be_compared_ends_it(at: int) -> None:
    plan, site = made_plan(), Site(interrupted_at=at)
    ways, _ = chosen_ways(plan, _part(), ())
    with pytest.raises(KeyboardInterrupt):
        answered(plan, _part(), site, DETECTOR, ways, NullProgress())


def test_what_is_run_follows_from_the_plan_and_the_truth() -> None:
    plan = made_plan()
    every, left_out = chosen_ways(plan, _part(), None)
    assert [way.name for way in every] == ["whole", "elf", ALONE, "filter", "strips", "tiles", "hold", "oracle"]
    assert left_out == []
    places = {way.name: way.places for way in every}
    assert len(places[ALONE]) == 1
    assert places["strips"] == places["tiles"] == tuple(range(len(plan.servers)))
    assert places["hold"] == places["oracle"] == plan.chosen.servers
    without, left_out = chosen_ways(plan, _part(truth=False), None)
    assert "oracle" not in [way.name for way in without]
    assert left_out == ["oracle: there is no ground truth, which it sees"]
    with pytest.raises(OffloadError, match="no ground truth"):
        chosen_ways(plan, _part(truth=False), ("oracle",))
    with pytest.raises(OffloadError, match="no method is called 'magic'"):
        chosen_ways(plan, _part(), ("magic",))
