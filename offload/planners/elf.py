"""ELF's plan: which of the settings that a profile measured, on how many of the given servers (Zhang et al., 2021).

Accuracies are those that were measured with a setting, never put together from several; with another number of servers
than it was measured with, regions differ a little, which notes tell. What each frame takes is predicted frame by frame,
frames with a small frame and the first one among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from offload.artifacts.estimate import Estimate
from offload.artifacts.link import ProtocolCost
from offload.artifacts.video_plan import VideoOption, VideoPlan, VideoServer
from offload.errors import VerdictError
from offload.planners.video_costs import FrameCosts, ServerModel, frame_costs, latencies, predicted
from offload.progress import NullProgress
from offload.video.timing import Line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offload.artifacts.link import Link
    from offload.artifacts.plan import Radio
    from offload.artifacts.video_plan import VideoTarget
    from offload.artifacts.video_profile import CropRecord, ReplayRecord, Setting, VideoProfile
    from offload.progress import Progress

_ALTERNATIVES = 5
_ROUNDING = 1e-9
_FEW_FRAMES = 30


@dataclass(frozen=True, kw_only=True)
class GivenServer:
    """One server as it was measured."""

    name: str
    address: str | None
    crops: tuple[CropRecord, ...]
    profile_hash: str | None
    """Of the profile that the crops are from, if they are from one."""


@dataclass(frozen=True, kw_only=True)
class ElfProblem:
    """Everything the planner may know."""

    profile: VideoProfile
    servers: tuple[GivenServer, ...]
    """At least one."""
    link: Link
    target: VideoTarget
    radio: Radio | None
    """Not None where the target is energy."""
    least_ap50: float
    """No option may have less."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Candidate:
    """One setting on some servers, with what its frames take."""

    setting: Setting
    servers: tuple[int, ...]
    replay: ReplayRecord
    frames: list[FrameCosts]
    latencies_s: NDArray[np.float64]
    """Shape (frames, runs)."""
    radio_j: float | None

    @property
    def mean_s(self) -> float:
        return float(self.latencies_s.mean())

    @property
    def bytes_a_frame(self) -> float:
        return sum(cost.sent_bytes for frame in self.frames for cost in frame.costs) / len(self.frames)

    @property
    def ap50(self) -> float:
        return self.replay.accuracy.ap50

    def key(self, target: VideoTarget) -> tuple[float, ...]:
        """Smaller is better; what costs the same is better where it finds more, then on fewer servers."""
        cost = {"latency": self.mean_s, "energy": self.radio_j or 0.0, "bandwidth": self.bytes_a_frame}[target]
        return cost, -self.ap50, self.mean_s, len(self.servers)


def plan_elf(
    problem: ElfProblem, *, pareto: bool = False, warnings: Sequence[str] = (), progress: Progress | None = None
) -> VideoPlan:
    """The best way to offload frames.

    Args:
        problem: What is given.
        pareto: Whether to list the options that none beats in latency, bytes and accuracy at once.
        warnings: What to say before the planner's own.
        progress: Told of each option.

    Raises:
        VerdictError: no setting that was measured is as accurate as was asked; says which comes nearest.
    """
    planner = _Planner(problem)
    profile, target = problem.profile, problem.target
    ways = planner.ways()
    allowed = [way for way in ways if way[0].accuracy.ap50 >= problem.least_ap50 - _ROUNDING]
    if not allowed:
        raise _unreachable(problem, max((replay for replay, _ in ways), key=lambda replay: replay.accuracy.ap50))
    progress = progress or NullProgress()
    progress.start("predicting each frame", len(allowed))
    ranked = []
    for way in allowed:
        ranked.append(planner.candidate(*way))
        progress.advance()
    ranked.sort(key=lambda one: one.key(target))
    best = ranked[0]
    counts = sorted({len(one.servers) for one in ranked})
    by_servers = [next(one for one in ranked if len(one.servers) == count) for count in counts]
    return VideoPlan.create(
        clip=profile.clip,
        detector=profile.detector,
        runtime=profile.runtime,
        profile_hash=profile.content_hash,
        servers=tuple(planner.record(server) for server in problem.servers),
        link=problem.link,
        protocol=planner.protocol,
        target=target,
        radio=problem.radio,
        least_ap50=problem.least_ap50,
        chosen=planner.option(best, told=True),
        whole=planner.option(planner.candidate(profile.whole, 1), told=True),
        by_servers=tuple(planner.option(one) for one in by_servers),
        alternatives=tuple(planner.option(one) for one in ranked[1 : 1 + _ALTERNATIVES]),
        pareto=tuple(planner.option(one) for one in _front(ranked)) if pareto else (),
        considered=len(ranked),
        warnings=(*warnings, *_warnings(problem, planner, best)),
        notes=_notes(best, len(ways) - len(ranked)),
    )


