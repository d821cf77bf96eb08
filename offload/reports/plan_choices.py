"""The other choices in the report on a plan: next best cuts, servers, the front, other rates and loads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from offload.artifacts.plan import Option, Party, Plan
from offload.reports.document import Cell, Quantity, Section, Unit, change, human, interval, joules, seconds

_SHOWN_TIES = 3
_SHOWN_RANGES = 16
_NOTHING = "no cut keeps to the limits"
TARGET_WORDS = {"latency": "whole request", "energy": "energy", "throughput": "an answer every"}


def choices(plan: Plan) -> list[Section]:
    """The sections, those with nothing to tell left out."""
    sections = [_alternatives(plan), _servers(plan), _pareto(plan), *_policy(plan)]
    return [section for section in sections if section.rows or section.lines]


def party_words(party: Party) -> str:
    """A side of the plan in words."""
    if party.source == "assumed":
        words = f"{party.preset}, assumed from published peak rates"
    else:
        runtime = party.runtime
        words = f"{runtime.device}, {runtime.threads} thread{'' if runtime.threads == 1 else 's'}, {party.source}"
        words += f" ({party.name})" if party.name else ""
    slower = f", emulated {party.slowdown:g}× slower" if party.slowdown != 1 else ""
    return words + slower + (f", {party.load:g}× slower by other work" if party.load != 1 else "")


def target_cell(plan: Plan, option: Option) -> Quantity:
    """What the plan makes best, of one option."""
    cost = option.cost(plan.target)
    return joules(cost) if plan.target == "energy" else seconds(cost)


def _alternatives(plan: Plan) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for option in plan.alternatives:
        latency = option.breakdown.latency_s
        cells: list[Cell] = [option.words, seconds(latency), interval(latency, "s")]
        if plan.target != "latency":
            cells.append(target_cell(plan, option))
        if plan.codec_data is not None:
            cells.append("" if option.coding is None else f"{option.coding.accuracy_change.value:+.1%}")
        rows.append(tuple(cells))
    columns = ["the next best", "whole request", "95 % interval"]
    if plan.target != "latency":
        columns.append(TARGET_WORDS[plan.target])
    if plan.codec_data is not None:
        columns.append("accuracy")
    return Section(
        title=f"Alternatives ({plan.considered} cuts compared)",
        columns=tuple(columns),
        rows=tuple(rows),
        lines=(*_ties(plan), *_exactness(plan), *_paper(plan), *plan.notes),
    )


def _ties(plan: Plan) -> tuple[str, ...]:
    ties = plan.cannot_tell_apart
    if not ties:
        return ()
    more = f"; and {len(ties) - _SHOWN_TIES} more" if len(ties) > _SHOWN_TIES else ""
    return (f"Cannot be told apart from this plan: {'; '.join(ties[:_SHOWN_TIES])}{more}",)


def _exactness(plan: Plan) -> tuple[str, ...]:
    if not plan.exact:
        return ()
    kept = " that keeps to the limits" if limit_words(plan) else ""
    number = "" if plan.legal_cuts is None else f" of {human(Quantity(value=plan.legal_cuts, unit='count'))}"
    return (f"Exact: no legal cut{number}{kept} is better.",)


def _paper(plan: Plan) -> tuple[str, ...]:
    if plan.paper_choice is None:
        return ()
    paper, chosen = plan.paper_choice.cost(plan.target), plan.chosen.cost(plan.target)
    if paper is None or chosen is None or not chosen.value:
        return ()
    more = human(change(paper.value / chosen.value - 1))
    return (
        f"Neurosurgeon, which cuts between consecutive layers only, would {plan.paper_choice.words}: {more} "
        f"{'energy' if plan.target == 'energy' else 'time'}.",
    )


def limit_words(plan: Plan) -> list[str]:
    """What the plan had to keep to, in words."""
    limits = plan.limits
    quantities: tuple[tuple[str, float | None, Unit], ...] = (
        ("a request takes at most", limits.max_latency_s, "s"),
        ("a request draws at most", limits.max_energy_j, "J"),
        ("memory here at most", limits.device_memory_bytes, "B"),
        ("memory on the server at most", limits.server_memory_bytes, "B"),
    )
    words = [f"{what} {human(Quantity(value=most, unit=unit))}" for what, most, unit in quantities if most is not None]
    words += [f"{layer} runs {'here' if side == 'device' else 'there'}" for layer, side in limits.pins.items()]
    if limits.private_depth is not None:
        words.append(f"nothing above the output of {limits.private_depth} leaves")
    if limits.max_accuracy_loss is not None:
        words.append(f"accuracy is at most {limits.max_accuracy_loss:.1%} below the intact model's")
    if limits.min_accuracy is not None:
        words.append(f"accuracy is at least {limits.min_accuracy:.1%}")
    return words


def _servers(plan: Plan) -> Section:
    if not plan.other_servers:
        return Section(title="")
    taken = (plan.server, plan.chosen)
    rows = [
        (party_words(server), option.words, target_cell(plan, option)) for server, option in (taken, *_offers(plan))
    ]
    return Section(
        title="Servers, the one taken first",
        columns=("server", "best there", TARGET_WORDS[plan.target]),
        rows=tuple(rows),
    )


def _offers(plan: Plan) -> Iterable[tuple[Party, Option]]:
    return ((offer.server, offer.best) for offer in plan.other_servers)


def _pareto(plan: Plan) -> Section:
    rows = [
        (option.words, seconds(option.breakdown.latency_s), joules(option.breakdown.energy_j)) for option in plan.pareto
    ]
    return Section(
        title="Latency against energy: no option beats these in both",
        columns=("option", "whole request", "energy"),
        rows=tuple(rows),
    )


def _policy(plan: Plan) -> list[Section]:
    """What is best at other rates, at the load of the plan, and at other loads, at the rate of the plan."""
    policy, rate, load = plan.policy, plan.link.uplink_bps, plan.server.load
    if policy is None:
        return []
    rates = [
        (row.slowest_uplink_bps, row.fastest_uplink_bps, policy.choices[row.choice].words)
        for row in policy.by_uplink
        if row.least_server_load <= load <= row.most_server_load
    ]
    loads = [(row.least_server_load, row.most_server_load, policy.choices[row.choice].words) for row in policy.by_load]
    rate_ends, load_ends = (
        (policy.slowest_uplink_bps, policy.fastest_uplink_bps),
        (policy.least_server_load, policy.most_server_load),
    )
    return [
        _ranges("When the rate changes", "uplink", rates, rate_ends, rate, "bit/s", policy.notes),
        _ranges("When the server's load changes", "server load", loads, load_ends, load, "times"),
    ]


def _ranges(
    title: str,
    what: str,
    found: Sequence[tuple[float, float, str]],
    looked_at: tuple[float, float],
    own: float,
    unit: Unit,
    notes: tuple[str, ...] = (),
) -> Section:
    """The ranges with what is best there, or that limits leave nothing; of many, those around the plan's own value."""
    if not found:
        return Section(title=title, lines=notes)
    before, after = (looked_at[0], found[0][0], _NOTHING), (found[-1][1], looked_at[1], _NOTHING)
    every = [row for row in (before, *found, after) if row[0] < row[1]]
    here = next((number for number, row in enumerate(every) if own <= row[1]), len(every) - 1)
    first = max(0, min(here - _SHOWN_RANGES // 2, len(every) - _SHOWN_RANGES))
    shown = every[first : first + _SHOWN_RANGES]
    more = f"these are {len(shown)} of {len(every)} ranges; the plan's file has them all"
    return Section(
        title=title,
        columns=(what, "best"),
        rows=tuple((_range(low, high, looked_at, unit), words) for low, high, words in shown),
        lines=(*((more,) if len(shown) < len(every) else ()), *notes),
    )


def _range(low: float, high: float, ends: tuple[float, float], unit: Unit) -> str:
    """For example "from 12.3 Mbit/s up", where the range reaches the end of what was looked at."""
    start, end = (human(Quantity(value=value, unit=unit)) for value in (low, high))
    match (low <= ends[0], high >= ends[1]):
        case (True, True):
            return "always"
        case (True, False):
            return f"up to {end}"
        case (False, True):
            return f"from {start} up"
    return f"{start} to {end}"
