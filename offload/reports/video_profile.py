"""The report on a clip's profile: what the detector takes by area, and what ELF's loop sends and finds."""

from __future__ import annotations

from statistics import fmean, median
from typing import get_args

from offload.artifacts.video_profile import ElfFunction, ReplayRecord, Rule, VideoProfile, area_line, decode_line
from offload.reports.document import NOTHING, Cell, Quantity, Report, Scalar, Section, change, fraction, seconds

_COLUMNS = (
    *("servers", "partition", "expansion", "small frame", "predictor", "JPEG", "AP50", "change", "AP"),
    *("AP50, frame's", "missed", "new after", "duplicates", "pixels", "bytes", "bytes saved", "on the device"),
)
RULE_NAMES: dict[Rule, str] = {"elf": "ELF", "published": "as published", "equal": "equal strips"}
_FUNCTION_WORDS: dict[ElfFunction, str] = {
    "predict": "predict",
    "expand": "expand",
    "partition": "partition and assign",
    "merge": "merge",
    "index": "index",
}
_EXPENDABLE = ("duplicates", "new after", "AP", "predictor", "JPEG", "missed", "AP50, frame's", "bytes")


def video_profile_report(profile: VideoProfile) -> Report:
    """Latency by area, then a row for each setting of the loop."""
    clip = profile.clip
    return Report(
        title=f"{profile.detector.name} on {clip.name}: {clip.frames} frames of {clip.width}×{clip.height}",
        sections=(_latency(profile), *_motion(profile), *_functions(profile), _replays(profile), _how(profile)),
        records=tuple(_record(profile, replay) for replay in profile.replays),
    )


def _latency(profile: VideoProfile) -> Section:
    line, decoding = area_line(profile.crops), decode_line(profile.crops)
    whole = profile.clip.width * profile.clip.height
    rows = []
    for crop in profile.crops:
        took = median(crop.samples_s)
        told = line.fixed_s + line.seconds_per_pixel * crop.pixels
        rows.append(
            (
                f"{crop.width}×{crop.height}",
                fraction(crop.pixels / whole),
                seconds(took),
                change(told / took - 1),
                seconds(median(crop.decode_s)),
            )
        )
    return Section(
        title="The detector by area",
        columns=("crop", "of the frame", "takes", "the line is off", "decoding it"),
        rows=tuple(rows),
        lines=(
            f"line: {line.fixed_s * 1e3:.2f} ms and {line.seconds_per_pixel * 1e9:.1f} ms a million pixels, "
            f"{line.residual:.1%} off (median)",
            f"decoding: {decoding.fixed_s * 1e3:.2f} ms and {decoding.seconds_per_pixel * 1e9:.1f} ms a million "
            f"pixels, {decoding.residual:.1%} off",
        ),
    )


def _motion(profile: VideoProfile) -> list[Section]:
    """Where objects are one frame later; nothing where the clip has no path of any."""
    if not profile.motion:
        return []
    shares = [f"covered at {share:.0%}" for share, _ in profile.motion[0].coverage]
    told = (
        f"told boxes that are off by {profile.motion_noise:.1%} of their sides, as the detector's are"
        if profile.clip.truth
        else "paths are those of what the detector finds in whole frames"
    )
    return [
        Section(
            title="Where objects are one frame later",
            columns=("predictor", "mean IoU", *shares),
            rows=tuple(
                (one.predictor, f"{one.mean_iou:.3f}", *(fraction(covered) for _, covered in one.coverage))
                for one in profile.motion
            ),
            lines=(
                f"{profile.motion[0].examples} boxes; {told}",
                "covered: of the object, by the box expanded so much",
            ),
        )
    ]


def _functions(profile: VideoProfile) -> list[Section]:
    """What each of ELF's functions takes on the device, with the setting that the others are changes of."""
    replay = next((each for each in profile.replays if each.functions_s), None)
    if replay is None:
        return []
    told = {_FUNCTION_WORDS[name]: replay.functions_s[name] for name in get_args(ElfFunction)}
    apart = zip(replay.merge_s, told[_FUNCTION_WORDS["merge"]], told[_FUNCTION_WORDS["index"]], strict=True)
    every = {
        **{words: told[words] for words in list(told)[:3]},
        "cut out, make smaller, JPEG": replay.encode_s,
        "read the answers": tuple(max(0.0, whole_s - merge_s - index_s) for whole_s, merge_s, index_s in apart),
        **{words: told[words] for words in list(told)[3:]},
    }
    rows = [(words, seconds(fmean(took)), seconds(median(took)), seconds(max(took))) for words, took in every.items()]
    total = [sum(each) for each in zip(replay.plan_s, replay.encode_s, replay.merge_s, strict=True)]
    rows.append(("all", seconds(fmean(total)), seconds(median(total)), seconds(max(total))))
    return [
        Section(
            title="On the device, a frame",
            columns=("function", "mean", "median", "most"),
            rows=tuple(rows),
            lines=(f"with the setting of the second row below; {replay.setting.servers} servers",),
        )
    ]


