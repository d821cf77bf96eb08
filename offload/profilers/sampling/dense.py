"""Random networks of dense layers, and the classifiers that others end with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from offload.profilers.sampling.draws import activation, layer_width, log_integer, pick
from offload.profilers.sampling.onnx_builder import OnnxBuilder, Value

if TYPE_CHECKING:
    import numpy as np

_MOST_WEIGHTS = 25_000_000
"""Of one dense layer, but for a few as large as VGG's first."""
_LARGE_WEIGHTS = 105_000_000
_USUAL_WEIGHTS = 8_000_000


def linear(builder: OnnxBuilder, generator: np.random.Generator, x: Value, features: int) -> Value:
    """A dense layer over the last axis, in one of the ways that exporters write it."""
    rows, width = math.prod(x.shape[:-1]), x.shape[-1]
    bias = builder.weight((features,), fan_in=200)
    flops = 2.0 * rows * width * features
    shape = (*x.shape[:-1], features)
    if len(x.shape) == 2 and generator.random() < 0.85:
        turned = bool(generator.random() < 0.7)
        weights = builder.weight((features, width) if turned else (width, features), fan_in=width)
        return builder.add("Gemm", [x, weights, bias], shape, flops=flops, transB=int(turned))
    weights = builder.weight((width, features), fan_in=width)
    product = builder.add("MatMul", [x, weights], shape, flops=flops)
    return builder.add("Add", [product, bias], shape) if generator.random() < 0.9 else product


