"""Pictures of a video plan: what else was considered, and when each image of a frame should be where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from offload.reports.picture import Panel, Picture, Series
from offload.reports.video_run_plots import frame_panels

if TYPE_CHECKING:
    from offload.artifacts.video_plan import VideoOption, VideoPlan


def video_plan_picture(plan: VideoPlan) -> Picture:
    """Accuracy and bytes against latency for each option, then frames of the chosen one."""
    groups: dict[str, Sequence[VideoOption]] = {
        "chosen": [plan.chosen], "whole frame": [plan.whole], "Pareto": plan.pareto, "alternatives": plan.alternatives,
    }  # fmt: skip
    count = len(plan.chosen.servers)
    return Picture(
        title=f"{plan.detector.name} on {plan.clip.name}: the plan for {count} server{'' if count == 1 else 's'}",
        panels=[
            _options(groups, "AP50", [[option.ap50 for option in group] for group in groups.values()]),
            _options(groups, "sent, kB a frame", [[o.bytes_a_frame / 1e3 for o in group] for group in groups.values()]),
            *frame_panels([server.name for server in plan.servers], plan.chosen.frames),
        ],
    )


def _options(groups: dict[str, Sequence[VideoOption]], label: str, values: Sequence[Sequence[float]]) -> Panel:
    series = [
        Series(label=name, x=[1e3 * option.mean_s.value for option in group], y=y, style="points")
        for (name, group), y in zip(groups.items(), values, strict=True)
        if group
    ]
    return Panel(series=series, x_label="latency of a frame, ms (mean, predicted)", y_label=label)
