"""The ways of offloading that a verification compares, and their answers to the same frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.artifacts.video_verification import ALONE, ELF, WHOLE
from offload.errors import OffloadError
from offload.profilers.reference import waited_s
from offload.verification.video.sites import planned_costs
from offload.video.methods.catalogue import METHODS, Scene, make_method
from offload.video.partitioning import strongest

if TYPE_CHECKING:
    from offload.artifacts.video_plan import VideoPlan
    from offload.artifacts.video_profile import ClipRecord, Setting
    from offload.artifacts.video_run import FrameRecord
    from offload.detectors.base import Detector
    from offload.progress import Progress
    from offload.verification.video.sites import Site
    from offload.video.clips import ClipInfo, Frame
    from offload.video.truth import FrameTruth

_HOLD, _ORACLE = "hold", "oracle"
_FEWEST_FRAMES = 2
"""With which anything can be predicted."""


@dataclass(frozen=True, kw_only=True)
class ClipPart:
    """Frames that a plan is verified with."""

    info: ClipInfo
    """Of the clip that they are of."""
    first: int
    """Which of the clip's frames is the first."""
    count: int
    fresh: bool
    """Whether the plan was chosen by none of them."""
    frames: Callable[[], Iterator[Frame]]
    truth: tuple[FrameTruth, ...] | None
    """Of each; None where there is none."""
    record: Callable[[int], ClipRecord]
    """How an artifact names the first so many of them."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One method with what it is given."""

    name: str
    method: str
    setting: Setting
    places: tuple[int, ...]
    """Of its servers, among the plan's."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A way's frames, as many as of every other one."""

    way: Way
    frames: tuple[FrameRecord, ...]
    notes: tuple[str, ...]
    """What happened to servers on the way."""
    waited: float
    """Share of the time in which threads of this process had no core."""


def chosen_ways(plan: VideoPlan, part: ClipPart, methods: Sequence[str] | None) -> tuple[list[Way], list[str]]:
    """What to run, `WHOLE` and `ELF` first; and what cannot be, with reasons.

    Raises:
        OffloadError: there is no such method, or one that was asked for cannot be run.
    """
    names = list(METHODS) if methods is None else list(dict.fromkeys((WHOLE, ELF, *methods)))
    for name in names:
        if name not in METHODS:
            raise OffloadError(f"no method is called {name!r:.80}", hint=f"methods: {', '.join(METHODS)}")
    left_out, by_content = [], plan.chosen.setting.rule != "equal"
    for name, fits, reason in (
        (_ORACLE, part.truth is not None, "there is no ground truth, which it sees"),
        (_ORACLE, by_content, "the plan's regions are the same whatever is expected in them"),
        (_HOLD, by_content, "the plan's regions are the same whatever is expected in them"),
    ):
        if name in names and not fits:
            names.remove(name)
            left_out.append(f"{name}: {reason}")
    if methods is not None and left_out:
        raise OffloadError(f"method {left_out[0]}", hint="leave it out of --methods")
    chosen, whole, every = plan.chosen, plan.whole, tuple(range(len(plan.servers)))
    ways = [
        Way(name=WHOLE, method=WHOLE, setting=whole.setting, places=whole.servers),
        Way(name=ELF, method=ELF, setting=chosen.setting, places=chosen.servers),
    ]
    if by_content and len(chosen.servers) > 1:
        costs = planned_costs(plan)
        pixels = plan.clip.width * plan.clip.height
        fastest = chosen.servers[strongest([costs[place] for place in chosen.servers], pixels)]
        one = chosen.setting.model_copy(update={"servers": 1})
        ways.append(Way(name=ALONE, method=ELF, setting=one, places=(fastest,)))
    places = {"filter": whole.servers, _HOLD: chosen.servers, _ORACLE: chosen.servers}
    ways += [
        Way(name=name, method=name, setting=chosen.setting, places=places.get(name, every))
        for name in names
        if name not in (WHOLE, ELF)
    ]
    return ways, left_out


def answered(
    plan: VideoPlan, part: ClipPart, site: Site, detector: Detector, ways: Sequence[Way], progress: Progress
) -> tuple[list[Answered], bool]:
    """Every way's answers, and whether it was interrupted; then there are fewer ways, or frames.

    One way has all frames before the next, as if it were alone: what others did before would count against one that
    handles large images, by memory that has to be had anew and by connections that start slowly after a rest.

    Args:
        plan: Which is verified.
        part: With which frames.
        site: Where the servers are.
        detector: What they run.
        ways: As `chosen_ways` has them.
        progress: Told of frames.

    Raises:
        OffloadError: the servers cannot be used, or the clip is damaged.
        KeyboardInterrupt: interrupted before the planned option had answered two frames.
    """
    site.warm(next(part.frames()), quality=plan.whole.setting.quality)
    found: list[list[FrameRecord]] = [[] for _ in ways]
    notes: list[list[str]] = [[] for _ in ways]
    waited = [0.0] * len(ways)
    interrupted = False
    progress.start("verifying", part.count * len(ways))
    try:
        for index, way in enumerate(ways):
            progress.detail(way.name)
            started_s, before_s = time.perf_counter(), waited_s()
            with closing(_run(plan, part, site, detector, way, notes[index])) as running:
                for frame in running:
                    found[index].append(frame)
                    progress.advance()
            # Threads that have ended took what they had waited with them.
            waited[index] = max(0.0, waited_s() - before_s) / (time.perf_counter() - started_s)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        progress.finish()
    count = min(len(frames) for frames in found[:2])
    if interrupted and count < _FEWEST_FRAMES:
        raise KeyboardInterrupt
    kept = [
        Answered(way=way, frames=tuple(frames[:count]), notes=tuple(told), waited=share)
        for way, frames, told, share in zip(ways, found, notes, waited, strict=True)
        if len(frames) >= count
    ]
    if interrupted:
        progress.note(f"interrupted: {count} frames, which {len(kept)} of {len(ways)} methods have answered, are kept")
    return kept, interrupted


def _run(
    plan: VideoPlan,
    part: ClipPart,
    site: Site,
    detector: Detector,
    way: Way,
    notes: list[str],
) -> Generator[FrameRecord]:
    """Each frame, its servers told by their places in the plan."""
    costs = planned_costs(plan)
    method = make_method(
        way.method,
        Scene(
            setting=way.setting,
            width=part.info.width,
            height=part.info.height,
            multiple=detector.multiple,
            servers=[costs[place] for place in way.places],
            truth=part.truth,
        ),
    )
    with closing(site.run(part.frames(), method, way.places, quality=way.setting.quality, notes=notes)) as answered:
        for frame in answered:
            asks = tuple(ask.model_copy(update={"server": way.places[ask.server]}) for ask in frame.asks)
            yield frame.model_copy(update={"asks": asks})
