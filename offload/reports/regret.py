"""How the chosen cut compares with the others that were measured, in what the plan was to make best."""

from __future__ import annotations

from offload.artifacts.estimate import median_estimate
from offload.artifacts.plan import Target
from offload.artifacts.regret import Regret
from offload.artifacts.verification import CHOSEN, Verification
from offload.reports.document import Cell, Section, Unit, change, fraction, human, interval, joules, seconds

NAMES = {CHOSEN: "this plan"}
_COSTS: dict[Target, str] = {
    "latency": "latency",
    "energy": "energy",
    "throughput": "time between answers",
}
_UNITS: dict[Target, Unit] = {"latency": "s", "energy": "J", "throughput": "s"}
_MODELLED: dict[Target, tuple[str, ...]] = {
    "latency": (),
    "energy": (
        "modelled: the joules of each request are joined from its measured times and the plan's powers, which count as "
        "exact; no meter read these requests",
    ),
    "throughput": (
        "modelled: the time that the slowest of device, uplink, server and downlink was occupied by each request, less "
        "the time under way; requests were made one at a time, and none was pipelined",
    ),
}


def regret_section(verification: Verification) -> Section:
    """The regret of the plan's target; where that cannot be told, of the latency."""
    target, found = verification.target, verification.target_regret
    if found is None:
        untold = f"the plan's target is {target}: its regret cannot be told, {_why_not(verification)}"
        return _section(verification, "latency", verification.regret, (untold,))
    notes = _MODELLED[target]
    if target != "latency" and found.over:
        latency = verification.regret
        words = f"of the latency, which is measured, the regret is {human(fraction(latency.fraction.value))}"
        notes = (*notes, f"{words}, 95 % interval {_ends(latency)}: what the plan may have given up for its target")
    return _section(verification, target, found, notes)


def target_section(verification: Verification) -> tuple[Section, ...]:
    """What was predicted of the plan's target beside what the measured times come to; nothing for the latency."""
    target, rows = verification.target, []
    if target == "latency" or verification.target_regret is None:
        return ()
    for role, measurement in verification.by_role().items():
        predicted, costs = measurement.option.cost(target), verification.costs(measurement, target)
        if predicted is None or costs is None:
            return ()
        found, shown = median_estimate(costs), joules if target == "energy" else seconds
        error = found.value / predicted.value - 1 if predicted.value else None
        cells: tuple[Cell, ...] = (
            NAMES.get(role, role),
            shown(predicted),
            interval(predicted, _UNITS[target]),
            shown(found),
            interval(found, _UNITS[target]),
            change(error),
        )
        rows.append(cells)
    what = "Energy of a request" if target == "energy" else "An answer every, were requests pipelined"
    columns = ("", "predicted", "95 % interval", "from measured times", "95 % interval", "error")
    return (Section(title=f"{what} (modelled)", columns=columns, rows=tuple(rows)),)


def _section(verification: Verification, target: Target, found: Regret, notes: tuple[str, ...]) -> Section:
    if not found.over:
        return Section(title="Regret: nothing else was measured", lines=_not_compared(verification))
    cost = _COSTS[target]
    if found.best == CHOSEN:
        lines = [f"no measured option has a smaller median {cost} than this plan"]
    else:
        words = verification.by_role()[found.best].option.words
        lines = [f"the smallest median {cost} is that of {found.best}: {words}"]
        lines.append(
            "the difference is established"
            if found.established
            else "the difference is not established: the interval holds 0"
        )
    lines.append(f"95 % interval {_ends(found)}, over: {', '.join(found.over)}")
    lines.append(f"regret: median {cost} of this plan over the smallest median of a measured option, less 1")
    of_what = "" if target == verification.target == "latency" else f" of the {cost}"
    modelled = ", modelled" if _MODELLED[target] else ""
    return Section(
        title=f"Regret{of_what}: {human(fraction(found.fraction.value))}{modelled}",
        lines=(*lines, *notes, *_not_compared(verification)),
    )


def _why_not(verification: Verification) -> str:
    if verification.target == "throughput" and verification.network_split != "server clock":
        return "because the server does not tell when it had each request"
    return "because the file does not hold what the plan charged"


def _ends(found: Regret) -> str:
    return f"{human(fraction(found.fraction.low))} – {human(fraction(found.fraction.high))}"


def _not_compared(verification: Verification) -> tuple[str, ...]:
    roles = ", ".join(one.role for one in verification.left_out)
    forbidden = ", ".join(verification.maybe_forbidden)
    lines = [f"not compared with: {roles}"] if roles else []
    if forbidden:
        lines.append(f"not compared with {forbidden}: the plan's limits rule that out")
    return tuple(lines)
