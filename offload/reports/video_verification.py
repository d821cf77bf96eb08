"""The report on a clip's verification: each method, predicted beside measured, and each server's part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from offload.artifacts.estimate import Estimate
from offload.artifacts.video_plan import VideoOption
from offload.artifacts.video_run import AskRecord
from offload.artifacts.video_verification import ALONE, PARTS, MethodRun, VideoVerification, mean_split
from offload.reports.document import (
    NOTHING,
    Cell,
    Quantity,
    Report,
    Scalar,
    Section,
    change,
    fraction,
    human,
    interval,
    seconds,
)

METHOD_NAMES: Mapping[str, str] = {
    "whole": "full frame",
    "elf": "ELF",
    ALONE: "ELF, one server",
    "filter": "frame filter",
    "strips": "equal strips",
    "tiles": "fixed tiles",
    "hold": "ELF, boxes held",
    "oracle": "ELF, oracle",
}
PART_NAMES: Mapping[str, str] = {
    "plan_s": "predict, partition",
    "encode_s": "encode",
    "uplink_s": "uplink",
    "queue_s": "queue",
    "decode_s": "decode",
    "server_s": "server",
    "downlink_s": "downlink",
    "merge_s": "merge",
}
_COLUMNS = (
    *("method", "servers", "mean", "p50", "p95", "speed-up", "bytes", "bytes saved", "pixels", "AP50", "change", "AP"),
    *("AP50, frame's", "AP50, shifted", "missed", "duplicates", "new objects after"),
)
_EXPENDABLE = (
    *("new objects after", "pixels", "AP", "p50", "AP50, frame's", "bytes", "servers", "duplicates", "missed"),
    "AP50, shifted",
)
_EMULATED = (
    "servers are emulated: each image was encoded, decoded and looked at alone on this machine, the line is a model, "
    "and a frame is answered when the last of its images is"
)
_AGES = ((0, 0), (1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, None))
"""First and last frame of each group; None for all that follow."""


def video_verification_report(verification: VideoVerification) -> Report:
    """The verdict, a row for each method, the split of the chosen one, a row for each server."""
    clip = verification.clip
    sections = [
        _verdict(verification),
        Section(
            title=f"Methods, {'servers emulated' if verification.emulated else 'measured'}",
            columns=_COLUMNS,
            rows=tuple(_method(verification, run) for run in verification.runs),
            lines=tuple(f"not run: {reason}" for reason in verification.left_out),
            expendable=_EXPENDABLE,
        ),
        _split(verification),
        _servers(verification),
        *_ages(verification),
        _how(verification),
    ]
    if verification.warnings:
        sections.append(Section(title="Before you rely on this", lines=verification.warnings))
    return Report(
        title=f"Verification of {verification.detector.name} on {clip.name}, {clip.frames} frames: "
        f"{verification.verdict}",
        sections=tuple(sections),
        records=tuple(_record(verification, run) for run in verification.runs),
    )


def _verdict(verification: VideoVerification) -> Section:
    elf, whole = verification.elf, verification.whole
    lost = elf.ap50_change
    lines = [
        f"mean latency {human(change(verification.error))} from the predicted one, accepted "
        f"±{human(fraction(verification.tolerance))}; of the full frame {human(change(verification.whole_error))}",
        f"predicted to be {human(_times(verification.predicted_speedup))} as fast as the full frame, measured "
        f"{human(_times(verification.speedup(elf)))}{_gains(verification)}",
        f"AP50 {human(change(lost.value))} against the full frame{_strays(lost)}, promised "
        f"{human(change(verification.promised_change))} at worst",
        f"bytes {human(change(elf.bytes_a_frame / whole.bytes_a_frame - 1))} against the full frame",
    ]
    return Section(title=f"Verdict: {verification.verdict}", lines=tuple(lines))


def _strays(change_of: Estimate) -> str:
    if change_of.high - change_of.low >= 1:
        return " (too few frames to tell)"
    shown = interval(change_of, "change")
    return "" if shown == NOTHING else f" (95 %: {human(shown)})"


def _gains(verification: VideoVerification) -> str:
    crop, parallel = verification.crop_gain, verification.parallel_gain
    if crop is None or parallel is None:
        return ""
    return f": {human(_times(crop))} by cropping (one server), {human(_times(parallel))} by more servers"


def _method(verification: VideoVerification, run: MethodRun) -> tuple[Cell, ...]:
    accuracy, whole, clip = run.accuracy, verification.whole, verification.clip
    delay = accuracy.new_object_delay_frames
    return (
        _name(verification, run),
        str(len(run.servers)),
        seconds(run.mean_s),
        seconds(run.percentile_s(50)),
        seconds(run.percentile_s(95)),
        _times(verification.speedup(run)),
        Quantity(value=run.bytes_a_frame, unit="B"),
        NOTHING if run is whole else change(1 - run.bytes_a_frame / whole.bytes_a_frame),
        fraction(run.pixels_a_frame / (clip.width * clip.height)),
        f"{accuracy.ap50:.3f}",
        NOTHING if run is whole else change(run.ap50_change.value),
        f"{accuracy.ap:.3f}",
        f"{accuracy.ap50_whole:.3f}",
        f"{run.shifted_ap50:.3f}",
        fraction(accuracy.missed),
        f"{accuracy.duplicates:.2f}",
        NOTHING if delay is None else f"{delay:.1f} frames",
    )


def _name(verification: VideoVerification, run: MethodRun) -> str:
    planned = run is verification.elf and not verification.by_content
    return "as planned" if planned else METHOD_NAMES.get(run.name, run.name)


def _split(verification: VideoVerification) -> Section:
    """Predicted beside measured, of the planned option and of the full frame."""
    pairs = ((verification.predicted, verification.elf), (verification.predicted_whole, verification.whole))
    splits = [(mean_split(option.frames), mean_split(run.frames)) for option, run in pairs]
    rows: list[tuple[Cell, ...]] = [
        (words, *(cell for told, found in splits for cell in (seconds(told[part]), seconds(found[part]))))
        for part, words in PART_NAMES.items()
    ]
    rows += [
        ("mean latency", *_both(pairs, lambda option: option.mean_s.value, lambda run: run.mean_s)),
        ("p50", *_both(pairs, lambda option: option.p50_s.value, lambda run: run.percentile_s(50))),
        ("p95", *_both(pairs, lambda option: option.p95_s.value, lambda run: run.percentile_s(95))),
    ]
    sizes = [Quantity(value=value, unit="B") for pair in pairs for value in (each.bytes_a_frame for each in pair)]
    rows.append(("bytes a frame", *sizes))
    rows.append(("AP50", *(f"{value:.3f}" for option, run in pairs for value in (option.ap50, run.accuracy.ap50))))
    return Section(
        title="Where a frame's time goes, means",
        columns=("", "predicted", "measured", "full: predicted", "measured "),
        rows=tuple(rows),
        lines=(
            "of the plan, then of the full frame; parts are of the answer that comes last; predictions are for the "
            "frames that were profiled",
        ),
    )


def _both(
    pairs: Sequence[tuple[VideoOption, MethodRun]],
    told: Callable[[VideoOption], float],
    found: Callable[[MethodRun], float],
) -> list[Cell]:
    return [seconds(value) for option, run in pairs for value in (told(option), found(run))]


def _servers(verification: VideoVerification) -> Section:
    elf = verification.elf
    return Section(
        title="The plan's servers, an image on average",
        columns=(
            *("server", "images a frame", "bytes", "encode", "uplink", "queue", "decode", "server ", "downlink"),
            *("answered after", "last in"),
        ),
        rows=tuple(_server(verification, place) for place in elf.servers),
        expendable=("bytes", "queue", "decode", "encode", "images a frame", "downlink", "uplink"),
    )


def _server(verification: VideoVerification, place: int) -> tuple[Cell, ...]:
    frames = verification.elf.frames
    asks = server_asks(verification.elf, place)
    last = [max(frame.asks, key=lambda ask: ask.done_s).server for frame in frames if frame.asks]
    name = verification.addresses[place] if verification.addresses else verification.servers[place].name
    if not asks:
        return (name, "0.0", *(NOTHING for _ in range(9)))
    parts = ("encode_s", "uplink_s", "queue_s", "decode_s", "server_s", "downlink_s", "done_s")
    return (
        name,
        f"{len(asks) / len(frames):.1f}",
        Quantity(value=sum(ask.sent_bytes for ask in asks) / len(asks), unit="B"),
        *(seconds(sum(getattr(ask, part) for ask in asks) / len(asks)) for part in parts),
        fraction(last.count(place) / len(frames)),
    )


def server_asks(run: MethodRun, place: int) -> list[AskRecord]:
    """What one server answered in all frames."""
    return [ask for frame in run.frames for ask in frame.asks if ask.server == place and ask.answered]


def _ages(verification: VideoVerification) -> list[Section]:
    """Which share of objects is missed at each age; nothing without ground truth."""
    runs = [run for run in verification.runs if run.asked_by_age]
    oldest = max((len(run.asked_by_age) for run in runs), default=0)
    groups = [(first, oldest if last is None else last + 1) for first, last in _AGES if first < oldest]
    if not runs:
        return []
    names = [str(first) if end == first + 1 else f"{first}–{end - 1}" for first, end in groups]
    return [
        Section(
            title="Objects missed, by the frames since they were first to be seen",
            columns=("method", *names),
            rows=tuple(
                (_name(verification, run), *(fraction(_missed(run, *group)) for group in groups)) for run in runs
            ),
            expendable=tuple(names[1:-1]),
        )
    ]


def _missed(run: MethodRun, first: int, end: int) -> float | None:
    asked = sum(run.asked_by_age[first:end])
    return sum(run.missed_by_age[first:end]) / asked if asked else None


def _how(verification: VideoVerification) -> Section:
    clip, first = verification.clip, verification.first_frame
    lines = [
        f"frames {first} to {first + clip.frames - 1} of {clip.path}, "
        + ("by none of which the plan was chosen" if verification.fresh else "by which the plan was chosen"),
        _EMULATED if verification.emulated else "servers were asked for real, all at once",
        f"link: {verification.link}",
        "accuracy against " + ("ground truth" if clip.truth else "what the detector finds in the full frame")
        + "; AP50, frame's: against what it finds in the full frame; shifted: of what is on the screen when",
    ]  # fmt: skip
    lines += [f"{METHOD_NAMES.get(run.name, run.name)}: {note}" for run in verification.runs for note in run.notes]
    if verification.stopped == "interrupted":
        lines.append("interrupted: the frames and methods not reached are missing")
    return Section(title="How", lines=tuple(lines))


def _record(verification: VideoVerification, run: MethodRun) -> dict[str, Scalar]:
    accuracy, parts = run.accuracy, mean_split(run.frames)
    predicted = {"elf": verification.predicted, "whole": verification.predicted_whole}.get(run.name)
    return {
        "method": run.name,
        "servers": len(run.servers),
        "emulated": int(run.emulated),
        "mean_s": run.mean_s,
        "predicted_mean_s": None if predicted is None else predicted.mean_s.value,
        "p50_s": run.percentile_s(50),
        "p95_s": run.percentile_s(95),
        **{f"mean_{part}": parts[part] for part in PARTS},
        "speedup": verification.speedup(run),
        "bytes_a_frame": run.bytes_a_frame,
        "pixels_a_frame": run.pixels_a_frame,
        "sent_share": run.sent_share,
        "waited_share": run.waited,
        "ap50": accuracy.ap50,
        "ap50_change": run.ap50_change.value,
        "ap50_change_low": run.ap50_change.low,
        "ap50_change_high": run.ap50_change.high,
        "predicted_ap50": None if predicted is None else predicted.ap50,
        "ap": accuracy.ap,
        "ap50_whole": accuracy.ap50_whole,
        "ap50_shifted": run.shifted_ap50,
        "duplicates_a_frame": accuracy.duplicates,
        "missed": accuracy.missed,
        "new_object_delay_frames": accuracy.new_object_delay_frames,
        "never_found": accuracy.never_found,
    }


def _times(value: float) -> Quantity:
    return Quantity(value=value, unit="times")
