"""The report on a bench of codecs: each method at each cut, as DeepCOD's Table 1, and accuracy against size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from offload.artifacts.codec_bench import EXAMPLES_A_STEP, CodecBench, CodecRow, payload_estimate
from offload.artifacts.estimate import median_estimate
from offload.artifacts.link import AffineCost
from offload.reports.document import NOTHING, Cell, Quantity, Report, Scalar, Section, change, fraction, human, seconds

if TYPE_CHECKING:
    from offload.reports.picture import Picture, Series

_COLUMNS = (
    *("method", "bytes", "95th percentile", "of the input", "of the tensor", "accuracy", "change", "95 % interval"),
    *("encode", "decode", "transfer", "encoder", "decoder"),
)
_EXPENDABLE = ("decoder", "encoder", "95th percentile", "of the tensor", "95 % interval", "transfer", "of the input")


def codec_bench_report(bench: CodecBench) -> Report:
    """A table for each cut, methods by size."""
    return Report(
        title=f"Codecs at the cuts of {bench.model.name} on {bench.data}: {len(bench.weights)} examples",
        sections=(*_cuts(bench), _how(bench)),
        records=tuple(_record(bench, row) for row in bench.rows),
    )


def _cuts(bench: CodecBench) -> list[Section]:
    sections = []
    for name in dict.fromkeys(row.tensor.name for row in bench.rows):
        rows = sorted(
            (row for row in bench.rows if row.tensor.name == name), key=lambda row: payload_estimate(row).value
        )
        shape = "×".join(map(str, rows[0].tensor.shape))
        sections.append(
            Section(
                title=f"{rows[0].layer}: {shape} {rows[0].tensor.dtype}",
                columns=_COLUMNS,
                rows=tuple(_cells(bench, row) for row in rows),
                expendable=_EXPENDABLE,
            )
        )
    return sections


def _cells(bench: CodecBench, row: CodecRow) -> tuple[Cell, ...]:
    size, lost = payload_estimate(row), bench.accuracy_change(row)
    method = row.method + (", tuned tail" if row.tail == "fine-tuned" else "")
    sizes = [row.encoder, row.decoder]
    return (
        method,
        _bytes(size.value),
        _bytes(percentile_bytes(row)),
        fraction(None if bench.pixels is None else size.value / bench.pixels),
        fraction(size.value / row.tensor.size_bytes),
        fraction(bench.accuracy(row)),
        change(lost.value),
        NOTHING if lost.low == lost.high else f"{100 * lost.low:+.1f} – {100 * lost.high:+.1f} %",
        seconds(median_estimate(row.encode_s)),
        seconds(median_estimate(row.decode_s)),
        seconds(transfer_s(bench, row)),
        *(
            NOTHING if each is None else f"{_count(each.parameters)} parameters, {_count(each.flops / 2)} MAC"
            for each in sizes
        ),
    )


def _bytes(size: float) -> str:
    return f"{size:,.0f} B".replace(",", " ")


def _count(number: float) -> str:
    return human(Quantity(value=number, unit="FLOP")).replace("FLOP", "").strip()


def percentile_bytes(row: CodecRow) -> float:
    """The size that 95 % of the payloads keep to."""
    import numpy as np

    return float(np.percentile(row.payload_bytes, 95))


def transfer_s(bench: CodecBench, row: CodecRow) -> float | None:
    """Seconds of a payload of the mean size over the bench's link; None without one."""
    if bench.link is None:
        return None
    return bench.link.uplink_s(round(payload_estimate(row).value), AffineCost()).value


