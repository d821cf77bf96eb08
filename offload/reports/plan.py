"""The report on a plan: the cut in words, what it should cost, and what else was possible."""

from __future__ import annotations

from collections.abc import Sequence

from offload.artifacts.breakdown import Breakdown
from offload.artifacts.estimate import Estimate
from offload.artifacts.plan import Option, Place, Plan, Radio, requests_per_charge
from offload.reports.document import (
    Cell,
    Quantity,
    Report,
    Scalar,
    Section,
    Unit,
    estimate_record,
    human,
    interval,
    seconds,
)
from offload.reports.plan_choices import choices, limit_words, party_words

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


def plan_report(plan: Plan) -> Report:
    """The chosen cut beside device-only and server-only, the other choices, and what all of it rests on."""
    sections = [_answer(plan), _costs(plan), *choices(plan), _inputs(plan)]
    if plan.warnings:
        sections.append(Section(title="Before you rely on this", lines=plan.warnings))
    best = {"latency": "least latency", "energy": "least energy", "throughput": "most requests per second"}[plan.target]
    return Report(
        title=f"Plan for {plan.model.name}, batch {plan.model.batch}: {best} ({plan.planner})",
        sections=tuple(sections),
        records=tuple(_record(plan, role, option) for role, option in _options(plan)),
    )


def _answer(plan: Plan) -> Section:
    words = plan.chosen.words
    line = words[:1].upper() + words[1:] if plan.offloads else f"Do not offload: {words}"
    lines = _gains(plan)
    if plan.offloads and plan.do_not_offload:
        lines.append(f"Do not offload unless you must: it does not beat device-only{_ruled_out(plan, 'device')}")
    return Section(title=f"{line}.", lines=(*lines, *_cold_start(plan)))


def _gains(plan: Plan) -> list[str]:
    better, worse = {
        "latency": ("faster", "slower"),
        "energy": ("less energy", "more energy"),
        "throughput": ("more requests per second", "fewer requests per second"),
    }[plan.target]
    gains = []
    chosen = plan.chosen.cost(plan.target)
    for name, baseline in (("device-only", plan.device_only), ("server-only", plan.server_only)):
        other = baseline.cost(plan.target)
        if baseline.place == plan.chosen.place or chosen is None or other is None or not chosen.value * other.value:
            continue
        ratio = other.value / chosen.value
        compared = f"{human(Quantity(value=max(ratio, 1 / ratio), unit='times'))} {better if ratio >= 1 else worse}"
        tie = ", but the intervals overlap: it cannot be told apart" if chosen.overlaps(other) else ""
        gains.append(f"{compared} than {name}{tie}{_ruled_out(plan, baseline.place)}")
    return gains


def _ruled_out(plan: Plan, place: Place) -> str:
    return ", which the limits rule out" if place in plan.ruled_out else ""


def _cold_start(plan: Plan) -> tuple[str, ...]:
    cold = plan.cold_start
    if cold is None:
        return ()
    size = human(Quantity(value=cold.tail_bytes, unit="B"))
    pays = "which no request wins back" if cold.pays_after is None else f"won back after {_requests(cold.pays_after)}"
    return (f"before the first request the server's part goes up: {size} in {human(seconds(cold.upload_s))}, {pays}",)


def _requests(number: int) -> str:
    return "1 request" if number == 1 else f"{human(Quantity(value=number, unit='count'))} requests"


def _costs(plan: Plan) -> Section:
    options = (plan.chosen, plan.device_only, plan.server_only)
    rows: list[tuple[Cell, ...]] = []
    for field, words in FIELD_WORDS.items():
        rows.append(_cost_row(words, "s", [getattr(option.breakdown, field) for option in options]))
    if plan.target == "throughput":
        rows.append(_cost_row("pipelined, an answer every", "s", [option.breakdown.period_s for option in options]))
    source = plan.chosen.breakdown.energy_source
    for words, field in (
        (f"energy, computing ({source})", "device_j"),
        ("energy, sending (modelled)", "radio_j"),
        ("energy, idle meanwhile (modelled)", "idle_j"),
        ("energy, receiving (modelled)", "download_j"),
        ("energy, all", "energy_j"),
    ):
        estimates = [getattr(option.breakdown, field) for option in options]
        if any(estimate is not None for estimate in estimates):
            rows.append(_cost_row(words, "J", estimates))
    if plan.battery_j is not None:
        battery = human(Quantity(value=plan.battery_j, unit="J"))
        charges = [requests_per_charge(plan.battery_j, option) for option in options]
        rows.append(_cost_row(f"requests on a charge of {battery}", "count", charges))
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


