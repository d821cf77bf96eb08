"""Pictures of a clip's profile: what each of ELF's settings does to accuracy, to what is sent, and to time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from offload.artifacts.video_profile import ReplayRecord, VideoProfile, area_line
from offload.reports.picture import Panel, Picture, Series
from offload.reports.video_profile import RULE_NAMES, whole_of_quality

if TYPE_CHECKING:
    from offload.artifacts.video_profile import Setting

_PERCENTILE = 95


def video_profile_picture(profile: VideoProfile) -> Picture:
    """Accuracy and what is sent against each setting, and times; what was not measured is left out."""
    panels = [
        _accuracy(profile, "expansion", "expansion, % of a box's side", 100),
        _sent(profile),
        _accuracy(profile, "ratio", "small frame's side, % of the frame's", 100),
        _accuracy(profile, "interval", "frames from one small frame to the next", 1),
        _coverage(profile),
        _overheads(profile),
        _latency_by_area(profile),
        _latency_by_servers(profile),
        _latency_by_rule(profile),
    ]
    clip = profile.clip
    return Picture(
        title=f"{profile.detector.name} on {clip.name}: {clip.frames} frames of {clip.width}×{clip.height}",
        panels=[panel for panel in panels if panel is not None],
        columns=2,
    )


def swept(profile: VideoProfile, field: str) -> list[ReplayRecord]:
    """The replays of ELF in which one field of the setting varies most and all others are the same, by that field.

    Empty where nothing varies it.
    """
    alike: dict[Setting, list[ReplayRecord]] = defaultdict(list)
    middle = profile.whole.setting
    for replay in profile.replays:
        if replay.setting.rule == "elf":
            alike[replay.setting.model_copy(update={field: getattr(middle, field)})].append(replay)
    most = max(alike.values(), key=len, default=[])
    return sorted(most, key=lambda replay: getattr(replay.setting, field)) if len(most) > 1 else []


def _accuracy(profile: VideoProfile, field: str, label: str, factor: float) -> Panel | None:
    tried = swept(profile, field)
    if field == "interval":
        tried = [replay for replay in tried if replay.setting.interval]  # 0 is none, not one each frame
    if not tried:
        return None
    x = [factor * getattr(replay.setting, field) for replay in tried]
    whole = profile.whole.accuracy
    against = "" if profile.clip.truth else " against the whole frame's"
    return Panel(
        series=[
            Series(label="AP50", x=x, y=[replay.accuracy.ap50 for replay in tried], style="marked", color="C0"),
            Series(label="AP50:95", x=x, y=[replay.accuracy.ap for replay in tried], style="marked", color="C1"),
            _level("whole frame", x, whole.ap50, color="C0"),
            _level("", x, whole.ap, color="C1"),
        ],
        x_label=label,
        y_label=f"accuracy{against}",
    )


def _sent(profile: VideoProfile) -> Panel | None:
    tried = swept(profile, "expansion")
    if not tried:
        return None
    x = [100 * replay.setting.expansion for replay in tried]
    sizes = [replay.bytes_a_frame / whole_of_quality(profile, replay.setting.quality).bytes_a_frame for replay in tried]
    return Panel(
        series=[
            Series(label="pixels", x=x, y=[100 * replay.pixel_share(profile.clip) for replay in tried], style="marked"),
            Series(label="bytes", x=x, y=[100 * size for size in sizes], style="marked"),
        ],
        x_label="expansion, % of a box's side",
        y_label="sent, % of the whole frame's",
        from_zero=True,
    )


def _coverage(profile: VideoProfile) -> Panel | None:
    if not profile.motion:
        return None
    series = [
        Series(
            label=f"{motion.predictor}, IoU {motion.mean_iou:.3f}",
            x=[100 * expansion for expansion, _ in motion.coverage],
            y=[100 * covered for _, covered in motion.coverage],
            style="marked",
        )
        for motion in profile.motion
    ]
    return Panel(series=series, x_label="expansion, % of a box's side", y_label="object in the predicted box, %")


def _overheads(profile: VideoProfile) -> Panel | None:
    middle = next((replay for replay in profile.replays if not replay.setting.whole), None)
    if middle is None:
        return None
    # Means: a median would not see what frames with a small one take besides.
    times = [fmean(middle.plan_s), fmean(middle.encode_s), fmean(middle.merge_s)]
    setting = middle.setting
    plural = "" if setting.servers == 1 else "s"
    return Panel(
        series=[Series(label="", x=[1e3 * time for time in times], y=[0, 1, 2], style="bars")],
        x_label=f"on the device, ms a frame (mean; {setting.servers} server{plural}, {setting.predictor})",
        y_label="",
        rows=("predict, partition", "encode JPEG", "merge, index"),
    )


def _latency_by_area(profile: VideoProfile) -> Panel:
    line = area_line(profile.crops)
    ends = [0.0, float(max(crop.pixels for crop in profile.crops))]
    return Panel(
        series=[
            Series(
                label="measured, median",
                x=[crop.pixels / 1e6 for crop in profile.crops],
                y=[1e3 * median(crop.samples_s) for crop in profile.crops],
                style="points",
            ),
            Series(
                label=f"{1e3 * line.fixed_s:.1f} ms + {1e9 * line.seconds_per_pixel:.1f} ms a million pixels",
                x=[end / 1e6 for end in ends],
                y=[1e3 * (line.fixed_s + line.seconds_per_pixel * end) for end in ends],
                style="dashed",
            ),
        ],
        x_label="area, million pixels",
        y_label="the detector, ms",
        from_zero=True,
    )


@dataclass(frozen=True, kw_only=True)
class DetectorTime:
    """What the server that has most to do takes for a frame."""

    mean_s: float
    """Over all frames, those with a small frame included."""
    percentile_s: float
    """The 95th."""


def detector_time(profile: VideoProfile, replay: ReplayRecord) -> DetectorTime:
    """Predicted from where objects were expected in a replay: regions are shared out again to know whose they are.

    The detector alone, along straight lines from one measured size to the next: no network, no JPEG, nothing on the
    device.
    """
    import numpy as np

    from offload.video.boxes import as_boxes
    from offload.video.expansion import expanded
    from offload.video.methods.elf import Elf, ElfSettings
    from offload.video.partitioning import ServerCost
    from offload.video.proposals.hold import Hold

    line, clip, setting = area_line(profile.crops), profile.clip, replay.setting
    cost = ServerCost(fixed_s=line.fixed_s, seconds_per_pixel=line.seconds_per_pixel)
    elf = Elf(
        settings=ElfSettings.of(setting, profile.detector.multiple),
        predictor=Hold(),  # not asked: what was predicted is in the replay
        width=clip.width,
        height=clip.height,
        servers=(cost,) * setting.servers,
    )
    crops = sorted(profile.crops, key=lambda crop: crop.pixels)
    sizes, medians_s = [crop.pixels for crop in crops], [median(crop.samples_s) for crop in crops]
    frames = []
    for number, boxes in enumerate(replay.predicted):
        wanted = expanded(as_boxes(boxes), setting.expansion, width=clip.width, height=clip.height)
        busy_s = [0.0] * setting.servers
        for ask in elf.asks(number, wanted):
            busy_s[ask.server] += float(np.interp(ask.pixels, sizes, medians_s))
        frames.append(max(busy_s))
    return DetectorTime(mean_s=fmean(frames), percentile_s=float(np.percentile(frames, _PERCENTILE)))


def _latency_by_servers(profile: VideoProfile) -> Panel | None:
    tried = swept(profile, "servers") or [replay for replay in profile.replays if replay.setting.rule == "elf"][:1]
    if not tried:
        return None
    x = [replay.setting.servers for replay in tried]
    times = [detector_time(profile, replay) for replay in tried]
    return Panel(
        series=[
            Series(label="ELF, mean", x=x, y=[1e3 * time.mean_s for time in times], style="marked"),
            Series(
                label=f"ELF, {_PERCENTILE}th percentile",
                x=x,
                y=[1e3 * time.percentile_s for time in times],
                style="marked",
            ),
            _level("whole frame, one server", x, 1e3 * detector_time(profile, profile.whole).mean_s, color="gray"),
        ],
        x_label="servers of equal speed",
        y_label="the detector, ms (predicted)",
        from_zero=True,
    )


def _latency_by_rule(profile: VideoProfile) -> Panel | None:
    """Schemes that were replayed with the same number of servers."""
    middle = next((replay for replay in profile.replays if replay.setting.rule == "elf"), None)
    if middle is None:
        return None
    schemes = {RULE_NAMES["elf"]: middle}
    for replay in profile.replays:
        setting = replay.setting
        name = "whole frame, one server" if setting.whole else RULE_NAMES[setting.rule]
        if setting.whole or setting.servers == middle.setting.servers:
            schemes.setdefault(name, replay)
    times = [1e3 * detector_time(profile, replay).mean_s for replay in schemes.values()]
    count = middle.setting.servers
    return Panel(
        series=[Series(label="", x=times, y=list(range(len(times))), style="bars")],
        x_label=f"the detector, ms (mean, predicted; {count} server{'' if count == 1 else 's'})",
        y_label="",
        rows=tuple(schemes),
    )


def _level(label: str, x: Sequence[float], y: float, *, color: str) -> Series:
    return Series(label=label, x=[min(x), max(x)], y=[y, y], style="dashed", color=color)
