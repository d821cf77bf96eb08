"""Check the answers of deployed options, and ask them so that their times can be measured."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from offload.artifacts.profile import Precision
from offload.errors import VerdictError
from offload.profilers.rests import PAUSE_S
from offload.verification.deployment import Deployed
from offload.verification.rounds import Contender

if TYPE_CHECKING:
    from offload.runtimes.base import Array

OUTPUT_TOLERANCE: Mapping[Precision, float] = {"fp32": 1e-3, "fp16": 1e-2, "bf16": 8e-2}
"""Largest accepted difference of an output from the whole model's, relative to the largest magnitude of that output:
above what the order of additions changes between machines, far below what a wrong tensor does."""
_WARM_UP_REQUESTS = 3
_WARM_UP_S = 1.0


def output_error(outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """The largest difference over all outputs, each relative to the largest magnitude of its expected values.

    Infinite when a shape differs or a value is not finite where the expected one is.
    """
    import numpy as np

    worst = 0.0
    for name, right in expected.items():
        left = outputs[name]
        if left.shape != right.shape:
            return float("inf")
        scale = float(np.max(np.abs(right.astype(np.float64)), initial=0.0)) or 1.0
        difference = np.max(np.abs(left.astype(np.float64) - right.astype(np.float64)), initial=0.0)
        worst = max(worst, float(difference) / scale if np.isfinite(difference) else float("inf"))
    return worst


def check_outputs(
    one: Deployed, feeds: Mapping[str, Array], expected: Mapping[str, Array], *, tolerance: float
) -> float:
    """The output error of one request, whose time does not matter.

    Args:
        one: What to ask.
        feeds: The model's inputs.
        expected: What the whole model answers; behind a codec its own answer is what counts, as computed here.
        tolerance: What is accepted.

    Raises:
        VerdictError: it is above the tolerance.
    """
    outputs, _ = one.session.run(feeds, slowed=False)
    error = output_error(outputs, expected if one.coded_outputs is None else one.coded_outputs(feeds))
    if error > tolerance:
        raise VerdictError(
            f"wrong numbers: the outputs of the divided model are off by {error:.2g} of their largest value, "
            f"{tolerance:g} is accepted ({one.option.words})",
            hint="the server runs another model or computes wrongly; nothing was timed",
        )
    return error


def contender(one: Deployed, feeds: Sequence[Mapping[str, Array]]) -> Contender:
    """The option, warmed up, for `measure`; its requests take the feeds in turn.

    Warming up does not emulate slower sides, and ends early when requests are long.
    """
    warmed_s = 0.0
    turns = itertools.cycle(feeds)
    for _ in range(_WARM_UP_REQUESTS):
        _, sample = one.session.run(next(turns), slowed=False)
        warmed_s += sample.latency_s
        if warmed_s >= _WARM_UP_S:
            break
    repeated_s = (one.session.repeats - 1) * (PAUSE_S + sample.device_s + sample.encode_s)
    return Contender(ask=lambda: one.session.run(next(turns))[1], request_s=sample.latency_s + repeated_s)
