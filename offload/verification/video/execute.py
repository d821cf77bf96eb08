"""A video plan executed: its clip offloaded to real servers as it says."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from offload.artifacts.video_profile import ClipRecord
from offload.artifacts.video_run import EMBEDDED, FrameRecord, VideoRun
from offload.environment import chosen_threads, physical_cores
from offload.errors import OffloadError, UsageError
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.verification.endpoint import Endpoint, link_words
from offload.verification.video.endpoints import embedded_servers
from offload.verification.video.pool import server_pool
from offload.verification.video.run import run_clip
from offload.verification.video.served_detector import ServedDetector
from offload.video.methods.elf import Elf, ElfSettings
from offload.video.partitioning import ServerCost
from offload.video.proposals.catalogue import make_predictor

if TYPE_CHECKING:
    from offload.artifacts.video_plan import VideoPlan
    from offload.detectors.base import Detector
    from offload.progress import Progress
    from offload.serving.pacing import LinkShape
    from offload.video.clips import Clip, Frame

MOST_EMBEDDED = 2
"""Servers that are started on this machine; more would wait for each other's cores, and time nothing but that."""


@dataclass(frozen=True, kw_only=True)
class ServerChoice:
    """Where a plan's servers are."""

    addresses: tuple[str, ...] | None
    """HOST:PORT of each of the plan's servers, or of each that it uses; None starts them here."""
    link: tuple[LinkShape, LinkShape] | None = None
    """Uplink and downlink to emulate, which all are behind; None uses the network as it is."""
    token: str | None = None
    tls_ca: Path | None = None


def execute_video_plan(
    plan: VideoPlan,
    clip: Clip,
    detector: Detector,
    choice: ServerChoice,
    *,
    path: Path,
    frames: int | None,
    progress: Progress,
) -> VideoRun:
    """Offload a clip's frames as a plan says, each as soon as the one before it is answered.

    Args:
        plan: What to execute.
        clip: Of frames as large as the plan's.
        detector: The plan's.
        choice: Its servers.
        path: The clip's, as the user typed it.
        frames: How many at most; None for all.
        progress: Told of frames done, and what happens to servers.

    Raises:
        UsageError: another number of servers was named than the plan has.
        OffloadError: no server can be reached, one refuses, or the clip is damaged.
        KeyboardInterrupt: interrupted before the first frame was answered; a later one ends the run.
    """
    info, setting, places = clip.info, plan.chosen.setting, plan.chosen.servers
    served = ServedDetector(detector, quality=setting.quality, width=info.width, height=info.height)
    costs = tuple(_cost(plan, place) for place in places)
    planned_threads = chosen_threads(plan.runtime.threads)
    session = OnnxRuntime().load_onnx(detector.onnx, threads=planned_threads)
    method = Elf(
        settings=ElfSettings.of(setting, detector.multiple),
        predictor=make_predictor(setting.predictor),
        width=info.width,
        height=info.height,
        servers=costs,
    )
    total = info.frames if frames is None else min(frames, info.frames)
    shown = _HashedFrames(itertools.islice(clip.frames(), total))
    done: list[FrameRecord] = []
    stopped: Literal["done", "interrupted"] = "done"
    with ExitStack() as stack:
        addresses = chosen_addresses(plan, choice.addresses)
        if addresses is None:
            known = [server.address for server in plan.servers if server.address is not None]
            if known:
                progress.note(f"to use the plan's own servers, name them: --server {' --server '.join(known)}")
            threads = min(planned_threads, max(1, physical_cores() // len(places)))
            progress.note(f"starting {len(places)} embedded servers, threads of each: {threads}")
            addresses = stack.enter_context(embedded_servers(len(places), threads))
        pool = stack.enter_context(
            server_pool(addresses, served, token=choice.token, tls=choice.tls_ca, link=choice.link, progress=progress)
        )
        progress.start("offloading frames", total)
        try:
            for record in run_clip(shown, method, pool, costs=costs, session=session):
                done.append(record)
                progress.advance()
                progress.detail(f"{record.latency_s * 1e3:.1f} ms")
        except KeyboardInterrupt:
            if not done:
                raise
            stopped = "interrupted"
            progress.note(f"interrupted: the {len(done)} frames that were answered are kept")
        finally:
            progress.finish()
    return VideoRun.create(
        clip=ClipRecord(
            name=info.name,
            path=str(path),
            sha256=shown.content(len(done)),
            width=info.width,
            height=info.height,
            fps=info.fps,
            frames=len(done),
            truth=False,
        ),
        detector=plan.detector,
        method="whole" if setting.whole else "elf",
        setting=setting,
        servers=tuple(addresses) if choice.addresses is not None else _names(len(places)),
        link=link_words(Endpoint(link=choice.link)),
        plan_hash=plan.content_hash,
        emulated=False,
        notes=tuple(pool.notes),
        frames=tuple(done),
        stopped=stopped,
    )


def chosen_addresses(plan: VideoPlan, named: Sequence[str] | None) -> tuple[str, ...] | None:
    """Addresses of the servers that a plan uses, in its order; None where they are to be started here.

    Raises:
        UsageError: other ones were named than the plan has, or one twice.
        OffloadError: more than can be started here.
    """
    places = plan.chosen.servers
    if named is None:
        if len(places) > MOST_EMBEDDED:
            raise OffloadError(
                f"the plan divides frames among {len(places)} servers; at most {MOST_EMBEDDED} are started here",
                hint="name each with --server HOST:PORT, or emulate them: `offload verify`",
            )
        return None
    if len(set(named)) != len(named):
        raise UsageError("--server names one server twice", hint="name each once")
    if len(named) == len(plan.servers):
        return tuple(named[place] for place in places)
    if len(named) == len(places):
        return tuple(named)
    wanted = f"{len(places)}" if len(places) == len(plan.servers) else f"{len(places)} of {len(plan.servers)}"
    raise UsageError(
        f"{len(named)} server{'s are' if len(named) > 1 else ' is'} named, the plan divides frames among {wanted}",
        hint="give --server HOST:PORT once for each, in the plan's order",
    )


def _cost(plan: VideoPlan, place: int) -> ServerCost:
    server = plan.servers[place]
    return ServerCost(fixed_s=server.fixed_s, seconds_per_pixel=server.seconds_per_pixel)


def _names(count: int) -> tuple[str, ...]:
    return tuple(f"{EMBEDDED} {number}" for number in range(1, count + 1))


class _HashedFrames:
    """Frames as they are taken, with the hash of those so far."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames, self._content = frames, hashlib.sha256()
        self._by_count: list[str] = [self._content.hexdigest()]

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            self._content.update(frame.tobytes())
            self._by_count.append(self._content.hexdigest())
            yield frame

    def content(self, count: int) -> str:
        """SHA-256 of the first so many."""
        return self._by_count[count]
