"""Random networks over sequences: transformers, recurrent networks, speech."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from offload.profilers.sampling.dense import linear
from offload.profilers.sampling.draws import activation, layer_width, log_integer, pick
from offload.profilers.sampling.onnx_builder import OnnxBuilder, Value

if TYPE_CHECKING:
    import numpy as np

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _reshape(builder: OnnxBuilder, x: Value, shape: tuple[int, ...]) -> Value:
    return builder.add("Reshape", [x, builder.integers(shape)], shape)


def _layer_norm(builder: OnnxBuilder, x: Value) -> Value:
    from numpy import float32, full

    width = x.shape[-1]
    ones = builder.constant(full(width, 1, float32))
    return builder.add("LayerNormalization", [x, ones, builder.weight((width,), fan_in=200)], x.shape, axis=-1)


def _embedding(
    builder: OnnxBuilder,
    generator: np.random.Generator,
    shape: tuple[int, int, int],
    *,
    steps_first: bool = False,
) -> Value:
    """Vectors of (batch, length, width), or of (length, batch, width) with the steps first."""
    batch, length, width = shape
    tokens = builder.input((batch, length), integer=True)
    if steps_first:
        tokens = builder.add("Transpose", [tokens], (length, batch), perm=[1, 0])
    table = builder.weight((log_integer(generator, 64, 40_000), width))
    return builder.add("Gather", [table, tokens], (*tokens.shape, width), axis=0)


def _attention(builder: OnnxBuilder, generator: np.random.Generator, x: Value, heads: int) -> Value:
    """Multi-head self-attention as torch's exporter writes it: one product for query, key and value, or three."""
    from numpy import array, float32

    batch, tokens, width = x.shape
    size = width // heads
    if generator.random() < 0.7:
        joint = linear(builder, generator, x, 3 * width)
        parts = builder.add_many("Split", [joint], [x.shape] * 3, axis=2, num_outputs=3)
    else:
        parts = [linear(builder, generator, x, width) for _ in range(3)]
    query, key, value = (_reshape(builder, part, (batch, tokens, heads, size)) for part in parts)
    across = (batch, heads, tokens, size)
    query = builder.add("Transpose", [query], across, perm=[0, 2, 1, 3])
    key = builder.add("Transpose", [key], (batch, heads, size, tokens), perm=[0, 2, 3, 1])
    value = builder.add("Transpose", [value], across, perm=[0, 2, 1, 3])
    pairs = (batch, heads, tokens, tokens)
    flops = 2.0 * math.prod(pairs) * size
    scores = builder.add("MatMul", [query, key], pairs, flops=flops)
    scores = builder.add("Mul", [scores, builder.constant(array(size**-0.5, float32))], pairs)
    scores = builder.add("Softmax", [scores], pairs, axis=-1)
    gathered = builder.add("MatMul", [scores, value], across, flops=flops)
    gathered = builder.add("Transpose", [gathered], (batch, tokens, heads, size), perm=[0, 2, 1, 3])
    return linear(builder, generator, _reshape(builder, gathered, x.shape), width)


