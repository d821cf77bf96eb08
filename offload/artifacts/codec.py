"""A trained codec: which model and cut it was trained for, its files, and what training it reached."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field, FiniteFloat

from offload.artifacts.base import Amount, Artifact, Count, NotNegative, Positive, Seconds
from offload.artifacts.profile import ModelIdentity
from offload.graph.model_graph import Tensor

LearnedKind = Literal["deepcod", "autoencoder", "entropic"]
SymbolCoding = Literal["packed", "range"]
"""`packed`: every symbol in the same number of bits; `range`: a range coder with integer tables."""
INPUT_LAYER = "input"
"""What stands for the layer of a cut at a model's input."""


@dataclass(frozen=True, kw_only=True)
class NetworkSize:
    """What a network holds and computes."""

    parameters: Amount
    flops: Amount
    """Of one example; a multiply-accumulate is two."""


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One pass over the training examples."""

    loss: FiniteFloat
    validation_loss: FiniteFloat
    error_rate: NotNegative | None
    """Of the model behind the codec on the validation split, hard symbols; None without labels."""
    took_s: Seconds


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """How a codec was trained."""

    data: str
    task: str
    seed: int
    examples: Count
    batch: Count
    distilled: bool
    """Whether the intact model's answers were taught besides the tensor itself."""
    encoder_trained: bool
    """False for the ablation whose encoder stays as drawn."""
    labelled: bool = False
    """Whether the data's labels were taught, too."""
    processes: Count
    best_epoch: Amount
    """Whose weights were kept, from 0."""
    stopped: Literal["done", "early", "interrupted"]
    epochs: tuple[EpochRecord, ...]


class TrainedCodec(Artifact):
    """The manifest beside `encoder.onnx`, `decoder.onnx` and `weights.safetensors`.

    `encoder.onnx` takes the tensor (`tensor`) and gives `symbols`, uint8; `decoder.onnx` takes the payload (`payload`,
    uint8, one axis, header included) where they are packed, `symbols` where they are range coded, and gives the tensor.

    Attributes:
        model: The model it was trained for.
        tensor: What crosses, for a batch of 1.
        layer: The layer that makes it, or INPUT_LAYER.
        codec: Which kind.
        ratio: The compression asked for: payload bits against those of the tensor's float32 values.
        symbols_shape: Shape of the symbols, batch of 1 included.
        levels: Symbols are 0 to `levels` - 1.
        coding: How symbols become bytes.
        tables: Frequencies of the symbols for each channel, of a range coder: integers above 0, 2**16 in all.
        files: SHA-256 of each file, by name.
        encoder: Size of the encoder.
        decoder: Size of the decoder.
        training: How it was trained.
        payload_bytes: Of validation examples, header included.
        validation_errors: Error rate of the model behind the codec on the validation split; None without labels.
        intact_errors: The same of the intact model.
    """

    KIND: ClassVar[str] = "codec"

    model: ModelIdentity
    tensor: Tensor
    layer: str
    codec: LearnedKind
    ratio: Positive
    symbols_shape: tuple[Count, ...]
    levels: Annotated[int, Field(ge=2, le=256)]
    coding: SymbolCoding
    tables: tuple[tuple[Count, ...], ...] = ()
    files: dict[str, str]
    encoder: NetworkSize
    decoder: NetworkSize
    training: TrainingRecord
    payload_bytes: tuple[Count, ...]
    validation_errors: NotNegative | None
    intact_errors: NotNegative | None

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that stand for its files and tables: the same for the same codec anywhere."""
        told = [f"{name} {digest}" for name, digest in sorted(self.files.items())]
        return hashlib.sha256("\n".join([*told, str(self.tables)]).encode()).hexdigest()[:12]

    @property
    def text(self) -> str:
        """What plans call it."""
        return f"{self.codec}@{self.id}"
