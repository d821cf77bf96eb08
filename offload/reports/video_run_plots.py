"""Pictures of a run: when each image of a frame was where, and what each frame took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from offload.reports.picture import Panel, Picture, Series

if TYPE_CHECKING:
    from offload.artifacts.video_plan import FramePrediction
    from offload.artifacts.video_run import AskRecord, FrameRecord, VideoRun
    from offload.reports.picture import Style

_STAGES: tuple[tuple[str, Callable[[AskRecord], float]], ...] = (
    ("encode", lambda ask: ask.encode_s),
    ("uplink", lambda ask: ask.uplink_s),
    ("queue", lambda ask: ask.queue_s),
    ("decode", lambda ask: ask.decode_s),
    ("detector", lambda ask: ask.server_s),
    ("downlink", lambda ask: ask.downlink_s),
)
"""One after another, the first of which ends at `sent_at_s`."""
_COLORS = ("C1", "C0", "C3", "C4", "C2", "C9")
_ON_DEVICE = (("plan", "C7"), ("merge", "C5"))
_ROW = 0.16
"""A panel's height for each of its rows."""


def video_run_picture(run: VideoRun) -> Picture:
    """A usual and the slowest frame, image by image, then each frame's latency and bytes."""
    panels = frame_panels(run.servers, run.frames)
    emulated = ", emulated" * run.emulated
    count = len(run.servers)
    return Picture(
        title=f"{run.method} on {run.clip.name} with {count} server{'' if count == 1 else 's'}{emulated}",
        panels=[*panels, _latencies(run), _sizes(run)],
    )


def frame_panels(servers: Sequence[str], frames: Sequence[FrameRecord | FramePrediction]) -> list[Panel]:
    """Gantt charts of a usual and the slowest frame: a row for the device, then one for each image, by server.

    Args:
        servers: Their names.
        frames: As they were, or as they should be.
    """
    by_latency = sorted(frames, key=lambda frame: frame.latency_s)
    usual, slowest = by_latency[(len(by_latency) - 1) // 2], by_latency[-1]
    panels = [_frame_panel(servers, usual, "of median latency")]
    return panels if slowest is usual else [*panels, _frame_panel(servers, slowest, "the slowest")]


def _frame_panel(servers: Sequence[str], frame: FrameRecord | FramePrediction, which: str) -> Panel:
    asks = sorted(frame.asks, key=lambda ask: (ask.server, ask.sent_at_s))
    names = ["the device", *(_name(servers, ask) for ask in asks)]
    plan_ms, merged_ms = 1e3 * frame.plan_s, 1e3 * frame.latency_s
    own = ((0.0, plan_ms), (merged_ms - 1e3 * frame.merge_s, merged_ms))
    series = [
        Series(label=label, x=[end], y=[0], start=[begin], style="bars", color=color)
        for (label, color), (begin, end) in zip(_ON_DEVICE, own, strict=True)
    ]
    rows = range(1, len(names))
    begun = [1e3 * (ask.sent_at_s - ask.encode_s) for ask in asks]
    for (label, stage), color in zip(_STAGES, _COLORS, strict=True):
        ended = [begin + 1e3 * stage(ask) for begin, ask in zip(begun, asks, strict=True)]
        series.append(Series(label=label, x=ended, y=rows, start=begun, style="bars", color=color))
        begun = ended
    return Panel(
        series=series,
        x_label=f"frame {frame.number}, {which}: ms since it began",
        y_label="",
        rows=names,
        height=max(1.0, 0.3 + _ROW * len(names)),
        legend="beside",
    )


def _name(servers: Sequence[str], ask: AskRecord) -> str:
    name = "by the device" if ask.on_device else servers[ask.server]
    name += ", small frame" * (ask.scale != 1)
    return name if ask.answered else f"{name}, no answer"


def _latencies(run: VideoRun) -> Panel:
    return _each(run, "latency, ms", lambda frame: 1e3 * frame.latency_s)


def _sizes(run: VideoRun) -> Panel:
    return _each(run, "sent, kB", lambda frame: frame.sent_bytes / 1e3)


def _each(run: VideoRun, label: str, value: Callable[[FrameRecord], float]) -> Panel:
    series = [_of(run.frames, value, "", "line")]
    small = [frame for frame in run.frames if any(ask.scale != 1 for ask in frame.asks)]
    if small:
        series.append(_of(small, value, "with a small frame", "points"))
    return Panel(series=series, x_label="frame", y_label=label, from_zero=True)


def _of(frames: Sequence[FrameRecord], value: Callable[[FrameRecord], float], label: str, style: Style) -> Series:
    return Series(label=label, x=[frame.number for frame in frames], y=[value(frame) for frame in frames], style=style)
