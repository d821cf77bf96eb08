"""The sequence of random networks that costs are fitted on: the same for everyone, however many are measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from offload.profilers.sampling.convolutional import image_network
from offload.profilers.sampling.dense import dense_network, local_network
from offload.profilers.sampling.onnx_builder import OnnxBuilder
from offload.profilers.sampling.sequences import recurrent_network, speech_network, transformer_network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Style = Callable[[OnnxBuilder, np.random.Generator, float, float], None]

MOST_NETWORKS = 1500
_STYLES: Mapping[str, tuple[float, Style]] = {
    "image": (0.54, image_network),
    "dense": (0.12, dense_network),
    "transformer": (0.10, transformer_network),
    "recurrent": (0.12, recurrent_network),
    "speech": (0.05, speech_network),
    "local": (0.07, local_network),
}
"""Each style with its share of the networks."""


_ENDS = 1 / 8
"""Share of the networks that are as small or as large as their style allows, or few would be."""


@dataclass(frozen=True, kw_only=True)
class SampledNetwork:
    """A random network."""

    number: int
    style: str
    onnx: bytes
    """Float32, static shapes."""


def sampled_network(number: int) -> SampledNetwork:
    """The network of a number from 0: style, size and depth fill their space evenly (Sobol's sequence), ends and all.

    Raises:
        ValueError: there is no such number.
    """
    import numpy as np

    if not 0 <= number < MOST_NETWORKS:
        raise ValueError(f"there are {MOST_NETWORKS} networks, counted from 0")
    which, scale, depth = (float(each) for each in _points()[number])
    if np.random.default_rng([number, 2]).random() < _ENDS:
        scale = float(round(scale))
    builder = OnnxBuilder(np.random.default_rng([number]))
    ends = np.cumsum([share for share, _ in _STYLES.values()])
    style = list(_STYLES)[min(int(np.searchsorted(ends, which, side="right")), len(_STYLES) - 1)]
    draw = _STYLES[style][1]
    draw(builder, np.random.default_rng([number, 1]), scale, depth)
    return SampledNetwork(number=number, style=style, onnx=builder.finish())


@cache
def _points() -> NDArray[np.float64]:
    from scipy.stats import qmc

    points: NDArray[np.float64] = qmc.Sobol(3, seed=1).random_base2(11)[:MOST_NETWORKS]
    return points
