"""The report on a verification: predicted beside measured, and the verdict."""

from __future__ import annotations

from offload.artifacts.estimate import Estimate, median_estimate
from offload.artifacts.plan import Target
from offload.artifacts.verification import CHOSEN, Drift, LeftOut, Measurement, Verification
from offload.reports.document import (
    Cell,
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
from offload.reports.perf_analyzer import perf_analyzer_record
from offload.reports.plan import FIELD_WORDS
from offload.reports.regret import NAMES, regret_section, target_section
from offload.reports.wire import wire_record, wire_sections

_MUCH_WAITING = 0.02
_JOINED: tuple[tuple[str, str, Target], ...] = (("energy", "J", "energy"), ("period", "s", "throughput"))
"""What is joined from measured times: the columns' names, their unit, and the target."""


def verification_report(verification: Verification) -> Report:
    """What was predicted beside what was measured, field by field, with the errors and the verdict."""
    chosen = verification.chosen
    measured = [_record(role, one, verification) for role, one in verification.by_role().items()]
    sections = [
        _verdict(verification),
        Section(
            title=f"{chosen.option.words[:1].upper()}{chosen.option.words[1:]}",
            columns=("", "predicted", "95 % interval", "measured", "95 % interval", "error"),
            rows=tuple(_row(words, field, chosen) for field, words in FIELD_WORDS.items()),
        ),
        *wire_sections(verification),
        regret_section(verification),
        _options(verification),
        *target_section(verification),
        *_over_time(chosen),
        _circumstances(verification),
    ]
    if verification.warnings:
        sections.append(Section(title="Before you rely on this", lines=verification.warnings))
    return Report(
        title=f"Verification of {verification.model.name}, batch {verification.model.batch}: {verification.verdict}",
        sections=tuple(sections),
        records=(*measured, *(dict.fromkeys(measured[0]) | _left_out_record(one) for one in verification.left_out)),
    )


def relative_error(predicted: Estimate, measured: Estimate) -> float | None:
    """How far the measured value is from the predicted one, as a fraction of the latter; None where that is 0."""
    return measured.value / predicted.value - 1 if predicted.value else None


def _verdict(verification: Verification) -> Section:
    lines = [
        f"latency error {human(change(verification.chosen.error))}, accepted ±{human(fraction(verification.tolerance))}"
    ]
    if verification.corrected_error is not None:
        corrected = human(change(verification.corrected_error))
        lines.append(f"latency error with the whole model on each side as fast as it is now: {corrected}")
    lines += [
        f"{name} since it was profiled: reference kernel {human(change(drift.factor - 1))}"
        for name, drift in (("device", verification.device_drift), ("server", verification.server_drift))
        if isinstance(drift, Drift)
    ]
    lines.append(
        f"largest output error {verification.output_error:.2g} of the largest output, "
        f"accepted {verification.output_tolerance:.2g}"
    )
    waited = human(fraction(verification.waited))
    if verification.waited > _MUCH_WAITING:
        lines.append(f"other work took the device's cores for {waited} of a request")
    reason = ""
    if verification.verdict == "cannot tell" and verification.drift > verification.waited:
        reason = f", a machine has changed by {human(fraction(verification.drift))} since it was profiled"
    elif verification.verdict == "cannot tell":
        reason = f", other work took the device's cores for {waited} of a request"
    return Section(title=f"Verdict: {verification.verdict}{reason}", lines=tuple(lines))


def _row(words: str, field: str, measurement: Measurement) -> tuple[Cell, ...]:
    predicted: Estimate = getattr(measurement.option.breakdown, field)
    measured = measurement.measured[field]
    error = relative_error(predicted, measured)
    return (
        words,
        seconds(predicted),
        interval(predicted, "s"),
        seconds(measured),
        interval(measured, "s"),
        change(error),
    )


def _options(verification: Verification) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for role, measurement in verification.by_role().items():
        predicted = measurement.option.breakdown.latency_s
        rows.append(
            (
                NAMES.get(role, role),
                seconds(predicted),
                seconds(measurement.measured["latency_s"]),
                change(measurement.error),
                *(seconds(value) for value in measurement.percentiles_s.values()),
                Quantity(value=len(measurement.samples), unit="count"),
                "yes" if measurement.stable else "no",
            )
        )
    percentiles = [f"p{number}" for number in verification.chosen.percentiles_s]
    return Section(
        title="Whole request",
        columns=("", "predicted", "measured", "error", *percentiles, "requests", "stable"),
        rows=tuple(rows),
        lines=tuple(f"{one.role}: not measured, {_why(one)}" for one in verification.left_out)
        + tuple(f"{role}: {one.option.words}" for role, one in verification.by_role().items() if _is_other(role)),
        expendable=("p95", "p90", "stable", "requests"),
    )


def _is_other(role: str) -> bool:
    """Whether a role does not say how the model is divided."""
    return role.startswith("alternative")


def _why(left_out: LeftOut) -> str:
    if left_out.interrupted:
        return "the run was interrupted before it was asked often enough"
    return (
        f"one request takes {human(seconds(left_out.request_s))}, and the run had "
        f"{human(seconds(left_out.available_s))} to ask all the others a few times: raise --duration"
    )


def _over_time(chosen: Measurement) -> tuple[Section, ...]:
    """The errors of each field by thirds of the run; nothing when there are too few requests for that."""
    trend = chosen.trend
    if trend is None:
        return ()
    titles = [
        f"{name} third" if window.started_s is None else f"from {human(seconds(window.started_s))}"
        for name, window in zip(("first", "second", "last"), chosen.windows, strict=True)
    ]
    rows: list[tuple[Cell, ...]] = []
    for field, words in FIELD_WORDS.items():
        predicted: Estimate = getattr(chosen.option.breakdown, field)
        measured = [window.measured[field] for window in chosen.windows]
        if predicted.value or any(one.value for one in measured):
            errors = [relative_error(predicted, one) for one in measured]
            shown = [
                seconds(one) if error is None else change(error) for one, error in zip(measured, errors, strict=True)
            ]
            rows.append((words, seconds(predicted), *shown))
    drifted = "changed during the run" if trend.low > 0 or trend.high < 0 else "did not change beyond chance"
    line = (
        f"the latency {drifted}: last third against first {human(change(trend.value))}, "
        f"95 % interval {human(change(trend.low))} – {human(change(trend.high))}"
    )
    return (Section(title="Errors over time", columns=("", "predicted", *titles), rows=tuple(rows), lines=(line,)),)


def _circumstances(verification: Verification) -> Section:
    lines = [
        f"server: {verification.server}",
        f"link: {verification.link}; uplink and downlink told apart by {verification.network_split}",
    ]
    if verification.tail_bytes:
        size = human(Quantity(value=verification.tail_bytes, unit="B"))
        lines.append(f"upload of the server's part: {size} in {human(seconds(verification.upload_s))}")
    return Section(title="Measured with", lines=tuple(lines))


def _record(role: str, measurement: Measurement, verification: Verification) -> dict[str, Scalar]:
    """One option: perf_analyzer's columns, then what was predicted and measured."""
    row: dict[str, Scalar] = {
        **perf_analyzer_record(measurement, batch=verification.model.batch),
        "role": role,
        "words": measurement.option.words,
        "requests": len(measurement.samples),
        "stable": int(measurement.stable),
        "left_out_because": None,
        **wire_record(measurement),
    }
    for field in FIELD_WORDS:
        predicted: Estimate = getattr(measurement.option.breakdown, field)
        measured = measurement.measured[field]
        name = field.removesuffix("_s")
        row |= estimate_record(f"{name}_predicted", "s", predicted)
        row |= estimate_record(f"{name}_measured", "s", measured)
        row[f"{name}_error_fraction"] = relative_error(predicted, measured)
    for name, unit, target in _JOINED:
        costs = verification.costs(measurement, target)
        row |= estimate_record(f"{name}_predicted", unit, measurement.option.cost(target))
        row |= estimate_record(f"{name}_from_measured_times", unit, None if costs is None else median_estimate(costs))
    found = verification.target_regret if role == CHOSEN else None
    row |= estimate_record("regret", "fraction", found.fraction if found is not None and found.over else None)
    return row


def _left_out_record(one: LeftOut) -> dict[str, Scalar]:
    """What there is to say of an option that was not measured."""
    row: dict[str, Scalar] = {
        "role": one.role,
        "words": one.option.words,
        "requests": 0,
        "left_out_because": _why(one),
    }
    for field in FIELD_WORDS:
        row |= estimate_record(f"{field.removesuffix('_s')}_predicted", "s", getattr(one.option.breakdown, field))
    for name, unit, target in _JOINED:
        row |= estimate_record(f"{name}_predicted", unit, one.option.cost(target))
    return row
