"""The report on a verification: predicted beside measured, and the verdict."""

from __future__ import annotations

from offload.artifacts.estimate import Estimate
from offload.artifacts.verification import Drift, Measurement, Verification
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
from offload.reports.plan import FIELD_WORDS

_NAMES = {"chosen": "this plan", "device": "device-only", "server": "server-only"}


def verification_report(verification: Verification) -> Report:
    """What was predicted beside what was measured, field by field, with the errors and the verdict."""
    chosen = verification.chosen
    sections = [
        _verdict(verification),
        Section(
            title=f"{chosen.option.words[:1].upper()}{chosen.option.words[1:]}",
            columns=("", "predicted", "95 % interval", "measured", "95 % interval", "error"),
            rows=tuple(_row(words, field, chosen) for field, words in FIELD_WORDS.items()),
        ),
        _options(verification),
        _circumstances(verification),
    ]
    if verification.warnings:
        sections.append(Section(title="Before you rely on this", lines=verification.warnings))
    return Report(
        title=f"Verification of {verification.model.name}, batch {verification.model.batch}: {verification.verdict}",
        sections=tuple(sections),
        records=tuple(
            _record(_NAMES[place], field, measurement)
            for place, measurement in verification.by_place().items()
            for field in FIELD_WORDS
        ),
    )


def relative_error(predicted: Estimate, measured: Estimate) -> float | None:
    """How far the measured value is from the predicted one, as a fraction of the latter; None where that is 0."""
    return measured.value / predicted.value - 1 if predicted.value else None


def _verdict(verification: Verification) -> Section:
    lines = [
        f"latency error {human(change(verification.chosen.error))}, accepted ±{human(fraction(verification.tolerance))}"
    ]
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
    reason = ""
    if verification.verdict == "cannot tell":
        reason = f", a machine has changed by {human(fraction(verification.drift))} since it was profiled"
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
    for place, measurement in verification.by_place().items():
        predicted = measurement.option.breakdown.latency_s
        rows.append(
            (
                _NAMES[place],
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
        expendable=("p95", "p90", "stable", "requests"),
    )


def _circumstances(verification: Verification) -> Section:
    lines = [
        f"server: {verification.server}",
        f"link: {verification.link}; uplink and downlink told apart by {verification.network_split}",
    ]
    if verification.tail_bytes:
        size = human(Quantity(value=verification.tail_bytes, unit="B"))
        lines.append(f"upload of the server's part: {size} in {human(seconds(verification.upload_s))}")
    return Section(title="Measured with", lines=tuple(lines))


def _record(option: str, field: str, measurement: Measurement) -> dict[str, Scalar]:
    predicted: Estimate = getattr(measurement.option.breakdown, field)
    measured = measurement.measured[field]
    return {
        "option": option,
        "field": field.removesuffix("_s"),
        **estimate_record("predicted", "s", predicted),
        **estimate_record("measured", "s", measured),
        "error_fraction": relative_error(predicted, measured),
    }
