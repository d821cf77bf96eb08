"""What crossed behind codecs in a verification: accuracy over the wire, sizes, and decoding beside the server."""

from __future__ import annotations

from statistics import mean, median

from offload.artifacts.verification import Measurement, Verification
from offload.artifacts.wire_accuracy import WireAccuracy, beyond_promise, promised_change
from offload.reports.document import Cell, Quantity, Scalar, Section, change, estimate_record, human, interval, seconds
from offload.reports.regret import NAMES


def wire_sections(verification: Verification) -> tuple[Section, ...]:
    """Accuracy and sizes of the options that were asked labelled examples, and what decoding was measured by."""
    measured = verification.by_role()
    told = {role: one for role, one in measured.items() if one.accuracy is not None}
    sections = []
    if told:
        first = next(one.accuracy for one in told.values() if one.accuracy is not None)
        sections.append(
            Section(
                title=f"Accuracy over the wire, {len(first.errors)} examples of {first.data} ({first.task})",
                columns=("", "intact", "measured", "change", "95 % interval", "promised", "95 % interval"),
                rows=tuple(_accuracy_row(role, one, one.accuracy) for role, one in told.items() if one.accuracy),
                lines=tuple(line for role, one in told.items() if (line := _broken(role, one))),
            )
        )
    coded = {role: one for role, one in measured.items() if one.option.coding is not None}
    if coded:
        lines = [_decoding(role, one) for role, one in coded.items() if one.decoder_s is not None]
        sections.append(
            Section(
                title="Payloads",
                columns=("", "codec", "predicted", "95 % interval", "measured", "decoding"),
                rows=tuple(_payload_row(role, one) for role, one in coded.items()),
                lines=tuple(lines),
            )
        )
    return tuple(sections)


def _accuracy_row(role: str, measurement: Measurement, accuracy: WireAccuracy) -> tuple[Cell, ...]:
    promised = promised_change(measurement.option)
    return (
        NAMES.get(role, role),
        f"{accuracy.intact_accuracy:.1%}",
        f"{accuracy.accuracy:.1%}",
        change(accuracy.change.value),
        interval(accuracy.change, "change"),
        change(promised.value),
        interval(promised, "change"),
    )


def _broken(role: str, measurement: Measurement) -> str:
    """What to say of an option that is less accurate than promised; empty where it is not."""
    if measurement.accuracy is None:
        return ""
    beyond = beyond_promise(measurement.option, measurement.accuracy)
    if beyond.high >= 0:
        return ""
    return (
        f"{NAMES.get(role, role)} is less accurate than promised, beyond chance: by {human(change(beyond.value))}, "
        f"95 % interval {human(interval(beyond, 'change'))}"
    )


def payload_sizes(measurement: Measurement) -> list[float]:
    """Bytes that crossed, of labelled examples where there were some, else of the requests that were timed."""
    if measurement.accuracy is not None and measurement.accuracy.payload_bytes:
        return list(measurement.accuracy.payload_bytes)
    return [sample.payload_bytes for sample in measurement.samples if sample.payload_bytes is not None]


def _payload_row(role: str, measurement: Measurement) -> tuple[Cell, ...]:
    coding, sizes = measurement.option.coding, payload_sizes(measurement)
    decoding = [sample.payload_decode_s for sample in measurement.samples if sample.payload_decode_s is not None]
    return (
        NAMES.get(role, role),
        measurement.option.codec,
        Quantity(value=None if coding is None else coding.payload_bytes.value, unit="B"),
        interval(None if coding is None else coding.payload_bytes, "B"),
        Quantity(value=mean(sizes) if sizes else None, unit="B"),
        seconds(median(decoding) if decoding else None),
    )


def _decoding(role: str, measurement: Measurement) -> str:
    return (
        f"{NAMES.get(role, role)}: the decoder is part of the server's model; measured apart, alone, it took "
        f"{human(seconds(measurement.decoder_s))}, which is counted as decoding and not as computing"
    )


def wire_record(measurement: Measurement) -> dict[str, Scalar]:
    """The same of one option, for programs."""
    accuracy, coding, sizes = measurement.accuracy, measurement.option.coding, payload_sizes(measurement)
    return {
        "codec": measurement.option.codec,
        "payload_predicted_bytes": None if coding is None else coding.payload_bytes.value,
        "payload_measured_bytes": mean(sizes) if sizes else None,
        "examples": None if accuracy is None else len(accuracy.errors),
        "accuracy_intact_fraction": None if accuracy is None else accuracy.intact_accuracy,
        "accuracy_measured_fraction": None if accuracy is None else accuracy.accuracy,
        **estimate_record("accuracy_change_predicted", "fraction", promised_change(measurement.option)),
        **estimate_record("accuracy_change_measured", "fraction", None if accuracy is None else accuracy.change),
    }
