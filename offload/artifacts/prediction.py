"""What a predicted profile knows of itself beside times: how sure they are, and what told them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from offload.artifacts.base import Count, Positive, Seconds

Predictor = Literal["fitted", "neurosurgeon"]
"""`fitted`: the form that predicts best; `neurosurgeon`: the regressions of Kang et al. (ASPLOS 2017)."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """How far a time that was not measured can be trusted."""

    low_s: Seconds
    high_s: Seconds
    """The interval that holds the group's time in 90 % of cases, as fitted on networks left out of the fit."""
    form: Literal["ensemble", "trend", "unknown"]
    """`ensemble`: inside what was sampled; `trend`: a kernel lies outside, and follows the trend from the border on;
    `unknown`: a kernel's kind has no sample."""
    beyond: tuple[str, ...] = ()
    """The features that lie outside the range that was sampled."""
    power_w: Positive | None = None
    """Gross power while the group runs, from that of its kernels' kinds; None when the costs have none."""


@dataclass(frozen=True, kw_only=True)
class FittedCosts:
    """Which costs a profile was predicted from."""

    created_at: str
    networks: Count
    """Random networks that they were fitted on."""
    runtime_version: str
    """Of the runtime they were fitted under; the profile's own is that of the runtime that laid out its kernels."""
    processor: str
    """That they were fitted on; the profile's environment has the one that laid out its kernels."""
    power_source: str | None = None
    """What read the power that kinds of kernels take."""
    predictor: Predictor = "fitted"
