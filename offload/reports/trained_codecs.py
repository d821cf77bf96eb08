"""The reports on trained codecs: those of a workspace, and one of them."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from offload.artifacts.codec import NetworkSize, TrainedCodec
from offload.reports.document import Quantity, Report, Scalar, Section, fraction, seconds


def codecs_report(named: Iterable[tuple[str, TrainedCodec]]) -> Report:
    """A report on trained codecs by the names of their folders."""
    known = list(named)
    return Report(
        title="Trained codecs",
        sections=(
            Section(
                title="",
                columns=("name", "model", "layer", "codec", "bytes", "of float32", "error rate", "intact", "data"),
                rows=tuple(
                    (
                        name,
                        codec.model.name,
                        codec.layer,
                        codec.codec,
                        _size(mean_bytes(codec)),
                        fraction(_share(codec)),
                        fraction(codec.validation_errors),
                        fraction(codec.intact_errors),
                        codec.training.data,
                    )
                    for name, codec in known
                ),
                lines=() if known else ("There are none: train one with `offload codec train MODEL --at LAYER`.",),
                expendable=("data", "of float32", "intact", "model"),
            ),
        ),
        records=tuple(_record(name, codec) for name, codec in known),
    )


def trained_codec_report(codec: TrainedCodec) -> Report:
    """A report on one trained codec."""
    training, bytes_ = codec.training, sorted(codec.payload_bytes)
    differently = [
        words
        for words, is_one in (
            ("without the intact model's answers", not training.distilled),
            ("its encoder as it was drawn", not training.encoder_trained),
            ("with the data's labels", training.labelled),
        )
        if is_one
    ]
    many = f", {training.processes} processes" * (training.processes > 1)
    lines = [
        f"For {codec.model.name} of content {codec.model.hash[:12]}, at {codec.layer}: "
        f"{'x'.join(map(str, codec.tensor.shape))} {codec.tensor.dtype}, {codec.tensor.size_bytes} B.",
        f"Symbols {'x'.join(map(str, codec.symbols_shape))} of {codec.levels} levels, {codec.coding}.",
        f"Trained on {training.examples} examples of {training.data}, seed {training.seed}{many}"
        + "".join(f", {words}" for words in differently)
        + f"; epoch {training.best_epoch + 1} of {len(training.epochs)} was kept"
        + {"done": "", "early": ", stopped early", "interrupted": ", interrupted"}[training.stopped]
        + ".",
        "Bytes and errors are those of validation examples, decoded from the very bytes that cross, header included.",
    ]
    rows = (
        ("bytes, mean", _size(mean_bytes(codec))),
        ("bytes, 95 %", _size(bytes_[int(0.95 * (len(bytes_) - 1))] if bytes_ else None)),
        ("of the float32 tensor", fraction(_share(codec))),
        ("error rate", fraction(codec.validation_errors)),
        ("of the intact model", fraction(codec.intact_errors)),
        *_network("encoder", codec.encoder),
        *_network("decoder", codec.decoder),
        ("training", seconds(sum(epoch.took_s for epoch in training.epochs))),
    )
    return Report(
        title=f"{codec.text} at {codec.layer} of {codec.model.name}",
        sections=(
            Section(title="", columns=("", "value"), rows=rows, lines=tuple(lines)),
            Section(
                title="Epochs",
                columns=("epoch", "loss", "validation loss", "error rate", "took"),
                rows=tuple(
                    (
                        str(number),
                        f"{epoch.loss:.4g}",
                        f"{epoch.validation_loss:.4g}",
                        fraction(epoch.error_rate),
                        seconds(epoch.took_s),
                    )
                    for number, epoch in enumerate(training.epochs, start=1)
                ),
            ),
        ),
        records=(_record(codec.text, codec),),
    )


def mean_bytes(codec: TrainedCodec) -> float | None:
    """Mean size of a payload, header included; None where none was measured."""
    return fmean(codec.payload_bytes) if codec.payload_bytes else None


def _share(codec: TrainedCodec) -> float | None:
    mean = mean_bytes(codec)
    return None if mean is None else mean / codec.tensor.size_bytes


def _size(value: float | None) -> Quantity:
    return Quantity(value=value, unit="B")


def _network(name: str, size: NetworkSize) -> tuple[tuple[str, Quantity], ...]:
    return (
        (f"{name} parameters", Quantity(value=size.parameters, unit="count")),
        (f"{name} operations", Quantity(value=size.flops, unit="FLOP")),
    )


def _record(name: str, codec: TrainedCodec) -> dict[str, Scalar]:
    return {
        "name": name,
        "codec": codec.text,
        "model": codec.model.name,
        "model_hash": codec.model.hash,
        "layer": codec.layer,
        "tensor": codec.tensor.name,
        "tensor_bytes": codec.tensor.size_bytes,
        "ratio": codec.ratio,
        "payload_bytes": mean_bytes(codec),
        "validation_errors": codec.validation_errors,
        "intact_errors": codec.intact_errors,
        "encoder_parameters": codec.encoder.parameters,
        "encoder_flops": codec.encoder.flops,
        "decoder_parameters": codec.decoder.parameters,
        "decoder_flops": codec.decoder.flops,
        "data": codec.training.data,
        "seed": codec.training.seed,
        "distilled": codec.training.distilled,
        "encoder_trained": codec.training.encoder_trained,
        "labelled": codec.training.labelled,
    }