class _Planner:
    """Predicts candidates, and makes options of them."""

    def __init__(self, problem: ElfProblem) -> None:
        self._problem = problem
        self.models = [ServerModel.of(server.crops) for server in problem.servers]
        self.protocol = ProtocolCost.fit(problem.profile.protocol)
        self._lines = {off: Line.of(problem.link, self.protocol, off=off) for off in (-1, 0, 1)}

    def ways(self) -> list[tuple[ReplayRecord, int]]:
        """Each setting that was measured, with one server, with two, and so on to all."""
        loops: dict[Setting, list[ReplayRecord]] = {}
        for replay in self._problem.profile.replays:
            if any(replay.images):
                loops.setdefault(replay.setting.model_copy(update={"servers": 1}), []).append(replay)
        found = []
        for loop, measured in loops.items():
            for count in range(1, len(self.models) + 1):
                # Equal strips on one server are the whole frame, whose accuracy is not that of several strips.
                fitting = [
                    replay
                    for replay in measured
                    if loop.rule != "equal" or (replay.setting.servers == 1) == (count == 1)
                ]
                if fitting:
                    found.append((_nearest(fitting, count), count))
        return found

    def candidate(self, replay: ReplayRecord, count: int) -> _Candidate:
        """A setting on so many servers, the fastest for what a frame of the replay has in pixels."""
        pixels = sum(replay.sent_pixels) / len(replay.sent_pixels)
        order = sorted(range(len(self.models)), key=lambda place: self.models[place].cost.time_s(pixels))
        servers = tuple(sorted(order[:count]))
        models = {place: self.models[place] for place in servers}
        setting = replay.setting.model_copy(update={"servers": count})
        frames = frame_costs(self._problem.profile, replay, setting, models, self.protocol)
        return _Candidate(
            setting=setting,
            servers=servers,
            replay=replay,
            frames=frames,
            latencies_s=latencies(frames, models, self._lines[0]),
            radio_j=self._radio_j(frames, 0),
        )

    def option(self, candidate: _Candidate, *, told: bool = False) -> VideoOption:
        """A candidate for a document; with the prediction for each frame where that is to be told."""
        models = {place: self.models[place] for place in candidate.servers}
        runs = [
            latencies(candidate.frames, models, self._lines[-1], off=-1),
            candidate.latencies_s,
            latencies(candidate.frames, models, self._lines[1], off=1),
        ]
        frames, accuracy = candidate.frames, candidate.replay.accuracy
        joules = [self._radio_j(frames, off) for off in (-1, 0, 1)]
        return VideoOption(
            setting=candidate.setting,
            servers=candidate.servers,
            accuracy_servers=candidate.replay.setting.servers,
            mean_s=_estimate([float(each.mean()) for each in runs]),
            p50_s=_estimate([float(np.percentile(each, 50)) for each in runs]),
            p95_s=_estimate([float(np.percentile(each, 95)) for each in runs]),
            bytes_a_frame=candidate.bytes_a_frame,
            pixels_a_frame=sum(ask.pixels for frame in frames for ask in frame.asks) / len(frames),
            radio_j=_estimate([joule for joule in joules if joule is not None]) if candidate.radio_j else None,
            ap50=accuracy.ap50,
            ap=accuracy.ap,
            ap50_change=accuracy.ap50 - self._problem.profile.whole.accuracy.ap50,
            frames=tuple(predicted(frame, self._lines[0]) for frame in frames) if told else (),
        )

    def record(self, server: GivenServer) -> VideoServer:
        """A server for a document."""
        model = self.models[self._problem.servers.index(server)]
        return VideoServer(
            name=server.name,
            address=server.address,
            fixed_s=model.cost.fixed_s,
            seconds_per_pixel=model.cost.seconds_per_pixel,
            residual=model.residual,
            decode_fixed_s=model.decode.fixed_s,
            decode_seconds_per_pixel=model.decode.seconds_per_pixel,
            profile_hash=server.profile_hash,
        )

    def _radio_j(self, frames: Sequence[FrameCosts], off: Literal[-1, 0, 1]) -> float | None:
        """Of a frame, sending and receiving, each message as long as the line takes for its bytes."""
        radio, line = self._problem.radio, self._lines[off]
        if radio is None:
            return None
        costs = [cost for frame in frames for cost in frame.costs]
        up_bits = 8 * sum(cost.sent_bytes + line.uplink.message_bytes for cost in costs)
        down_bits = 8 * sum(cost.answer_bytes + line.downlink.message_bytes for cost in costs)
        joules = radio.uplink_w(line.uplink_bps) * up_bits / line.uplink_bps
        joules += radio.downlink_w(line.downlink_bps) * down_bits / line.downlink_bps
        return joules / len(frames)


