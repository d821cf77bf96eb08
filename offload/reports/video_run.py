"""The report on a video run: a frame's latency, where each server's time goes, and what was sent and found."""

from __future__ import annotations

from collections.abc import Sequence

from offload.artifacts.video_run import EMBEDDED, AskRecord, FrameRecord, VideoRun
from offload.reports.document import Cell, Report, Scalar, Section, fraction, seconds
from offload.reports.video_profile import RULE_NAMES

_PARTS = {
    "encode_s": "encode",
    "uplink_s": "uplink",
    "queue_s": "queue",
    "decode_s": "decode",
    "server_s": "detector",
    "downlink_s": "downlink",
}
_SHARES = (50, 95)


def video_run_report(run: VideoRun) -> Report:
    """Frames, then a row for each server's median and 95th percentile."""
    clip = run.clip
    return Report(
        title=f"{run.detector.name} on {clip.name}: {clip.frames} frames of {clip.width}×{clip.height} offloaded",
        sections=(_frames(run), _servers(run), *_events(run), _how(run)),
        records=tuple(record for frame in run.frames for record in _records(run, frame)),
    )


def _frames(run: VideoRun) -> Section:
    frames, whole = run.frames, run.clip.width * run.clip.height
    asks = [ask for frame in frames for ask in frame.asks if not ask.on_device]
    rows: list[tuple[Cell, ...]] = [
        _row("latency", [frame.latency_s for frame in frames]),
        _row("plan", [frame.plan_s for frame in frames]),
        _row("merge", [frame.merge_s for frame in frames]),
    ]
    lines = [
        f"sent: {_mean_bytes(run)} in {len(asks) / len(frames):.1f} images a frame, "
        f"{sum(ask.pixels for ask in asks) / len(frames) / whole:.1%} of its pixels",
        f"found: {sum(map(_shown, frames)) / len(frames):.1f} objects a frame that are likely enough to be shown",
    ]
    held = sum(frame.held for frame in frames)
    if held:
        at = sum(frame.held > 0 for frame in frames)
        lines.append(f"held where expected, as nobody was left to look: {held} objects in {at} of {len(frames)} frames")
    return Section(title="A frame", columns=("", "p50", "p95"), rows=tuple(rows), lines=tuple(lines))


def _shown(frame: FrameRecord) -> int:
    from offload.video.accuracy import SHOWN_SCORE

    return sum(score >= SHOWN_SCORE for score in frame.scores)


def _mean_bytes(run: VideoRun) -> str:
    from offload.units import format_size

    return format_size(sum(frame.sent_bytes for frame in run.frames) / len(run.frames))


def _row(name: str, values_s: Sequence[float]) -> tuple[Cell, ...]:
    return (name, *(seconds(_percentile(values_s, share)) for share in _SHARES))


def _servers(run: VideoRun) -> Section:
    answered = [ask for frame in run.frames for ask in frame.asks if ask.answered]
    pixels = sum(ask.pixels for ask in answered)
    rows = []
    for name, mine in _by_server(run, answered):
        for share in _SHARES:
            parts = [seconds(_percentile([getattr(ask, part) for ask in mine], share)) for part in _PARTS]
            first = share == _SHARES[0]
            rows.append(
                (
                    name if first else "",
                    str(len(mine)) if first else "",
                    fraction(sum(ask.pixels for ask in mine) / pixels) if first else "",
                    f"p{share}",
                    *parts,
                )
            )
    columns = ("server", "images", "of the pixels", "", *_PARTS.values())
    return Section(
        title="An image, on its way", columns=columns, rows=tuple(rows), expendable=("queue", "decode", "images")
    )


def _by_server(run: VideoRun, answered: Sequence[AskRecord]) -> list[tuple[str, list[AskRecord]]]:
    found = [
        (name, [ask for ask in answered if ask.server == number and not ask.on_device])
        for number, name in enumerate(run.servers)
    ]
    found.append(("the device itself", [ask for ask in answered if ask.on_device]))
    return [(name, mine) for name, mine in found if mine]


def _events(run: VideoRun) -> tuple[Section, ...]:
    """What went wrong, and what became of it."""
    lines = list(run.notes)
    lost = [(frame, ask) for frame in run.frames for ask in frame.asks if not ask.answered]
    if lost:
        at = sorted({frame.number for frame, _ in lost})
        lines.append(
            f"{len(lost)} image{'s were' if len(lost) > 1 else ' was'} not answered where first sent, in frame"
            f"{'s' if len(at) > 1 else ''} {', '.join(map(str, at[:10]))}{' …' if len(at) > 10 else ''}"
        )
    return (Section(title="On the way", lines=tuple(lines)),) if lines else ()


def _how(run: VideoRun) -> Section:
    setting = run.setting
    lines = [
        f"servers: {', '.join(run.servers)}; link: {run.link}",
        "frames are not paced: each begins when the one before it is answered; decoding the clip is not part of it",
    ]
    if run.servers[0].startswith(EMBEDDED):
        lines.append("device, link and servers share this machine's cores: for times, name servers with --server")
    if run.emulated:
        lines.append("emulated: each image was looked at alone on one machine, and a frame takes what its slowest does")
    if run.method != "elf":
        lines.append(f"method: {run.method}, JPEG {setting.quality}")
    elif setting.rule == "equal":
        lines.append(f"partition: {RULE_NAMES['equal']}, whatever is in them, JPEG {setting.quality}")
    else:
        words = f"expansion {setting.expansion:.0%}, {setting.predictor} motion, JPEG {setting.quality}"
        lines.append(f"partition: {RULE_NAMES[setting.rule]}, {words}")
    if run.method == "elf" and setting.interval:
        lines.append(f"one frame in {setting.interval} is sent whole, too, at {setting.ratio:g} of its sides")
    if run.stopped == "interrupted":
        lines.append("interrupted: the rest of the clip is missing")
    return Section(title="How", lines=tuple(lines))


def _records(run: VideoRun, frame: FrameRecord) -> list[dict[str, Scalar]]:
    """A row for each image; one without, for a frame that sent none."""
    of_frame: dict[str, Scalar] = {
        "frame": frame.number,
        "latency_s": frame.latency_s,
        "plan_s": frame.plan_s,
        "merge_s": frame.merge_s,
        "objects": len(frame.boxes),
        "held": frame.held,
    }
    if not frame.asks:
        return [of_frame | dict.fromkeys(_OF_IMAGE)]
    return [
        of_frame
        | {
            "server": run.servers[ask.server],
            "answered": int(ask.answered),
            "on_device": int(ask.on_device),
            "pixels": ask.pixels,
            "sent_bytes": ask.sent_bytes,
            "sent_at_s": ask.sent_at_s,
        }
        | {part: getattr(ask, part) for part in _PARTS}
        for ask in frame.asks
    ]


_OF_IMAGE = ("server", "answered", "on_device", "pixels", "sent_bytes", "sent_at_s", *_PARTS)


def _percentile(values: Sequence[float], share: int) -> float:
    """By linear interpolation."""
    import numpy as np

    return float(np.percentile(values, share))
