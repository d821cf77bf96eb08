"""The report on a plan: the cut in words, what it should cost, and what else was possible."""

from __future__ import annotations

from offload.artifacts.breakdown import Breakdown
from offload.artifacts.estimate import Estimate
from offload.artifacts.plan import Option, Party, Plan
from offload.reports.document import (
    Cell,
    Quantity,
    Report,
    Scalar,
    Section,
    estimate_record,
    human,
    interval,
    joules,
    seconds,
)

FIELD_WORDS = {
    "device_s": "compute on the device",
    "encode_s": "encode",
    "uplink_s": "uplink",
    "queue_s": "wait on the server",
    "decode_s": "decode",
    "server_s": "compute on the server",
    "downlink_s": "downlink",
    "latency_s": "whole request",
}
_SHOWN_TIES = 3


def plan_report(plan: Plan) -> Report:
    """The chosen cut beside device-only and server-only, the alternatives, and what all of it rests on."""
    sections = [_answer(plan), _costs(plan), _alternatives(plan), _inputs(plan)]
    if plan.warnings:
        sections.append(Section(title="Before you rely on this", lines=plan.warnings))
    return Report(
        title=f"Plan for {plan.model.name}, batch {plan.model.batch}: least {plan.target} ({plan.planner})",
        sections=tuple(sections),
        records=tuple(_record(role, option) for role, option in _options(plan)),
    )


def target_estimate(plan: Plan, option: Option) -> Estimate | None:
    """What the plan minimises, of one option; None when its energy is not known."""
    return option.breakdown.latency_s if plan.target == "latency" else option.breakdown.energy_j


def _answer(plan: Plan) -> Section:
    words = plan.chosen.words
    line = words[:1].upper() + words[1:] if plan.offloads else f"Do not offload: {words}"
    return Section(title=f"{line}.", lines=tuple(_gains(plan)))


def _gains(plan: Plan) -> list[str]:
    better = {"latency": "faster", "energy": "less energy"}[plan.target]
    gains = []
    chosen = target_estimate(plan, plan.chosen)
    for name, baseline in (("device-only", plan.device_only), ("server-only", plan.server_only)):
        other = target_estimate(plan, baseline)
        if baseline.place == plan.chosen.place or chosen is None or other is None or not chosen.value:
            continue
        ratio = human(Quantity(value=other.value / chosen.value, unit="times"))
        tie = ", but the intervals overlap: it cannot be told apart" if chosen.overlaps(other) else ""
        gains.append(f"{ratio} {better} than {name}{tie}")
    return gains


def _costs(plan: Plan) -> Section:
    options = (plan.chosen, plan.device_only, plan.server_only)
    rows: list[tuple[Cell, ...]] = []
    for field, words in FIELD_WORDS.items():
        chosen = getattr(plan.chosen.breakdown, field)
        rows.append(
            (
                words,
                seconds(chosen),
                interval(chosen, "s"),
                *(seconds(getattr(option.breakdown, field)) for option in options[1:]),
            )
        )
    for words, estimates in (
        ("energy, computing", [option.breakdown.device_j for option in options]),
        ("energy, sending", [option.breakdown.radio_j for option in options]),
        ("energy, both", [option.breakdown.energy_j for option in options]),
    ):
        if estimates[0] is not None:
            source = plan.chosen.breakdown.energy_source
            tagged = f"{words} ({source})" if source != "none" else words
            rows.append((tagged, joules(estimates[0]), interval(estimates[0], "J"), *map(joules, estimates[1:])))
    for words, sizes in (
        ("sent", [option.uplink_bytes for option in options]),
        ("received", [option.downlink_bytes for option in options]),
    ):
        first, *rest = (Quantity(value=size, unit="B") for size in sizes)
        rows.append((words, first, "", *rest))
    return Section(
        title="Predicted",
        columns=("", "this plan", "95 % interval", "device-only", "server-only"),
        rows=tuple(rows),
    )


def _alternatives(plan: Plan) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for option in plan.alternatives:
        costs = option.breakdown
        cells: list[Cell] = [option.words, seconds(costs.latency_s), interval(costs.latency_s, "s")]
        if plan.target == "energy":
            cells.append(joules(costs.energy_j))
        rows.append(tuple(cells))
    columns = ["the next best", "whole request", "95 % interval", *(["energy"] if plan.target == "energy" else [])]
    return Section(
        title=f"Alternatives ({plan.considered} cuts compared)",
        columns=tuple(columns),
        rows=tuple(rows),
        lines=_ties(plan),
    )


def _ties(plan: Plan) -> tuple[str, ...]:
    ties = plan.cannot_tell_apart
    if not ties:
        return ()
    more = f"; and {len(ties) - _SHOWN_TIES} more" if len(ties) > _SHOWN_TIES else ""
    return (f"Cannot be told apart from this plan: {'; '.join(ties[:_SHOWN_TIES])}{more}",)


def _inputs(plan: Plan) -> Section:
    link = plan.link
    up, down = (human(Quantity(value=rate, unit="bit/s")) for rate in (link.uplink_bps, link.downlink_bps))
    lines = [
        f"device: {_party(plan.device)}",
        f"server: {_party(plan.server)}",
        f"link: {up} up, {down} down, round trip {human(seconds(link.rtt_s))} ({link.source})",
        f"tensors cross: {plan.codec}",
    ]
    if plan.radio is not None:
        watts = human(Quantity(value=plan.radio.uplink_w(link.uplink_bps), unit="W"))
        lines.append(f"radio: {plan.radio.name}, {watts} while sending (modelled; {plan.radio.source})")
    return Section(title="Derived from", lines=tuple(lines))


def _party(party: Party) -> str:
    if party.source == "assumed":
        return f"{party.preset}, assumed from published peak rates"
    runtime = party.runtime
    slower = f", emulated {party.slowdown:g}× slower" if party.slowdown != 1 else ""
    return f"{runtime.device}, {runtime.threads} thread{'' if runtime.threads == 1 else 's'}, measured{slower}"


def _options(plan: Plan) -> list[tuple[str, Option]]:
    named = [("chosen", plan.chosen), ("device-only", plan.device_only), ("server-only", plan.server_only)]
    return named + [(f"alternative {number}", option) for number, option in enumerate(plan.alternatives, start=1)]


def _record(role: str, option: Option) -> dict[str, Scalar]:
    record: dict[str, Scalar] = {
        "option": role,
        "words": option.words,
        "place": option.place,
        "uplink_bytes": option.uplink_bytes,
        "downlink_bytes": option.downlink_bytes,
    }
    costs: Breakdown = option.breakdown
    for field in FIELD_WORDS:
        record |= estimate_record(field.removesuffix("_s"), "s", getattr(costs, field))
    for name, estimate in (("device", costs.device_j), ("radio", costs.radio_j), ("energy", costs.energy_j)):
        record |= estimate_record(name, "j", estimate)
    return record | {"energy_source": costs.energy_source}
