"""Pictures of a video verification: where each method's time goes, what its answers are worth, what it sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from offload.artifacts.video_verification import PARTS, mean_split
from offload.reports.picture import Panel, Picture, Series
from offload.reports.video_run_plots import frame_panels
from offload.reports.video_verification import METHOD_NAMES, PART_NAMES

if TYPE_CHECKING:
    from offload.artifacts.video_verification import MethodRun, VideoVerification

_PART_COLORS = ("C7", "C1", "C0", "C3", "C4", "C2", "C9", "C5")
_REST = "rest"
"""What the device waits for itself; of a prediction, what a mean is above usual times."""
_APART = 0.2
"""Rows between points of one method."""
_ROW = 0.2
"""A panel's height for each of its rows."""


def video_verification_picture(verification: VideoVerification) -> Picture:
    """Latency by method and part, accuracy by method, bytes by method, and frames of what was planned."""
    clip, elf = verification.clip, verification.elf
    names = verification.addresses or [server.name for server in verification.servers]
    count = len(elf.servers)
    emulated = ", emulated" * verification.emulated
    return Picture(
        title=f"{verification.detector.name} on {clip.name}, {count} server{'' if count == 1 else 's'}{emulated}",
        panels=[
            _latency(verification),
            _accuracy(verification),
            _sizes(verification),
            *frame_panels(names, elf.frames),
        ],
    )


def _latency(verification: VideoVerification) -> Panel:
    """A bar for each method, in parts; those of the plan beside what they came to."""
    rows: dict[str, Mapping[str, float]] = {}
    for run in verification.runs:
        name, option = _name(run), None
        if run is verification.elf:
            option = verification.predicted
        elif run is verification.whole:
            option = verification.predicted_whole
        if option is not None and option.frames:
            rows[f"{name}, predicted"] = _parts(mean_split(option.frames), option.mean_s.value)
        rows[name] = _parts(mean_split(run.frames), run.mean_s)
    series = []
    begun = [0.0] * len(rows)
    for part, color in zip((*PARTS, _REST), (*_PART_COLORS, "lightgray"), strict=True):
        ended = [begin + 1e3 * parts[part] for begin, parts in zip(begun, rows.values(), strict=True)]
        label = PART_NAMES.get(part, part)
        series.append(Series(label=label, x=ended, y=range(len(rows)), start=begun, style="bars", color=color))
        begun = ended
    return _of_methods("latency of a frame, ms (mean)", series, rows)


def _parts(split: Mapping[str, float], mean_s: float) -> Mapping[str, float]:
    """With what is left of the mean latency, so that a bar is as long as that."""
    return {**split, _REST: max(0.0, mean_s - sum(split.values()))}


def _accuracy(verification: VideoVerification) -> Panel:
    runs = verification.runs
    told = {
        "AP50": [run.accuracy.ap50 for run in runs],
        "AP50:95": [run.accuracy.ap for run in runs],
        "AP50, shifted": [run.shifted_ap50 for run in runs],
    }
    series = [
        Series(label=label, x=values, y=[row + apart for row in range(len(runs))], style="points")
        for (label, values), apart in zip(told.items(), (-_APART, 0.0, _APART), strict=True)
    ]
    against = "" if verification.clip.truth else " against the full frame's"
    return _of_methods(f"accuracy{against}", series, [_name(run) for run in runs])


def _sizes(verification: VideoVerification) -> Panel:
    runs = verification.runs
    series = Series(label="", x=[run.bytes_a_frame / 1e3 for run in runs], y=range(len(runs)), style="bars")
    return _of_methods("sent, kB a frame (mean)", [series], [_name(run) for run in runs])


def _of_methods(label: str, series: list[Series], rows: Mapping[str, object] | list[str]) -> Panel:
    return Panel(
        series=series,
        x_label=label,
        y_label="",
        rows=tuple(rows),
        height=max(1.0, 0.4 + _ROW * len(rows)),
        legend="beside",
    )


def _name(run: MethodRun) -> str:
    return METHOD_NAMES.get(run.name, run.name)
