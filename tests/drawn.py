"""Random networks that are small, whatever the sequence that costs are fitted on is made of."""

from __future__ import annotations

from functools import cache

import numpy as np

from offload.profilers.sampling.networks import _STYLES, SampledNetwork
from offload.profilers.sampling.onnx_builder import OnnxBuilder


@cache
def drawn(style: str, number: int, *, scale: float = 0.15, depth: float = 0.5) -> SampledNetwork:
    """A network of a style; the number decides everything but its size and depth."""
    builder = OnnxBuilder(np.random.default_rng([number]))
    _, draw = _STYLES[style]
    draw(builder, np.random.default_rng([number, 1]), scale, depth)
    return SampledNetwork(number=number, style=style, onnx=builder.finish())
