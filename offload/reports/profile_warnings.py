"""Reasons to trust a profile less, each with its remedy."""

from __future__ import annotations

import statistics

from offload.artifacts.profile import Profile
from offload.reports.document import change, fraction, human

_MANY_DIRTY = 0.1
_WIDE_GAP = 0.25
_OWN_LOAD = 0.5
_FEW_PERIODS = 20
_FAR_APART = 0.1
_WORTH_SAYING = 0.005
_FEW_NETWORKS = 100


def profile_warnings(profile: Profile) -> tuple[str, ...]:
    """What a reader should know before relying on a profile; empty when all is well."""
    if profile.source == "assumed":
        return _assumed_warnings(profile)
    if profile.source == "imported":
        return _imported_warnings(profile)
    if profile.source == "predicted":
        return _predicted_warnings(profile)
    found = []
    rounds, dirty = len(profile.whole_s), len(profile.dirty_rounds)
    if dirty and len(profile.clean_rounds) == rounds:
        those = "every round was" if dirty == rounds else f"{dirty} of {rounds} rounds were"
        found.append(f"{those} disturbed, so none was left out: stop other programs and profile again")
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
    whole_measured = profile.stopped != "interrupted" and not profile.runtime.compiled
    if whole_measured and not profile.divided and len(profile.groups) > 1:
        found.append(
            "what dividing the model costs beyond its layers was not measured: plans take it for nothing; "
            "raise --max-time"
        )
    found += _energy_warnings(profile)
    if profile.runtime.compiled:
        found.append(
            "the whole was compiled, its layers were timed uncompiled: the whole's time holds, the layers' shares are "
            "rough and a part may take another time than its layers; leave out --compile to plan a cut"
        )
    if profile.runtime.name == "onnxruntime" and profile.runtime.device.startswith("cuda"):
        found.append(
            "on a GPU ONNX Runtime's profiler tells when kernels were launched, not how long they ran: the whole's "
            "time holds, the layers' shares are rough; --runtime torch times each kernel"
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


def _assumed_warnings(profile: Profile) -> tuple[str, ...]:
    found = ["assumed from published peak rates, not measured: profile on the machine itself"]
    if profile.power_w is not None:
        found.append(
            f"energy is {profile.power_w:g} W times time, the same power for every layer; without --power it is the "
            "preset's published one"
        )
    return tuple(found)


def _predicted_warnings(profile: Profile) -> tuple[str, ...]:
    found = ["predicted from fitted costs, the model was not run: `offload profile` without --predict measures"]
    unknown, beyond = profile.unknown_share, profile.beyond_share
    if unknown:
        kinds = dict.fromkeys(
            kind
            for group, kind in zip(profile.groups, profile.group_kinds, strict=True)
            if group.prediction is not None and group.prediction.form == "unknown"
        )
        found.append(
            f"{human(fraction(unknown))} of the time is in layers with kernels of no sampled kind "
            f"({', '.join(kinds)}): a guess; fit again with a larger --budget, or profile the model itself"
        )
    if beyond:
        found.append(
            f"{human(fraction(beyond))} of the time is in layers larger or smaller than any that was sampled: told by "
            "the roofline's trend, with intervals twice as wide; profile the model itself if that matters"
        )
    fitted = profile.fitted_costs
    if fitted is not None:
        runtime = profile.runtime
        if fitted.runtime_version != runtime.version:
            found.append(
                f"the costs were fitted under {runtime.name} {fitted.runtime_version}, {runtime.version} is installed "
                "and may execute the model in another way: fit again"
            )
        if fitted.processor != profile.environment.processor:
            found.append(
                f"the costs are of another processor ({fitted.processor}); which kernels it would execute is taken "
                "from this one: predict on the machine itself"
            )
        if fitted.networks < _FEW_NETWORKS:
            found.append(f"the costs were fitted on {fitted.networks} networks only: fit again with a larger --budget")
    if profile.energy_source == "modelled":
        found.append("energy is power times time, not measured")
    if profile.model.untrained:
        found.append(
            "untrained weights: the times hold, the model's answers mean nothing; give --weights for real ones"
        )
    return tuple(found)


def _imported_warnings(profile: Profile) -> tuple[str, ...]:
    runtime = profile.runtime
    found = [
        f"imported from {profile.imported_from}: another tool's times, not measured again here; "
        "`offload profile` on that machine measures the whole without a profiler",
        "a trace does not tell what dividing the model costs beyond its layers, nor the serving protocol: plans take "
        "both for nothing",
    ]
    if abs(profile.raw_gap) > _WIDE_GAP and profile.whole_declared:
        found.append(
            f"the sum of the layers is {human(change(profile.raw_gap))} off the declared whole: the whole's time "
            "holds, the layers' shares are rough"
        )
    elif abs(profile.raw_gap) > _WIDE_GAP:
        found.append(_gap_of_a_trace(profile))
    if profile.unmatched_share > _WORTH_SAYING:
        found.append(
            f"{human(fraction(profile.unmatched_share))} of the trace's time names no layer of the model and is "
            "counted with the layer before it"
        )
    if len(profile.whole_s) == 1:
        found.append("one sample a layer, so no interval is known: plans from it look surer than they are")
    if runtime.name == "tensorrt":
        found.append(
            f"the trace does not tell the engine's precision: {profile.model.precision} is the model's, --fp16 and "
            "--int8 engines are faster than a server that runs the model as it is"
        )
    if runtime.name == "onnxruntime" and runtime.device.startswith("cuda"):
        found.append(
            "where ONNX Runtime was built without CUPTI its trace tells when a GPU's kernels were launched, not how "
            "long they ran: compare the sum with the latency you know"
        )
    return tuple(found)


def _gap_of_a_trace(profile: Profile) -> str:
    """Why the layers' medians do not add up to the whole: they vary, or the tool's profiler took the time."""
    off = human(change(profile.raw_gap))
    run_s = statistics.median(sum(group.samples_s[run] for group in profile.groups) for run in profile.clean_rounds)
    if abs(profile.raw_sum_s - run_s) > _WIDE_GAP * run_s:
        return (
            f"the sum of the layers' medians is {off} off the whole, as layers' times differ from run to run: plans "
            "take the medians; record the trace again while nothing else runs there, or give --total"
        )
    return (
        f"the sum of the layers is {off} off the whole that the tool tells, which holds its profiler's own cost: "
        "plans take the layers"
    )


def _energy_warnings(profile: Profile) -> list[str]:
    energy = profile.energy
    if profile.energy_lost is not None:
        return [f"no energy: {profile.energy_lost}; the times hold; profile again, or declare --power"]
    if energy is None:
        modelled = "energy is the declared power times time, not measured: use --meter where the machine has one"
        return [modelled] if profile.power_w is not None else []
    found = []
    shortest = min(window.seconds for window in (*energy.idle, *energy.whole)) / energy.sensor_period_s
    if shortest < _FEW_PERIODS:
        found.append(f"an energy window was only {shortest:.0f} sensor periods long: raise --max-time")
    if not energy.groups:
        found.append(
            "there was no time to meter layers by themselves: their energy is the whole's by their time; "
            "raise --max-time"
        )
    if energy.above_idle_j.low <= 0:
        found.append("the energy cannot be told from idle: stop other programs, or raise --batch or --threads")
    if energy.cross_check is not None and abs(energy.cross_check) > _FAR_APART:
        found.append(
            f"integrated power is {human(change(energy.cross_check))} off the energy counter: one of the two sensors "
            "is wrong by that much; check with a wall meter"
        )
    return found


def _share_of_other(profile: Profile) -> float:
    layers = profile.graph.layers
    times = profile.group_samples_s.mean(axis=0)
    other = [n for n, group in enumerate(profile.groups) if all(layers[i].kind == "other" for i in group.layers)]
    return float(times[other].sum() / times.sum()) if other else 0.0
