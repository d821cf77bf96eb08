"""Reasons to trust a measured link less, each with its remedy."""

from __future__ import annotations

from offload.artifacts.link import LinkProfile, OneWay, SizeSummary
from offload.reports.document import Quantity, change, fraction, human, seconds

_OFF_THE_LINE = 0.1
_WIDE = 0.05
_MOVED = 0.1
_FAST_DRIFT = 2e-4
"""Quartz clocks run apart by up to a tenth of this."""


def link_warnings(profile: LinkProfile) -> tuple[str, ...]:
    """What a reader should know before relying on a link; empty when all is well."""
    found = []
    if profile.stopped == "lost":
        found.append(
            f"the connection was lost ({profile.failure}): only what came before is in the figures; measure again"
        )
    if profile.stopped == "interrupted":
        found.append("measuring was interrupted: measure again for narrower intervals")
    if profile.compute_included:
        found.append(
            "the server keeps no statistics, so the probes' own computing counts as transfer: take short ones as upper "
            "bounds"
        )
    for name, one_way in (("uplink", profile.uplink), ("downlink", profile.downlink)):
        found += _of_one_way(profile, name, one_way)
    if profile.clock_drift is not None and abs(profile.clock_drift) > _FAST_DRIFT:
        found.append(
            f"the server's clock moves {human(seconds(abs(profile.clock_drift)))} a second against this one: one-way "
            "times are corrected for it, but measure again once neither clock is being set"
        )
    return tuple(found)


def _of_one_way(profile: LinkProfile, name: str, one_way: OneWay) -> list[str]:
    found = []
    faster = [size for size in one_way.sizes if _strays(profile, one_way, size) and size.deviation < 0]
    slower = [size for size in one_way.sizes if _strays(profile, one_way, size) and size.deviation > 0]
    if faster:
        found.append(
            f"{name}: messages of {_words(faster)} are faster than the line: a burst that a token bucket or a policer "
            "lets pass; plans take them for slower than they are"
        )
    if slower:
        found.append(
            f"{name}: messages of {_words(slower)} are slower than the line, as slow start or a queue makes them; "
            "measure the --sizes that your plans send"
        )
    width = one_way.goodput_bps.relative_half_width
    if width > _WIDE:
        found.append(
            f"{name}: goodput is known to ±{human(fraction(width))} only: raise --duration, stop other traffic"
        )
    moved = _change_within(profile, name, one_way)
    if abs(moved) > _MOVED:
        found.append(
            f"{name}: messages took {human(change(moved))} in the second half of the run: the link is not steady; see "
            "how it changes with --watch"
        )
    if any(not s.seconds and not s.cold for s in profile.transfers if s.direction == _DIRECTION[name]):
        found.append(
            f"{name}: some messages seem to arrive before they were sent, so the link is slower one way than the other "
            "or a clock was set: take the overheads of both directions together"
        )
    return found


_DIRECTION = {"uplink": "up", "downlink": "down"}


def _strays(profile: LinkProfile, one_way: OneWay, size: SizeSummary) -> bool:
    line_s = one_way.curve.at(size.size_bytes).value
    return abs(size.deviation) > _OFF_THE_LINE and abs(size.median_s.value - line_s) > profile.jitter_s


def _words(sizes: list[SizeSummary]) -> str:
    return ", ".join(
        f"{human(Quantity(value=size.size_bytes, unit='B'))} ({human(change(size.deviation))})" for size in sizes
    )


def _change_within(profile: LinkProfile, name: str, one_way: OneWay) -> float:
    """By which fraction of the line messages took longer in the second half than in the first."""
    import numpy as np

    warm = [s for s in profile.transfers if s.direction == _DIRECTION[name] and not s.cold]
    middle = np.median([sample.at_s for sample in warm])
    by_size = {size.size_bytes: size.median_s.value for size in one_way.sizes}
    halves = [
        [s.seconds / by_size[s.size_bytes] for s in warm if (s.at_s > middle) == late and by_size[s.size_bytes]]
        for late in (False, True)
    ]
    if not all(halves):
        return 0.0
    return float(np.median(halves[1]) - np.median(halves[0]))