def _crossing(plan: Plan) -> str:
    coding = plan.chosen.coding
    if coding is None:
        return "as they are"
    change, size = coding.accuracy_change, human(Quantity(value=coding.payload_bytes.value, unit="B"))
    return (
        f"as {coding.method} ({coding.codec}), {size} on average, header included; accuracy {coding.accuracy:.1%}, "
        f"{change.value:+.1%} ({change.low:+.1%} – {change.high:+.1%}) against the intact model on {plan.codec_data}"
    )


def _cost_row(words: str, unit: Unit, estimates: Sequence[Estimate | None]) -> tuple[Cell, ...]:
    first, *rest = (Quantity(value=None if each is None else each.value, unit=unit) for each in estimates)
    return (words, first, interval(estimates[0], unit), *rest)


def _inputs(plan: Plan) -> Section:
    link = plan.link
    up, down = (human(Quantity(value=rate, unit="bit/s")) for rate in (link.uplink_bps, link.downlink_bps))
    lines = [
        f"device: {party_words(plan.device)}",
        f"server: {party_words(plan.server)}",
        f"link: {up} up, {down} down, round trip {human(seconds(link.rtt_s))} ({link.source})",
        f"tensors cross: {_crossing(plan)}",
    ]
    if plan.radio is not None:
        lines.append(_radio(plan, plan.radio))
    if plan.paper_energy:
        lines.append("energy: computing and sending only, as Neurosurgeon's authors count; not waiting, not receiving")
    limits = limit_words(plan)
    if limits:
        lines.append(f"limits: {'; '.join(limits)}")
    return Section(title="Derived from", lines=tuple(lines))


def _radio(plan: Plan, radio: Radio) -> str:
    sending = human(Quantity(value=radio.uplink_w(plan.link.uplink_bps), unit="W"))
    receiving = human(Quantity(value=radio.downlink_w(plan.link.downlink_bps), unit="W"))
    whose = "of the whole device" if radio.whole_device else "on top of the idle power"
    return f"radio: {radio.name}, {sending} while sending, {receiving} receiving, {whose} (modelled; {radio.source})"


def _options(plan: Plan) -> list[tuple[str, Option]]:
    named = [("chosen", plan.chosen), ("device-only", plan.device_only), ("server-only", plan.server_only)]
    named += [(f"alternative {number}", option) for number, option in enumerate(plan.alternatives, start=1)]
    if plan.paper_choice is not None:
        named.append(("neurosurgeon", plan.paper_choice))
    named += [(f"server {party_words(offer.server)}", offer.best) for offer in plan.other_servers]
    return named + [(f"pareto {number}", option) for number, option in enumerate(plan.pareto, start=1)]


def _record(plan: Plan, role: str, option: Option) -> dict[str, Scalar]:
    record: dict[str, Scalar] = {
        "option": role,
        "words": option.words,
        "place": option.place,
        "uplink_bytes": option.uplink_bytes,
        "downlink_bytes": option.downlink_bytes,
        "codec": option.codec,
        "accuracy": None if option.coding is None else option.coding.accuracy,
    }
    costs: Breakdown = option.breakdown
    for field in (*FIELD_WORDS, "period_s"):
        record |= estimate_record(field.removesuffix("_s"), "s", getattr(costs, field))
    for field in ("device_j", "radio_j", "idle_j", "download_j", "energy_j"):
        record |= estimate_record(field.removesuffix("_j"), "j", getattr(costs, field))
    charge = None if plan.battery_j is None else requests_per_charge(plan.battery_j, option)
    return record | {"energy_source": costs.energy_source} | estimate_record("charge", "requests", charge)
