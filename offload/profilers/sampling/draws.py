"""What random networks draw: choices, sizes, activations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from offload.profilers.sampling.onnx_builder import OnnxBuilder, Value

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")


def pick(generator: np.random.Generator, weights: Mapping[T, float]) -> T:
    """One of the keys, with a probability in proportion to its weight."""
    keys, values = list(weights), list(weights.values())
    total = sum(values)
    return keys[int(generator.choice(len(keys), p=[value / total for value in values]))]


def log_integer(generator: np.random.Generator, least: int, most: int) -> int:
    """An integer between two, both included, uniform in its logarithm."""
    return round(math.exp(generator.uniform(math.log(least), math.log(max(least, most)))))


def layer_width(generator: np.random.Generator, least: int, most: int) -> int:
    """A number of neurons between two: log-uniform, and mostly round, as people choose them.

    Powers of two are not like the numbers beside them: rows that lie a power of two apart share places in a cache.
    """
    drawn = log_integer(generator, least, most)
    step = int(pick(generator, {2: 35, 64: 25, 8: 20, 1: 20}))
    rounded = 2 ** round(math.log2(max(drawn, 1))) if step == 2 else round(drawn / step) * step
    return rounded if least <= rounded <= most else drawn


def activation(builder: OnnxBuilder, generator: np.random.Generator, x: Value, name: str) -> Value:
    """An activation by ONNX's name, `Swish` as exporters write it; the tensor itself for the empty name."""
    from numpy import array, float32

    match name:
        case "":
            return x
        case "Swish":
            return builder.add("Mul", [x, builder.add("Sigmoid", [x], x.shape)], x.shape)
        case "Clip":
            bounds = [builder.constant(array(bound, float32)) for bound in (0, 6)]
            return builder.add("Clip", [x, *bounds], x.shape)
        case "LeakyRelu":
            return builder.add("LeakyRelu", [x], x.shape, alpha=0.1)
        case "PRelu":
            slope = builder.weight((x.shape[1], *(1 for _ in x.shape[2:])), fan_in=200)
            return builder.add("PRelu", [x, slope], x.shape)
    return builder.add(name, [x], x.shape)
