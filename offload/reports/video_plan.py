"""The report on a video plan: how to divide frames in words, what each part takes, and what else was possible."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from offload.artifacts.video_plan import FramePrediction, VideoOption, VideoPlan
from offload.reports.document import (
    NOTHING,
    Cell,
    Quantity,
    Report,
    Scalar,
    Section,
    change,
    estimate_record,
    fraction,
    human,
    interval,
    joules,
    seconds,
)
from offload.reports.video_profile import RULE_NAMES

_PARTS = {
    "encode_s": "encode",
    "uplink_s": "uplink",
    "queue_s": "wait on the server",
    "decode_s": "decode",
    "server_s": "detect",
    "downlink_s": "downlink",
}
_BEST = {"latency": "least latency", "energy": "least energy of the radio", "bandwidth": "fewest bytes"}
_COLUMNS = (
    *("servers", "partition", "expansion", "small frame", "predictor", "JPEG", "mean", "p95", "faster"),
    *("bytes", "fewer bytes", "AP50", "change"),
)
_EXPENDABLE = ("predictor", "JPEG", "bytes", "p95", "change")


def video_plan_report(plan: VideoPlan) -> Report:
    """What to do beside the whole frame, where its time goes by server, other ways, and what all of it rests on."""
    sections = [_answer(plan), _costs(plan), _parts(plan), _ways(plan, "By number of servers", plan.by_servers)]
    sections.append(_ways(plan, "The next best", plan.alternatives))
    if plan.pareto:
        sections.append(_ways(plan, "None is better in latency, bytes and AP50 at once", plan.pareto))
    sections.append(_inputs(plan))
    if plan.warnings:
        sections.append(Section(title="Before you rely on this", lines=plan.warnings))
    return Report(
        title=f"Plan for {plan.detector.name} on {plan.clip.name}: {_BEST[plan.target]} (elf)",
        sections=tuple(sections),
        records=tuple(_record(plan, role, option) for role, option in _options(plan)),
    )


def _answer(plan: VideoPlan) -> Section:
    chosen = plan.chosen
    names = ", ".join(plan.servers[place].name for place in chosen.servers)
    if not plan.divides:
        told = "none that divides frames is better" if plan.by_servers else "nothing else was measured"
        return Section(
            title=f"Do not divide frames: send each as it is to {names}, JPEG quality {chosen.setting.quality}.",
            lines=(f"of the settings that find enough, {told}",),
        )
    setting = chosen.setting
    often = "every frame" if setting.interval == 1 else f"one frame in {setting.interval}"
    small = f"the whole frame at {setting.ratio:g} of its sides with {often}" if setting.interval else "no small frame"
    what = f"Divide frames among {setting.servers} servers "
    what += "in equal strips" if setting.rule == "equal" else f"by {_partition(setting.rule)}"
    if setting.servers == 1:
        what = "Send one server the region around all objects"
    lines = [f"to: {names}"]
    if setting.rule != "equal":
        lines.append(f"boxes: told by {setting.predictor}, {setting.expansion:.0%} larger on each side; {small}")
    lines.append(f"{_gain(plan)}; AP50 {chosen.ap50:.3f}, {human(change(chosen.ap50_change))} against whole frames")
    return Section(title=f"{what}, JPEG quality {setting.quality}.", lines=tuple(lines))


def _partition(rule: str) -> str:
    return "the published partition" if rule == "published" else "ELF's partition"


def _gain(plan: VideoPlan) -> str:
    ratio = plan.whole.mean_s.value / plan.chosen.mean_s.value
    saved = 1 - plan.chosen.bytes_a_frame / plan.whole.bytes_a_frame
    one = next((option for option in plan.by_servers if len(option.servers) == 1), None)
    parts = ""
    if one is not None and len(plan.chosen.servers) > 1:
        crops = plan.whole.mean_s.value / one.mean_s.value
        parts = f" ({crops:.2f}× by sending less, {ratio / crops:.2f}× by sharing it)"
    tie = ", but the intervals overlap" if plan.chosen.mean_s.overlaps(plan.whole.mean_s) else ""
    return f"{ratio:.2f}× as fast as whole frames to one server{parts}{tie}; {human(change(-saved))} bytes"


def _costs(plan: VideoPlan) -> Section:
    chosen, whole = plan.chosen, plan.whole
    rows: list[tuple[Cell, ...]] = [
        (words, seconds(one), interval(one, "s"), seconds(other))
        for words, one, other in (
            ("a frame, mean", chosen.mean_s, whole.mean_s),
            ("median", chosen.p50_s, whole.p50_s),
            ("95th percentile", chosen.p95_s, whole.p95_s),
        )
    ]
    rows += [
        ("on the device", seconds(_device_s(chosen)), NOTHING, seconds(_device_s(whole))),
        (
            "bytes",
            Quantity(value=chosen.bytes_a_frame, unit="B"),
            NOTHING,
            Quantity(value=whole.bytes_a_frame, unit="B"),
        ),
        ("pixels of the frame", _pixels(plan, chosen), NOTHING, _pixels(plan, whole)),
    ]
    if chosen.radio_j is not None:
        rows.append(
            (
                "energy of the radio (modelled)",
                joules(chosen.radio_j),
                interval(chosen.radio_j, "J"),
                joules(whole.radio_j),
            )
        )
    rows += [
        ("AP50", f"{chosen.ap50:.3f}", NOTHING, f"{whole.ap50:.3f}"),
        ("AP", f"{chosen.ap:.3f}", NOTHING, f"{whole.ap:.3f}"),
    ]
    return Section(
        title="Predicted", columns=("", "this plan", "95 % interval", "whole frame, one server"), rows=tuple(rows)
    )


def _device_s(option: VideoOption) -> float:
    """Predicting, partitioning, JPEG and merging; the mean of a frame."""
    spent = [frame.plan_s + frame.merge_s + sum(ask.encode_s for ask in frame.asks) for frame in option.frames]
    return fmean(spent)


def _pixels(plan: VideoPlan, option: VideoOption) -> Quantity:
    return fraction(option.pixels_a_frame / (plan.clip.width * plan.clip.height))


def _parts(plan: VideoPlan) -> Section:
    """Where the time of the images goes, by server: means of a frame."""
    frames = plan.chosen.frames
    rows: list[tuple[Cell, ...]] = []
    for place in plan.chosen.servers:
        asks = [[ask for ask in frame.asks if ask.server == place] for frame in frames]
        means = [fmean(sum(getattr(ask, part) for ask in each) for each in asks) for part in _PARTS]
        last = fmean(_is_last(frame, place) for frame in frames)
        rows.append((plan.servers[place].name, *(seconds(each) for each in means), fraction(last)))
    plan_s, merge_s = (fmean(getattr(frame, part) for frame in frames) for part in ("plan_s", "merge_s"))
    return Section(
        title="Where a frame's time goes, means",
        columns=("server", *_PARTS.values(), "is last"),
        rows=tuple(rows),
        lines=(f"before: predict and partition {human(seconds(plan_s))}; after: merge {human(seconds(merge_s))}",),
        expendable=("downlink", "wait on the server"),
    )


def _is_last(frame: FramePrediction, server: int) -> bool:
    return bool(frame.asks) and max(frame.asks, key=lambda ask: ask.done_s).server == server


def _ways(plan: VideoPlan, title: str, options: Sequence[VideoOption]) -> Section:
    return Section(
        title=title, columns=_COLUMNS, rows=tuple(_cells(plan, option) for option in options), expendable=_EXPENDABLE
    )


def _cells(plan: VideoPlan, option: VideoOption) -> tuple[Cell, ...]:
    setting, whole = option.setting, plan.whole
    elf = setting.rule != "equal"
    return (
        str(setting.servers),
        "whole frame" if setting.whole else RULE_NAMES[setting.rule],
        f"{setting.expansion:.0%}" if elf else NOTHING,
        f"1 in {setting.interval}, {setting.ratio:g}" if setting.interval else NOTHING,
        setting.predictor if elf else NOTHING,
        str(setting.quality),
        seconds(option.mean_s),
        seconds(option.p95_s),
        Quantity(value=whole.mean_s.value / option.mean_s.value, unit="times"),
        Quantity(value=option.bytes_a_frame, unit="B"),
        change(1 - option.bytes_a_frame / whole.bytes_a_frame),
        f"{option.ap50:.3f}",
        change(option.ap50_change),
    )


def _inputs(plan: VideoPlan) -> Section:
    link = plan.link
    up, down = (human(Quantity(value=rate, unit="bit/s")) for rate in (link.uplink_bps, link.downlink_bps))
    alike: dict[str, list[str]] = {}
    for server in plan.servers:
        line = f"{server.fixed_s * 1e3:.2f} ms and {server.seconds_per_pixel * 1e9:.1f} ms a million pixels"
        alike.setdefault(f"{line}, {server.residual:.1%} off", []).append(server.name)
    lines = [f"{', '.join(names)}: {line}" for line, names in alike.items()]
    lines += [
        f"link, which all are behind: {up} up, {down} down, round trip {human(seconds(link.rtt_s))} ({link.source})",
        f"accuracy: measured on {plan.clip.frames} frames against "
        + ("ground truth" if plan.clip.truth else "what the detector finds in whole frames"),
        f"asked for: AP50 of {plan.least_ap50:.3f} at least; {plan.considered} options compared",
        *plan.notes,
    ]
    if plan.radio is not None:
        lines.append(f"radio: {plan.radio.name} (modelled; {plan.radio.source})")
    return Section(title="Derived from", lines=tuple(lines))


def _options(plan: VideoPlan) -> list[tuple[str, VideoOption]]:
    named = [("chosen", plan.chosen), ("whole frame", plan.whole)]
    named += [(f"{len(option.servers)} servers", option) for option in plan.by_servers]
    named += [(f"alternative {number}", option) for number, option in enumerate(plan.alternatives, start=1)]
    return named + [(f"pareto {number}", option) for number, option in enumerate(plan.pareto, start=1)]


def _record(plan: VideoPlan, role: str, option: VideoOption) -> dict[str, Scalar]:
    setting = option.setting
    return {
        "option": role,
        "servers": setting.servers,
        "server_names": " ".join(plan.servers[place].name for place in option.servers),
        "rule": setting.rule,
        "expansion": setting.expansion,
        "interval": setting.interval,
        "ratio": setting.ratio,
        "predictor": setting.predictor,
        "quality": setting.quality,
        **estimate_record("mean", "s", option.mean_s),
        **estimate_record("p50", "s", option.p50_s),
        **estimate_record("p95", "s", option.p95_s),
        "bytes_a_frame": option.bytes_a_frame,
        "pixels_a_frame": option.pixels_a_frame,
        **estimate_record("radio", "j", option.radio_j),
        "ap50": option.ap50,
        "ap": option.ap,
        "ap50_change": option.ap50_change,
        "accuracy_servers": option.accuracy_servers,
    }