def _how(bench: CodecBench) -> Section:
    threads = f"{bench.runtime.threads} thread{'' if bench.runtime.threads == 1 else 's'}"
    lines = [
        f"intact model: accuracy {bench.intact_accuracy:.1%}; a change is against it on the same examples",
        "bytes hold the payload's header of 4 bytes; the protocol's own is in the transfer of a measured link",
        f"times: {bench.runtime.name} on {bench.runtime.device}, {threads}, one example, medians",
    ]
    tails = [row.trained_steps for row in bench.rows if row.tail == "fine-tuned"]
    learned = [row.trained_steps for row in bench.rows if row.encoder is not None and not row.ablation]
    if tails:
        lines.append(f"tuned tail: the server's layers were trained on what the codec leaves, {_examples(tails)}")
    if learned:
        lines.append(f"learned codecs: trained on {_examples(learned)}")
    seeds = {len(row.errors) for row in bench.rows if row.encoder is not None and not row.ablation}
    if seeds:
        lines.append(f"learned codecs: mean of {min(seeds)} seed{'s' if min(seeds) > 1 else ''} at least")
    if bench.link is not None and bench.link.source == "declared":
        lines.append("transfer: the payload at the declared rate and nothing else; a measured link (--link) knows more")
    if bench.pixels is not None:
        lines.append(f"the input has {bench.pixels} B as uint8 pixels")
    if bench.stopped == "interrupted":
        lines.append("interrupted: the methods not reached are missing")
    return Section(title="How", lines=tuple(lines))


def _examples(batches: Sequence[int]) -> str:
    """How many examples taught, repeats counted."""
    least, most = (count * EXAMPLES_A_STEP for count in (min(batches), max(batches)))
    return f"{least} examples" if least == most else f"{least} to {most} examples"


def _record(bench: CodecBench, row: CodecRow) -> dict[str, Scalar]:
    size, lost = payload_estimate(row), bench.accuracy_change(row)
    return {
        "layer": row.layer,
        "tensor": row.tensor.name,
        "method": row.method,
        "codec": row.codec,
        "tail": row.tail,
        "ablation": row.ablation,
        "trained_steps": row.trained_steps,
        "mean_bytes": size.value,
        "p95_bytes": percentile_bytes(row),
        "mean_bytes_without_header": size.value - row.header_bytes,
        "of_uint8_input": None if bench.pixels is None else size.value / bench.pixels,
        "of_tensor": size.value / row.tensor.size_bytes,
        "accuracy": bench.accuracy(row),
        "accuracy_change": lost.value,
        "accuracy_change_low": lost.low,
        "accuracy_change_high": lost.high,
        "seeds": len(row.errors),
        "encode_s": median_estimate(row.encode_s).value,
        "decode_s": median_estimate(row.decode_s).value,
        "transfer_s": transfer_s(bench, row),
        "encoder_parameters": None if row.encoder is None else row.encoder.parameters,
        "encoder_macs": None if row.encoder is None else row.encoder.flops // 2,
        "decoder_parameters": None if row.decoder is None else row.decoder.parameters,
        "decoder_macs": None if row.decoder is None else row.decoder.flops // 2,
    }


def codec_bench_picture(bench: CodecBench) -> Picture:
    """Accuracy against size, a panel for each cut; a method with several settings is a line."""
    from offload.reports.picture import Panel, Picture, Series

    panels = []
    for name in dict.fromkeys(row.tensor.name for row in bench.rows):
        at = [row for row in bench.rows if row.tensor.name == name]
        families: dict[str, list[CodecRow]] = {}
        for row in at:
            tuned = " tuned" if row.tail == "fine-tuned" else ""
            families.setdefault(row.method.split(" ")[0] + tuned + " (ablation)" * row.ablation, []).append(row)
        series = [_series(bench, label, rows) for label, rows in families.items()]
        sizes = [payload_estimate(row).value for row in at]
        level = 100 * bench.intact_accuracy
        series.append(
            Series(label="intact", x=[min(sizes), max(sizes)], y=[level, level], style="dashed", color="gray")
        )
        panels.append(
            Panel(series=series, x_label=f"{at[0].layer}: bytes", y_label="accuracy, %", log_x=True, height=1.6)
        )
    return Picture(title=f"{bench.model.name} on {bench.data}", panels=panels)


def _series(bench: CodecBench, label: str, rows: Sequence[CodecRow]) -> Series:
    from offload.reports.picture import Series

    points = sorted((payload_estimate(row).value, 100 * bench.accuracy(row)) for row in rows)
    return Series(
        label=label, x=[x for x, _ in points], y=[y for _, y in points], style="line" if len(points) > 1 else "points"
    )