def classifier(builder: OnnxBuilder, generator: np.random.Generator, x: Value) -> Value:
    """Flatten, up to three dense layers, and softmax or argmax after some."""
    size = math.prod(x.shape[1:])
    flat = (x.shape[0], size)
    if generator.random() < 0.5:
        x = builder.add("Flatten", [x], flat, axis=1)
    else:
        x = builder.add("Reshape", [x, builder.integers(flat)], flat)
    act = str(pick(generator, {"Relu": 80, "Tanh": 10, "": 10}))
    most = _LARGE_WEIGHTS if generator.random() < 0.05 else _MOST_WEIGHTS
    for _ in range(int(pick(generator, {0: 55, 1: 20, 2: 25}))):
        features = min(layer_width(generator, 32, 8192), max(8, most // x.shape[1]))
        x = activation(builder, generator, linear(builder, generator, x, features), act)
    classes = int(pick(generator, {1000: 40, log_integer(generator, 2, 5000): 60}))
    x = linear(builder, generator, x, min(classes, max(2, most // x.shape[1])))
    return _answer(builder, generator, x)


def pointwise_classifier(builder: OnnxBuilder, generator: np.random.Generator, x: Value) -> Value:
    """A 1x1 convolution to classes, their mean over places, and softmax, as SqueezeNet ends."""
    n, c, h, w = x.shape
    classes = int(pick(generator, {1000: 60, log_integer(generator, 2, 2000): 40}))
    weights = builder.weight((classes, c, 1, 1), fan_in=c)
    inputs = [x, weights, builder.weight((classes,), fan_in=200)]
    x = builder.add("Conv", inputs, (n, classes, h, w), flops=2.0 * n * h * w * c * classes, kernel_shape=[1, 1])
    x = builder.add("GlobalAveragePool", [x], (n, classes, 1, 1))
    return builder.add("Softmax", [x], x.shape, axis=1)


def _answer(builder: OnnxBuilder, generator: np.random.Generator, x: Value) -> Value:
    if generator.random() < 0.6:
        x = builder.add("Softmax", [x], x.shape, axis=-1)
    if generator.random() < 0.4:
        x = builder.add("ArgMax", [x], (*x.shape[:-1], 1), axis=len(x.shape) - 1, keepdims=1)
    return x


def dense_network(builder: OnnxBuilder, generator: np.random.Generator, scale: float, depth: float) -> None:
    """Draw a network of dense layers.

    Args:
        builder: What it is built on.
        generator: Decides everything else.
        scale: From 0 to 1: how much its layers compute, on a logarithmic scale from 20 kFLOP to 24 GFLOP.
        depth: From 0 to 1: how many layers, from 1 to 8.
    """
    budget, layers = 2e4 * 1.2e6**scale, 1 + round(7 * depth)
    # Few rows would need more weights than there may be to compute that much.
    fewest = max(1, min(600, int(budget / layers / (2 * _USUAL_WEIGHTS))))
    rows = log_integer(generator, fewest, 1000) if generator.random() < 0.6 else 1
    x = builder.input((rows, layer_width(generator, 16, 8192)))
    act = str(pick(generator, {"Relu": 35, "Sigmoid": 20, "Tanh": 15, "Clip": 20, "Gelu": 5, "Softplus": 2, "Elu": 3}))
    for _ in range(layers):
        most = min(8192, int(budget / layers / (2 * rows * x.shape[1])), _MOST_WEIGHTS // x.shape[1])
        features = layer_width(generator, max(2, most // 8), max(8, most))
        x = activation(builder, generator, linear(builder, generator, x, features), act)
    _answer(builder, generator, linear(builder, generator, x, log_integer(generator, 2, 4000)))


def local_network(builder: OnnxBuilder, generator: np.random.Generator, scale: float, depth: float) -> None:
    """Draw a network of locally connected layers (filters untied from place to place), as DeepFace has them.

    Args:
        builder: What it is built on.
        generator: Decides everything else.
        scale: From 0 to 1: the side of its feature maps, from 8 to 72.
        depth: From 0 to 1: how many layers, from 1 to 4.
    """
    from numpy import arange, int64

    side, most = round(8 * 9**scale), log_integer(generator, 4_000_000, 100_000_000)
    channels = log_integer(generator, 1, 48)
    x = builder.input((1, channels, side, side))
    x = builder.add("Transpose", [x], (side, side, 1, channels), perm=[2, 3, 0, 1])
    for _ in range(1 + round(3 * depth)):
        side, channels = x.shape[0], x.shape[3]
        kernel = min(int(pick(generator, {3: 25, 5: 25, 7: 25, 9: 25})), side)
        stride = 2 if side > 16 and generator.random() < 0.3 else 1
        out = (side - kernel) // stride + 1
        features = min(log_integer(generator, 12, 64), max(1, most // (out * out * kernel * kernel * channels)))
        places = (arange(out)[:, None] * stride + arange(kernel)[None, :]).reshape(-1).astype(int64)
        index = builder.constant(places)
        x = builder.add("Gather", [x, index], (out * kernel, side, 1, channels), axis=0)
        x = builder.add("Gather", [x, index], (out * kernel, out * kernel, 1, channels), axis=1)
        split = (out, kernel, out, kernel, 1, channels)
        x = builder.add("Reshape", [x, builder.integers(split)], split)
        x = builder.add("Transpose", [x], (out, out, 1, kernel, kernel, channels), perm=[0, 2, 4, 1, 3, 5])
        patches = (out * out, 1, kernel * kernel * channels)
        x = builder.add("Reshape", [x, builder.integers(patches)], patches)
        weights = builder.weight((out * out, patches[2], features), fan_in=patches[2])
        product = (out * out, 1, features)
        x = builder.add("MatMul", [x, weights], product, flops=2.0 * math.prod(patches) * features)
        x = builder.add("Add", [x, builder.weight(product, fan_in=200)], product)
        if generator.random() < 0.6:
            x = builder.add("Relu", [x], product)
        shape = (out, out, 1, features)
        x = builder.add("Reshape", [x, builder.integers(shape)], shape)
        if out < 4:
            break
    x = builder.add("Transpose", [x], (1, x.shape[3], *x.shape[:2]), perm=[2, 3, 0, 1])
    classifier(builder, generator, x)
