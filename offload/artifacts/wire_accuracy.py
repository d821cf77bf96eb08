"""How accurate an option is over real requests, beside the intact model on the same examples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from pydantic import Field

from offload.artifacts.base import NotNegative, Positive
from offload.artifacts.codec_bench import Errors
from offload.artifacts.estimate import CONFIDENCE, RESAMPLES, Estimate, add
from offload.artifacts.plan import Option


@dataclass(frozen=True, kw_only=True)
class WireAccuracy:
    """Labelled examples, each answered by the option over its connection and by the intact model here."""

    data: str
    """The data set, as named; examples are of its test split."""
    task: str
    errors: Annotated[Errors, Field(min_length=1)]
    """Of each example's answer over the wire."""
    intact_errors: Errors
    """Of the intact model's answer to the same example."""
    weights: tuple[Positive, ...]
    """What each example's errors count against."""
    payload_bytes: tuple[NotNegative, ...] = ()
    """What crossed for each example; empty where tensors crossed as they are."""

    @property
    def accuracy(self) -> float:
        """One less the error rate over the wire."""
        return 1 - sum(self.errors) / sum(self.weights)

    @property
    def intact_accuracy(self) -> float:
        """One less the intact model's error rate."""
        return 1 - sum(self.intact_errors) / sum(self.weights)

    @cached_property
    def change(self) -> Estimate:
        """How much more accurate than intact, as a fraction; negative is a loss.

        The interval is a percentile bootstrap over examples, each paired with the intact model's answer to it.
        """
        import numpy as np

        change = (np.asarray(self.intact_errors) - np.asarray(self.errors)) / np.mean(self.weights)
        drawn = np.random.default_rng(0).integers(0, change.size, (RESAMPLES, change.size))
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = np.percentile(change[drawn].mean(axis=1), [tail, 100 - tail])
        value = float(change.mean())
        return Estimate(value=value, low=min(float(low), value), high=max(float(high), value))


def promised_change(option: Option) -> Estimate:
    """How much more accurate than intact its plan said that an option is; nothing changes where no codec is."""
    return Estimate.exactly(0.0) if option.coding is None else option.coding.accuracy_change


def beyond_promise(option: Option, measured: WireAccuracy) -> Estimate:
    """The measured change of the accuracy less the promised one; the two intervals are of different requests.

    The option is less accurate than promised, beyond chance, where all of this is below 0.
    """
    promised = promised_change(option)
    negated = Estimate(value=-promised.value, low=-promised.high, high=-promised.low)
    return add((measured.change, negated))