def transformer_network(builder: OnnxBuilder, generator: np.random.Generator, scale: float, depth: float) -> None:
    """Draw a transformer, on tokens, on patches of an image or on vectors.

    Args:
        builder: What it is built on.
        generator: Decides everything else.
        scale: From 0 to 1: how much it computes, on a logarithmic scale from 2 MFLOP to 8 GFLOP.
        depth: From 0 to 1: how many blocks, from 1 to 4.
    """
    budget, blocks = 2e6 * 4000**scale, 1 + round(3 * depth)
    size = int(pick(generator, {32: 30, 64: 60, 48: 5, 80: 5}))
    length = log_integer(generator, 8, 400)
    # A token of a block takes about 24 width² operations.
    most = (budget / blocks / length / 24) ** 0.5
    heads = max(1, min(16, log_integer(generator, max(1, int(most / size / 2)), max(1, int(most / size)))))
    width = heads * size
    batch = int(pick(generator, {1: 92, 2: 4, 4: 4}))
    start = str(pick(generator, {"tokens": 45, "patches": 30, "vectors": 25}))
    if start == "tokens":
        x = _embedding(builder, generator, (batch, length, width))
    elif start == "patches":
        side, patch = max(2, round(length**0.5)), int(pick(generator, {16: 60, 8: 20, 32: 20}))
        image = builder.input((batch, 3, side * patch, side * patch))
        weights = builder.weight((width, 3, patch, patch), fan_in=3 * patch * patch)
        x = builder.add(
            "Conv", [image, weights, builder.weight((width,), fan_in=200)], (batch, width, side, side),
            flops=2.0 * batch * width * side * side * 3 * patch * patch,
            kernel_shape=[patch] * 2, strides=[patch] * 2,
        )  # fmt: skip
        x = _reshape(builder, x, (batch, width, side * side))
        x = builder.add("Transpose", [x], (batch, side * side, width), perm=[0, 2, 1])
        if batch == 1:
            first = builder.weight((1, 1, width))
            x = builder.add("Concat", [first, x], (1, side * side + 1, width), axis=1)
    else:
        x = builder.input((batch, length, width))
    x = builder.add("Add", [x, builder.weight((1, *x.shape[1:]))], x.shape)
    before = bool(generator.random() < 0.7)
    act = str(pick(generator, {"Gelu": 65, "Relu": 25, "Swish": 10}))
    inner = width * int(pick(generator, {4: 75, 2: 25}))
    for _ in range(blocks):
        y = _attention(builder, generator, _layer_norm(builder, x) if before else x, heads)
        x = builder.add("Add", [x, y], x.shape)
        x = x if before else _layer_norm(builder, x)
        y = linear(builder, generator, _layer_norm(builder, x) if before else x, inner)
        y = linear(builder, generator, activation(builder, generator, y, act), width)
        x = builder.add("Add", [x, y], x.shape)
        x = x if before else _layer_norm(builder, x)
    if generator.random() < 0.5:
        x = builder.add("Gather", [x, builder.integers([0])], (batch, 1, width), axis=1)
        x = _reshape(builder, x, (batch, width))
    if generator.random() < 0.7:
        x = linear(builder, generator, x, log_integer(generator, 2, 1500))
        if generator.random() < 0.5:
            builder.add("Softmax", [x], x.shape, axis=-1)


def _recurrent(builder: OnnxBuilder, generator: np.random.Generator, x: Value, op: str, hidden: int) -> Value:
    """One recurrent layer over (steps, batch, features), with the reordering around it that exporters add."""
    from numpy import float32, zeros

    steps, batch, width = x.shape
    ways, gates = (2 if generator.random() < 0.35 else 1), _GATES[op]
    inputs: list[Value | None] = [
        x,
        builder.weight((ways, gates * hidden, width), fan_in=4 * width),
        builder.weight((ways, gates * hidden, hidden), fan_in=4 * hidden),
        builder.weight((ways, 2 * gates * hidden), fan_in=200),
    ]
    if generator.random() < 0.5:
        start = builder.constant(zeros((ways, batch, hidden), float32))
        inputs += [None, start, start] if op == "LSTM" else [None, start]
    extra = {"linear_before_reset": 1} if op == "GRU" else {}
    flops = 2.0 * ways * steps * batch * gates * hidden * (width + hidden)
    y = builder.add(
        op, inputs, (steps, ways, batch, hidden), flops=flops, hidden_size=hidden,
        direction="bidirectional" if ways == 2 else "forward", **extra,
    )  # fmt: skip
    if ways == 2 and generator.random() < 0.3:
        return builder.add("ReduceSum", [y, builder.integers([1])], (steps, batch, hidden), keepdims=0)
    y = builder.add("Transpose", [y], (steps, batch, ways, hidden), perm=[0, 2, 1, 3])
    return _reshape(builder, y, (steps, batch, ways * hidden))


