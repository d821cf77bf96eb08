"""Reasons to trust fitted costs less, each with its remedy."""

from __future__ import annotations

from offload.artifacts.costs import Costs, FamilyCosts
from offload.environment import package_versions
from offload.reports.document import fraction, human

_FEW_SAMPLES = 40
_DIRTY = 0.1
_STILL_FALLING = 0.1
_WORTH_LESS = 0.005
_HOLDS = (0.8, 0.97)
_WHOLE_STRAYS = 0.25


def reference_spread(costs: Costs) -> float:
    """How far the reference kernel's time strayed: from the tenth to the ninetieth percentile, over the median."""
    times = sorted(costs.reference_s)
    if len(times) < 10:
        return 0.0
    tenth = len(times) // 10
    return (times[-1 - tenth] - times[tenth]) / times[len(times) // 2]


def costs_warnings(costs: Costs) -> tuple[str, ...]:
    """What a reader should know before relying on fitted costs; empty when all is well."""
    found = []
    all_measured = costs.stopped == "all networks"
    more = "there are no more networks to measure" if all_measured else "go on with a larger --budget"
    if costs.stopped == "interrupted":
        found.append("measuring was interrupted: the same command goes on where it stopped")
    few = [family for family in costs.families if family.samples < _FEW_SAMPLES]
    if few:
        named = ", ".join(f"{family.family} ({family.samples})" for family in few)
        found.append(f"few kernels, so rough errors and intervals, of {named}: {more}")
    falling = [family.family for family in costs.families if _falling(family)]
    if falling and not all_measured:
        found.append(f"more networks still lower the error of {', '.join(falling)}: {more}")
    off = [
        f"{family.family} ({human(fraction(family.coverage))})"
        for family in costs.families
        if family.samples >= _FEW_SAMPLES and not _HOLDS[0] <= family.coverage <= _HOLDS[1]
    ]
    if off:
        found.append(f"90 % intervals hold for another share of {', '.join(off)}: take them as rough")
    spread = reference_spread(costs)
    if spread > _DIRTY:
        found.append(
            f"the machine was not quiet: a fixed kernel's time strayed by {human(fraction(spread))} meanwhile; stop "
            "other programs and fit with --restart"
        )
    if costs.shared_error > _WHOLE_STRAYS:
        found.append(
            f"whole networks stray by up to {human(fraction(costs.shared_error))} beside their kernels: profile a "
            "model itself where that is too much"
        )
    installed = package_versions((costs.runtime.name,)).get(costs.runtime.name)
    if installed is not None and installed != costs.runtime.version:
        found.append(
            f"fitted under {costs.runtime.name} {costs.runtime.version}, {installed} is installed: fit again to "
            "predict what it takes"
        )
    if costs.power_source is not None:
        found.append("the power of each kind is modelled from whole networks' power, not read kernel by kernel")
    elif costs.power_w is not None:
        found.append("energy is the declared power times time, the same for every kind: use --meter where there is one")
    return tuple(found)


def _falling(family: FamilyCosts) -> bool:
    """Whether the last doubling of networks still made it clearly better."""
    if len(family.learning) < 2:
        return False
    before, after = family.learning[-2].median_error, family.learning[-1].median_error
    return before - after > max(_STILL_FALLING * before, _WORTH_LESS)
