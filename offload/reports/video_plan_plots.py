"""Pictures of a video plan: what else was considered, and when each image of a frame should be where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from offload.reports.picture import Panel, Picture, Series
from offload.reports.video_run_plots import frame_panels

if TYPE_CHECKING:
    from offload.artifacts.video_plan import VideoOption, VideoPlan


def video_plan_picture(plan: VideoPlan) -> Picture:
    """Latency by servers, accuracy and bytes against it for each option, then frames of the chosen one."""
    groups: dict[str, Sequence[VideoOption]] = {
        "alternatives": plan.alternatives, "Pareto": plan.pareto, "whole frame": [plan.whole], "chosen": [plan.chosen],
    }  # fmt: skip
    count = len(plan.chosen.servers)
    return Picture(
        title=f"{plan.detector.name} on {plan.clip.name}: the plan for {count} server{'' if count == 1 else 's'}",
        panels=[
            *_by_servers(plan),
            _options(groups, "AP50", [[option.ap50 for option in group] for group in groups.values()]),
            _options(groups, "sent, kB a frame", [[o.bytes_a_frame / 1e3 for o in group] for group in groups.values()]),
            *frame_panels([server.name for server in plan.servers], plan.chosen.frames),
        ],
    )


def _by_servers(plan: VideoPlan) -> list[Panel]:
    """The best way with each number of servers; nothing where frames cannot be divided."""
    if not plan.by_servers:
        return []
    x = [len(option.servers) for option in plan.by_servers]
    whole_ms = 1e3 * plan.whole.mean_s.value
    series = [
        Series(label="mean", x=x, y=[1e3 * option.mean_s.value for option in plan.by_servers], style="marked"),
        Series(
            label="95th percentile", x=x, y=[1e3 * option.p95_s.value for option in plan.by_servers], style="marked"
        ),
        Series(label="whole frame, mean", x=[x[0], x[-1]], y=[whole_ms, whole_ms], style="dashed", color="gray"),
    ]
    return [Panel(series=series, x_label="servers", y_label="latency, ms (predicted)", from_zero=True)]


def _options(groups: dict[str, Sequence[VideoOption]], label: str, values: Sequence[Sequence[float]]) -> Panel:
    series = [
        Series(label=name, x=[1e3 * option.mean_s.value for option in group], y=y, style="points")
        for (name, group), y in zip(groups.items(), values, strict=True)
        if group
    ]
    return Panel(series=series, x_label="latency of a frame, ms (mean, predicted)", y_label=label)
