"""Random networks that are small, whatever the sequence that costs are fitted on is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from offload.profilers.sampling import measuring, networks, rounds
from offload.profilers.sampling.networks import _STYLES, SampledNetwork
from offload.profilers.sampling.onnx_builder import OnnxBuilder


@cache
def drawn(style: str, number: int, *, scale: float = 0.15, depth: float = 0.5) -> SampledNetwork:
    """A network of a style; the number decides everything but its size and depth."""
    builder = OnnxBuilder(np.random.default_rng([number]))
    _, draw = _STYLES[style]
    draw(builder, np.random.default_rng([number, 1]), scale, depth)
    return SampledNetwork(number=number, style=style, onnx=builder.finish())


def drawn_each(styles: Mapping[str, int], *, first: int = 0, scale: float = 0.15) -> list[SampledNetwork]:
    """So many networks of each style, numbered anew over all of them."""
    found = [drawn(style, first + number, scale=scale) for style, count in styles.items() for number in range(count)]
    return [replace(network, number=first + place) for place, network in enumerate(found)]


def measure_only(patch: pytest.MonkeyPatch, chosen: list[SampledNetwork]) -> None:
    """Make a fit measure these networks and no others, each in two rounds."""
    patch.setattr(measuring, "sampled_network", lambda number: chosen[number])
    for module in (measuring, networks):
        patch.setattr(module, "MOST_NETWORKS", len(chosen))
    patch.setattr(rounds, "_FEWEST_ROUNDS", 2)
    patch.setattr(rounds, "_ROUNDS_S", 0.0)