def recurrent_network(builder: OnnxBuilder, generator: np.random.Generator, scale: float, depth: float) -> None:
    """Draw a recurrent network on tokens or on features.

    Args:
        builder: What it is built on.
        generator: Decides everything else.
        scale: From 0 to 1: how much a layer computes, on a logarithmic scale from 0.5 MFLOP to 8 GFLOP.
        depth: From 0 to 1: how many layers, from 1 to 3.
    """
    budget = 5e5 * 1.6e4**scale
    op = str(pick(generator, {"LSTM": 40, "GRU": 35, "RNN": 25}))
    steps, batch = log_integer(generator, 4, 300), int(pick(generator, {1: 90, 4: 5, 8: 5}))
    most = (budget / (4 * steps * batch * _GATES[op])) ** 0.5
    hidden = min(2048, layer_width(generator, max(16, int(most / 2)), max(17, int(most))))
    width = layer_width(generator, max(16, hidden // 2), 2 * hidden)
    if generator.random() < 0.6:
        early = bool(generator.random() < 0.5)
        x = _embedding(builder, generator, (batch, steps, width), steps_first=early)
        if not early:
            x = builder.add("Transpose", [x], (steps, batch, width), perm=[1, 0, 2])
    else:
        x = builder.input((steps, batch, width))
    for _ in range(1 + round(2 * depth)):
        x = _recurrent(builder, generator, x, op, hidden)
    x = linear(builder, generator, _reshape(builder, x, (steps * batch, x.shape[2])), log_integer(generator, 2, 4000))
    if generator.random() < 0.5:
        x = builder.add("Softmax", [x], x.shape, axis=-1)
    _reshape(builder, x, (steps, batch, x.shape[1]))


def speech_network(builder: OnnxBuilder, generator: np.random.Generator, scale: float, depth: float) -> None:
    """Draw a network of convolutions over time, dense layers and perhaps a recurrent one.

    Args:
        builder: What it is built on.
        generator: Decides everything else.
        scale: From 0 to 1: how much it computes, on a logarithmic scale from 2 MFLOP to 8 GFLOP.
        depth: From 0 to 1: how many convolutions, from 1 to 5.
    """
    budget, layers = 2e6 * 4000**scale, 1 + round(4 * depth)
    length, channels = log_integer(generator, 32, 1500), log_integer(generator, 1, 256)
    x = builder.input((1, length, channels))
    x = builder.add("Transpose", [x], (1, channels, length), perm=[0, 2, 1])
    act = str(pick(generator, {"Relu": 60, "Clip": 30, "Tanh": 10}))
    for _ in range(layers):
        _, channels, length = x.shape
        kernel = min(int(pick(generator, {1: 15, 3: 35, 5: 20, 11: 20, 19: 10})), length)
        stride = 2 if length > 32 and generator.random() < 0.3 else 1
        pad = kernel // 2
        out = (length + 2 * pad - kernel) // stride + 1
        most = max(8, min(2048, int(budget / layers / (2 * channels * kernel * out))))
        features = layer_width(generator, max(4, most // 8), most)
        depthwise = bool(channels >= 16 and generator.random() < 0.1)
        features, per_filter = (channels, 1) if depthwise else (features, channels)
        weights = builder.weight((features, per_filter, kernel), fan_in=per_filter * kernel)
        x = builder.add(
            "Conv", [x, weights, builder.weight((features,), fan_in=200)], (1, features, out),
            flops=2.0 * features * out * per_filter * kernel,
            kernel_shape=[kernel], strides=[stride], pads=[pad, pad], group=channels if depthwise else 1,
        )  # fmt: skip
        x = activation(builder, generator, x, act)
    _, channels, length = x.shape
    x = builder.add("Transpose", [x], (length, 1, channels), perm=[2, 0, 1])
    if generator.random() < 0.4:
        most = max(16, int((budget / (4 * length)) ** 0.5))
        op = str(pick(generator, {"LSTM": 40, "GRU": 35, "RNN": 25}))
        x = _recurrent(builder, generator, x, op, min(2048, layer_width(generator, 16, most)))
    x = _reshape(builder, x, (length, x.shape[2]))
    x = activation(builder, generator, linear(builder, generator, x, layer_width(generator, 16, 2048)), act)
    x = linear(builder, generator, x, log_integer(generator, 10, 100))
    builder.add("Softmax", [x], x.shape, axis=-1)
