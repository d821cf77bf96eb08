"""Reasons to trust a profile less, each with its remedy."""

from __future__ import annotations

from offload.artifacts.profile import Profile
from offload.reports.document import change, fraction, human

_MANY_DIRTY = 0.1
_WIDE_GAP = 0.25
_OWN_LOAD = 0.5


def profile_warnings(profile: Profile) -> tuple[str, ...]:
    """What a reader should know before relying on a profile; empty when all is well."""
    if profile.source == "assumed":
        return ("assumed from published peak rates, not measured: profile on the machine itself",)
    found = []
    rounds, dirty = len(profile.whole_s), len(profile.dirty_rounds)
    if dirty == rounds:
        found.append("every round was disturbed, so none was left out: stop other programs and profile again")
    elif dirty > _MANY_DIRTY * rounds:
        found.append(f"{dirty} of {rounds} rounds were disturbed: stop other programs, or raise --max-time")
    if profile.stopped == "time cap":
        reached = profile.precision_reached
        wide = f"the interval is still ±{human(fraction(reached))}" if reached is not None else "the interval is wide"
        found.append(f"the time cap came before the asked precision, {wide}: raise --max-time or accept --precision")
    if profile.stopped == "interrupted":
        found.append("measuring was interrupted: profile again for a narrower interval")
    load = profile.environment.load_average
    if load is not None and load > profile.runtime.threads + _OWN_LOAD:
        found.append(
            f"load average {load:g} with {profile.runtime.threads} of our own threads: other programs ran; "
            "stop them and profile again"
        )
    if abs(profile.raw_gap) > _WIDE_GAP:
        found.append(
            f"the raw layer sum is {human(change(profile.raw_gap))} off the whole: the whole's time holds, the "
            "layers' shares are rough; fewer --threads or a larger --batch narrow the gap"
        )
    share = _share_of_other(profile)
    if share > 0:
        found.append(
            f"{human(fraction(share))} of the time is in layers of no known kind: measured, but not predictable"
        )
    if profile.model.untrained:
        found.append(
            "untrained weights: times are real, the model's answers mean nothing; give --weights for real ones"
        )
    return tuple(found)


def _share_of_other(profile: Profile) -> float:
    layers = profile.graph.layers
    times = profile.group_samples_s.mean(axis=0)
    other = [n for n, group in enumerate(profile.groups) if all(layers[i].kind == "other" for i in group.layers)]
    return float(times[other].sum() / times.sum()) if other else 0.0
