"""A preset: what is published of a device, and the same scaled to latencies that are known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from offload.artifacts.base import Amount, Artifact, Count, Positive, Seconds
from offload.graph.model_graph import LAYER_KINDS, LayerKind

Share = Annotated[float, Field(gt=0, le=1)]
"""A fraction above none and up to all."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A device's published rates for 32-bit floating point, tensor cores not counted, and what is assumed of it."""

    name: str
    processor: Literal["cpu", "gpu"]
    peak_flops_per_s: Positive
    """A multiply or an add is one operation."""
    bandwidth_bytes_per_s: Positive
    """Of the memory that weights and tensors are in."""
    power_w: Positive | None
    """Published power while computing, or else the most the board may draw; None when neither is published."""
    launch_s: Seconds
    """What starting a layer takes, whatever its size."""
    launch_source: str
    """Where that comes from; `assumed` when nobody published it."""
    source: str
    """Where the rates and the power were published, in words."""
    efficiency: Mapping[LayerKind, Share]
    """Fraction of the peaks that a kind of layer is assumed to reach: an assumption, not a measurement."""
    compute_factor: Positive = 1.0
    """By calibration: computing takes this many times what peak and efficiency give."""
    memory_factor: Positive = 1.0
    """By calibration: moving bytes takes this many times what bandwidth and efficiency give."""


@dataclass(frozen=True, kw_only=True)
class KnownLatency:
    """A whole network's latency that somebody measured on the device, and what the preset makes of it."""

    model: str
    """As the user named it."""
    model_hash: str
    batch: Count
    flops: Amount
    """Operations of one run; a multiply-accumulate is two."""
    known_s: Positive
    before_s: Positive
    """What the preset gave before it was scaled."""
    fitted_s: Positive
    """What the scaled preset gives."""

    @property
    def residual(self) -> float:
        """How far the scaled preset is from the known latency, as a fraction of it."""
        return self.fitted_s / self.known_s - 1


class CalibratedPreset(Artifact):
    """A preset scaled to known latencies of whole networks.

    Attributes:
        preset: The scaled preset.
        base: The name of the published one.
        figures: What it was scaled to.
        form: `single`: one factor for computing and memory; `pair`: one for each.
    """

    KIND: ClassVar[str] = "preset"

    preset: Preset
    base: str
    figures: tuple[KnownLatency, ...]
    form: Literal["single", "pair"]

    @model_validator(mode="after")
    def _consistent(self) -> CalibratedPreset:
        missing = [kind for kind in LAYER_KINDS if kind not in self.preset.efficiency]
        if missing:
            raise ValueError(f"it assumes no efficiency for {', '.join(missing)}")
        if not self.figures:
            raise ValueError("it holds no latency that it was scaled to")
        return self
