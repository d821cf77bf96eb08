"""The report on a measured link: goodput each way, round trips, and how far a line through the sizes holds."""

from __future__ import annotations

from offload.artifacts.estimate import Estimate
from offload.artifacts.link import LinkProfile, OneWay
from offload.reports.document import (
    Cell,
    Interval,
    Quantity,
    Report,
    Scalar,
    Section,
    change,
    estimate_record,
    fraction,
    human,
    interval,
    seconds,
)
from offload.reports.link_warnings import link_warnings

_CLOCK = "one-way times by the server's clock, known to ±{}: that much may belong to the other direction"
_ROUND_TRIP = "round trips, with half an empty one and the server's own time taken off: it does not tell its clock"


def link_report(profile: LinkProfile) -> Report:
    """Both directions beside each other, the round trip, each size against the line, and how it was measured."""
    sections = [_directions(profile), _round_trip(profile), _sizes(profile), _measuring(profile)]
    warnings = link_warnings(profile)
    if warnings:
        sections.append(Section(title="Before you rely on this", lines=warnings))
    return Report(
        title=f"Link to {profile.server} ({profile.server_name})",
        sections=tuple(sections),
        records=tuple(
            _record(profile, direction, one_way, number)
            for direction, one_way in _by_name(profile).items()
            for number in range(len(one_way.sizes))
        ),
    )


def link_line(profile: LinkProfile) -> str:
    """The link in one line, for a watch."""
    low, high = profile.rtt_spread_s
    rates = [
        f"{name} {human(Quantity(value=one_way.goodput_bps.value, unit='bit/s'))} "
        f"±{human(fraction(one_way.goodput_bps.relative_half_width))}"
        for name, one_way in (("up", profile.uplink), ("down", profile.downlink))
    ]
    rtt = f"round trip {human(seconds(profile.rtt_s))} ({human(Interval(low=low, high=high, unit='s'))})"
    parts = [*rates, rtt, f"jitter {human(seconds(profile.jitter_s))}"]
    if profile.stopped == "lost":
        parts.append(f"connection lost: {profile.failure}")
    return f"{profile.created_at}  " + ", ".join(parts)


def link_summary(profile: LinkProfile) -> dict[str, Scalar]:
    """The link as one flat record, for a watch that programs read."""
    low, high = profile.rtt_spread_s
    record: dict[str, Scalar] = {"created_at": profile.created_at, "server": profile.server}
    for name, one_way in _by_name(profile).items():
        record |= estimate_record(f"{name}_goodput", "bps", one_way.goodput_bps)
        record |= estimate_record(f"{name}_overhead", "s", one_way.overhead_s)
        record |= estimate_record(f"{name}_cold", "s", one_way.cold_s)
        record[f"{name}_residual_fraction"] = one_way.residual
    record |= estimate_record("rtt", "s", profile.rtt_s)
    return record | {
        "rtt_p5_s": low,
        "rtt_p95_s": high,
        "jitter_s": profile.jitter_s,
        "stopped": profile.stopped,
        "failure": profile.failure,
    }


def _by_name(profile: LinkProfile) -> dict[str, OneWay]:
    return {"uplink": profile.uplink, "downlink": profile.downlink}


def _directions(profile: LinkProfile) -> Section:
    both = (profile.uplink, profile.downlink)
    rows: list[tuple[Cell, ...]] = [
        ("goodput of long messages", *_pair([one.goodput_bps for one in both], "bit/s")),
        ("overhead of a message", *_pair([one.overhead_s for one in both], "s")),
        ("more on a fresh connection", *_pair([one.cold_s for one in both], "s")),
        ("residual of the line", *(cell for one in both for cell in (fraction(one.residual), ""))),
    ]
    return Section(title="", columns=("", "uplink", "95 % interval", "downlink", "95 % interval"), rows=tuple(rows))


def _pair(estimates: list[Estimate | None] | list[Estimate], unit: str) -> list[Cell]:
    cells: list[Cell] = []
    for one in estimates:
        if unit == "s":
            cells += [seconds(one), interval(one, "s")]
        else:
            cells += [Quantity(value=None if one is None else one.value, unit="bit/s"), interval(one, "bit/s")]
    return cells


def _round_trip(profile: LinkProfile) -> Section:
    low, high = profile.rtt_spread_s
    rows: tuple[tuple[Cell, ...], ...] = (
        ("median", seconds(profile.rtt_s)),
        ("5th – 95th percentile", Interval(low=low, high=high, unit="s")),
        ("jitter, the median change from one to the next", seconds(profile.jitter_s)),
    )
    return Section(title="Round trip of a tiny request", columns=("", "value"), rows=rows)


def _sizes(profile: LinkProfile) -> Section:
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            Quantity(value=size.size_bytes, unit="B"),
            Quantity(value=size.samples, unit="count"),
            seconds(size.median_s),
            interval(size.median_s, "s"),
            seconds(one_way.curve.at(size.size_bytes)),
            change(size.deviation),
        )
        for name, one_way in _by_name(profile).items()
        for size in one_way.sizes
    ]
    return Section(
        title="By size, on a connection in use",
        columns=("", "size", "messages", "median", "95 % interval", "line", "off the line"),
        rows=tuple(rows),
        expendable=("messages", "95 % interval"),
    )


def _measuring(profile: LinkProfile) -> Section:
    probes = {
        "built-in": "the server's own probe models",
        "uploaded": "probe models uploaded for the purpose and removed again",
    }[profile.probes]
    timing = _ROUND_TRIP
    if profile.clock_uncertainty_s is not None:
        timing = _CLOCK.format(human(seconds(profile.clock_uncertainty_s)))
    cold = "uplink" if profile.timing == "one-way" else "both directions"
    count = sum(not sample.cold for sample in profile.transfers)
    return Section(
        title="How it was measured",
        lines=(
            f"{count} messages and {len(profile.rtts)} tiny requests to {probes}, stopped by: {profile.stopped}",
            timing,
            f"opening a fresh connection counts to {cold}; the overhead holds half the round trip and the protocol",
        ),
    )


def _record(profile: LinkProfile, name: str, one_way: OneWay, number: int) -> dict[str, Scalar]:
    size = one_way.sizes[number]
    return {
        "direction": name,
        "size_bytes": size.size_bytes,
        "messages": size.samples,
        **estimate_record("median", "s", size.median_s),
        "line_s": one_way.curve.at(size.size_bytes).value,
        "off_the_line_fraction": size.deviation,
        **estimate_record("goodput", "bps", one_way.goodput_bps),
        **estimate_record("overhead", "s", one_way.overhead_s),
        **estimate_record("rtt", "s", profile.rtt_s),
    }