def _nearest(replays: Sequence[ReplayRecord], servers: int) -> ReplayRecord:
    """The one with so many servers, else with the next more, as more look at less of a frame and find less."""
    return min(replays, key=lambda replay: (replay.setting.servers < servers, abs(replay.setting.servers - servers)))


def _estimate(values: Sequence[float]) -> Estimate:
    """From what is as fast as can be, as usual, and as slow."""
    return Estimate(value=values[1], low=min(values), high=max(values))


def _front(ranked: Sequence[_Candidate]) -> list[_Candidate]:
    """Those that none beats in all of latency, bytes and accuracy, the fastest first."""
    points = {id(one): (one.mean_s, one.bytes_a_frame, -one.ap50) for one in ranked}
    front: list[_Candidate] = []
    for one in sorted(ranked, key=lambda each: points[id(each)]):
        if not any(all(a <= b for a, b in zip(points[id(each)], points[id(one)], strict=True)) for each in front):
            front.append(one)
    return front


def _unreachable(problem: ElfProblem, best: ReplayRecord) -> VerdictError:
    most = best.accuracy.ap50
    return VerdictError(
        f"no setting that was measured has an AP50 of {problem.least_ap50:.3f}: the best is {most:.3f}, "
        f"{words(best.setting)}",
        hint=f"--min-accuracy {int(most * 1000) / 10:g}% can be reached; a better detector may find more",
    )


def words(setting: Setting) -> str:
    """A setting as one reads it aloud."""
    if setting.whole:
        return f"the whole frame to one server, JPEG quality {setting.quality}"
    among = "one server" if setting.servers == 1 else f"{setting.servers} servers"
    if setting.rule == "equal":
        return f"equal strips to {among}, JPEG quality {setting.quality}"
    rule = "ELF's partition" if setting.rule == "elf" else "the published partition"
    small = f"the frame at {setting.ratio:g} {_how_often(setting.interval)}" if setting.interval else "no small frame"
    return (
        f"{rule} among {among}, boxes {setting.expansion:.0%} larger ({setting.predictor}), {small}, "
        f"JPEG quality {setting.quality}"
    )


def _how_often(interval: int) -> str:
    """In which frames a small one is sent."""
    return "with every frame" if interval == 1 else f"with one frame in {interval}"


def _warnings(problem: ElfProblem, planner: _Planner, best: _Candidate) -> Iterable[str]:
    profile = problem.profile
    alike: dict[tuple[CropRecord, ...], tuple[GivenServer, ServerModel]] = {}
    for server, model in zip(problem.servers, planner.models, strict=True):
        alike.setdefault(server.crops, (server, model))
    for server, model in alike.values():
        if model.residual > 0.15:
            yield (
                f"{server.name}: times are {model.residual:.0%} off a line by area: profile it again with nothing else "
                "running"
            )
        if model.sizes[-1].pixels < profile.clip.width * profile.clip.height:
            yield f"{server.name} was measured with smaller frames: profile it there with this clip"
    late_s = float(np.percentile(best.latencies_s, 95))
    if late_s * profile.clip.fps > 1:
        yield (
            f"one frame in twenty takes longer than {late_s * 1e3:.0f} ms, the clip has {profile.clip.fps:g} frames a "
            "second: frames will wait or be skipped; add servers or a faster link"
        )
    had, has = best.replay.setting.servers, best.setting.servers
    if had < has:
        yield (
            f"accuracy was measured with {had} server{'s' * (had > 1)}, and {has} look at less of each frame: profile "
            f"the clip with --servers {has}"
        )
    if profile.clip.frames < _FEW_FRAMES:
        yield f"accuracies are of {profile.clip.frames} frames, which tell little: profile the clip with more --frames"
    if profile.stopped == "interrupted":
        yield "the profile was interrupted: settings are missing; go on with `offload profile CLIP --resume`"
    if not profile.protocol:
        yield "the serving protocol's cost was not measured and is left out: profile again"


def _notes(best: _Candidate, left_out: int) -> tuple[str, ...]:
    notes = ["settings were chosen on the clip that they were measured on: verify the plan on another clip, too"]
    had, has = best.replay.setting.servers, best.setting.servers
    if had > has:
        notes.append(f"accuracy was measured with {had} servers, which look at less of each frame than {has} would")
    if left_out:
        notes.append(f"{left_out} more options are less accurate than asked")
    return tuple(notes)
