"""What codecs cost and keep at the cuts of one model, measured: bytes, accuracy, time."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from offload.artifacts.base import Amount, Artifact, Count, NotNegative, Positive, Seconds
from offload.artifacts.codec import NetworkSize
from offload.artifacts.estimate import CONFIDENCE, RESAMPLES, Estimate
from offload.artifacts.link import Link
from offload.artifacts.profile import ModelIdentity, RuntimeIdentity
from offload.graph.model_graph import Tensor

Tail = Literal["as it is", "fine-tuned"]
EXAMPLES_A_STEP = 32
"""In which trainings are counted, whatever their batches were."""
Errors = tuple[NotNegative, ...]


@dataclass(frozen=True, kw_only=True)
class CodecRow:
    """One codec at one cut."""

    codec: str
    """What makes it again; `raw` for the tensor as it is."""
    method: str
    """What tables call it, such as `DeepCOD` or `WebP q5`."""
    tensor: Tensor
    """What crosses, for a batch of 1."""
    layer: str
    """The layer that makes it, `input`, or the last layer where the answer itself is sent."""
    tail: Tail = "as it is"
    """`fine-tuned`: the server's layers were trained on what the codec leaves of the tensor; such a tail is not the
    model's own and no plan takes it."""
    payload_bytes: tuple[Count, ...]
    """Of the test examples, header included, those of each seed in turn."""
    header_bytes: Amount
    errors: tuple[Errors, ...]
    """For each seed, the errors of each test example in the order of `CodecBench.intact_errors`."""
    encode_s: tuple[Seconds, ...]
    """On the machine, runtime and threads of the bench, a call each."""
    decode_s: tuple[Seconds, ...]
    encoder: NetworkSize | None = None
    """None for a codec that is no network."""
    decoder: NetworkSize | None = None
    trained_steps: Amount = 0
    """Batches of EXAMPLES_A_STEP examples that taught the codec, or the tail where that is fine-tuned; 0 where nothing
    learned."""
    ablation: bool = False
    """A row that explains others (random encoder, no distillation), for tables only."""


class CodecBench(Artifact):
    """The paper's Table 1 for one model: each method at each cut.

    Attributes:
        model: Which model.
        runtime: What ran it, encoders and decoders.
        data: The data set, as named.
        task: What its answers are.
        weights: What each example's errors count against: 1 (classification), the reference's length (ctc), the
            answers' variance (regression).
        intact_errors: Errors of the intact model for each test example.
        reference_s: Samples of the reference kernel beside the codecs' times.
        pixels: How many pixel values an input has where the inputs are images: its bytes as uint8.
        rows: The methods.
        link: The link that transfers are told for; None where none was given.
        stopped: How it ended.
    """

    KIND: ClassVar[str] = "codec-bench"

    model: ModelIdentity
    runtime: RuntimeIdentity
    data: str
    task: str
    weights: tuple[Positive, ...]
    intact_errors: Errors
    reference_s: tuple[Seconds, ...]
    pixels: Count | None
    rows: tuple[CodecRow, ...]
    link: Link | None = None
    stopped: Literal["done", "interrupted"] = "done"

    @cached_property
    def intact_accuracy(self) -> float:
        """One less the intact model's error rate."""
        return 1 - sum(self.intact_errors) / sum(self.weights)

    @model_validator(mode="after")
    def _of_one_length(self) -> Self:
        examples = len(self.intact_errors)
        if not examples or len(self.weights) != examples:
            raise ValueError("there must be an error and a weight for each of at least one example")
        for row in self.rows:
            if not row.errors or any(len(errors) != examples for errors in row.errors):
                raise ValueError(f"{row.method} has not the errors of {examples} examples")
            if not (row.payload_bytes and row.encode_s and row.decode_s):
                raise ValueError(f"{row.method} has no sizes or times")
        return self

    def accuracy(self, row: CodecRow) -> float:
        """One less the error rate of the model behind a codec, mean over seeds."""
        rates = [sum(errors) / sum(self.weights) for errors in row.errors]
        return 1 - sum(rates) / len(rates)

    def accuracy_change(self, row: CodecRow) -> Estimate:
        """How much more accurate than intact the model is behind a codec, as a fraction; negative is a loss.

        The interval is a percentile bootstrap over examples, paired with the intact model's, and over seeds.
        """
        import numpy as np

        change = (np.asarray(self.intact_errors) - np.asarray(row.errors)) / np.mean(self.weights)
        seeds, examples = change.shape
        generator = np.random.default_rng(0)
        means = [
            change[generator.integers(0, seeds, seeds)][:, generator.integers(0, examples, examples)].mean()
            for _ in range(RESAMPLES)
        ]
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = np.percentile(means, [tail, 100 - tail])
        value = float(change.mean())
        return Estimate(value=value, low=min(float(low), value), high=max(float(high), value))


def family_of(codec: str) -> str:
    """The name in what makes a codec again: `jpeg` of `jpeg:quality=30`, `deepcod` of `deepcod@0123456789ab`."""
    return re.split("[:@+]", codec, maxsplit=1)[0]


def deployed(row: CodecRow) -> CodecRow:
    """The row of the one codec that plans take, which is the first of several seeds."""
    own = len(row.payload_bytes) // len(row.errors)
    return replace(row, errors=row.errors[:1], payload_bytes=row.payload_bytes[: max(1, own)])


def payload_estimate(row: CodecRow) -> Estimate:
    """Bytes of a payload, header included: the mean, and the interval that holds 95 % of the examples."""
    import numpy as np

    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(row.payload_bytes, [tail, 100 - tail])
    mean = float(np.mean(row.payload_bytes))
    return Estimate(value=mean, low=min(float(low), mean), high=max(float(high), mean))