def _replays(profile: VideoProfile) -> Section:
    return Section(
        title="ELF's loop, every crop run alone",
        columns=_COLUMNS,
        rows=tuple(_cells(profile, replay) for replay in profile.replays),
        expendable=_EXPENDABLE,
    )


def _cells(profile: VideoProfile, replay: ReplayRecord) -> tuple[Cell, ...]:
    whole, setting, accuracy = profile.whole, replay.setting, replay.accuracy
    small = f"1 in {setting.interval}, {setting.ratio:g}" if setting.interval else NOTHING
    elf = setting.rule != "equal"
    return (
        str(setting.servers),
        "whole frame" if setting.whole else RULE_NAMES[setting.rule],
        f"{setting.expansion:.0%}" if elf else NOTHING,
        small,
        setting.predictor if elf else NOTHING,
        str(setting.quality),
        f"{accuracy.ap50:.3f}",
        NOTHING if replay is whole else change(accuracy.ap50 - whole.accuracy.ap50),
        f"{accuracy.ap:.3f}",
        f"{accuracy.ap50_whole:.3f}",
        fraction(accuracy.missed),
        NOTHING if accuracy.new_object_delay_frames is None else f"{accuracy.new_object_delay_frames:.2f}",
        f"{accuracy.duplicates:.2f}",
        fraction(replay.pixel_share(profile.clip)),
        Quantity(value=replay.bytes_a_frame, unit="B"),
        change(1 - replay.bytes_a_frame / whole_of_quality(profile, setting.quality).bytes_a_frame),
        seconds(sum(median(each) for each in (replay.plan_s, replay.encode_s, replay.merge_s))),
    )


def whole_of_quality(profile: VideoProfile, quality: int) -> ReplayRecord:
    """The frame as it is, at a quality of JPEG; at another one where that was not measured."""
    alone = [each for each in profile.replays if each.setting.whole]
    return next((each for each in alone if each.setting.quality == quality), profile.whole)


def _how(profile: VideoProfile) -> Section:
    runtime = profile.runtime
    lines = [
        "accuracy against " + ("ground truth" if profile.clip.truth else "what the detector finds in the whole frame")
        + "; AP50, frame's: against what it finds in the whole frame",
        f"regions follow from the detector's own answers; {runtime.name} on {runtime.device}, "
        f"{runtime.threads} thread{'' if runtime.threads == 1 else 's'}",
        f"the detector's times by area: those of {profile.measured_on}, by its own clock"
        if profile.measured_on
        else "one machine: no network, and no two crops at once",
        "new after: frames until an object is first found, the mean of those that are",
        "on the device: predicting, partitioning, JPEG and merging, medians of a frame",
    ]  # fmt: skip
    if profile.stopped == "interrupted":
        lines.append("interrupted: the settings not reached are missing; the same command with --resume goes on")
    return Section(title="How", lines=tuple(lines))


def _record(profile: VideoProfile, replay: ReplayRecord) -> dict[str, Scalar]:
    return {
        "servers": replay.setting.servers,
        "rule": replay.setting.rule,
        "expansion": replay.setting.expansion,
        "interval": replay.setting.interval,
        "ratio": replay.setting.ratio,
        "predictor": replay.setting.predictor,
        "quality": replay.setting.quality,
        "ap50": replay.accuracy.ap50,
        "ap": replay.accuracy.ap,
        "ap50_whole": replay.accuracy.ap50_whole,
        "missed": replay.accuracy.missed,
        "duplicates_a_frame": replay.accuracy.duplicates,
        "new_object_delay_frames": replay.accuracy.new_object_delay_frames,
        "never_found": replay.accuracy.never_found,
        "pixel_share": replay.pixel_share(profile.clip),
        "bytes_a_frame": replay.bytes_a_frame,
        "plan_s": median(replay.plan_s),
        "encode_s": median(replay.encode_s),
        "merge_s": median(replay.merge_s),
    }
