"""Random convolutional networks of the blocks that published ones are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from offload.profilers.sampling.dense import classifier, pointwise_classifier
from offload.profilers.sampling.draws import activation, log_integer, pick
from offload.profilers.sampling.onnx_builder import OnnxBuilder, Value

if TYPE_CHECKING:
    import numpy as np

    Block = Callable[["ImageNetwork", Value], Value]

_MOST_WIDE = 2048
_LARGEST_MAP = 4_000_000
"""Elements of a feature map, at most."""


class ImageNetwork:
    """Draws blocks onto a builder; keeps to a budget of operations."""

    def __init__(self, builder: OnnxBuilder, generator: np.random.Generator, flops: float) -> None:
        self.builder, self.generator, self.budget = builder, generator, flops
        self.activation = str(
            pick(generator, {"Relu": 55, "LeakyRelu": 9, "Swish": 9, "Clip": 9, "HardSwish": 5, "Sigmoid": 4, "Tanh": 2,
                             "Elu": 2, "PRelu": 2, "": 5})
        )  # fmt: skip

    @property
    def left(self) -> float:
        """Operations left in the budget."""
        return self.budget - self.builder.flops

    def chance(self, probability: float) -> bool:
        """Whether something of that probability happens."""
        return bool(self.generator.random() < probability)

    def act(self, x: Value) -> Value:
        """The network's activation, after most layers."""
        return activation(self.builder, self.generator, x, self.activation)

    def width(self, *, least: int = 8, most: int = _MOST_WIDE) -> int:
        """Channels: mostly a multiple of 8 or 16, log-uniform."""
        drawn = log_integer(self.generator, least, max(least, most))
        step = int(pick(self.generator, {16: 50, 8: 25, 32: 15, 1: 10}))
        return max(min(least, most), round(drawn / step) * step, 1)

    def affordable(self, x: Value, kernel: int, stride: int = 1, groups: int = 1, *, share: float = 0.5) -> int:
        """The most output channels whose convolution takes a share of what is left."""
        per_channel = 2 * x.shape[1] / groups * kernel**2 * (x.shape[2] // stride + 1) * (x.shape[3] // stride + 1)
        places = (x.shape[2] // stride + 1) * (x.shape[3] // stride + 1) * x.shape[0]
        return max(1, min(_MOST_WIDE, int(self.left * share / per_channel / x.shape[0]), _LARGEST_MAP // places))

    def convolution(
        self,
        x: Value,
        channels: int,
        kernel: tuple[int, int] = (1, 1),
        *,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        same: bool = True,
        bias: bool = True,
    ) -> Value:
        """A convolution; with its batch norm folded where it has a bias."""
        n, c, h, w = x.shape
        reach = [dilation * (k - 1) for k in kernel]
        if not same and (h <= reach[0] + stride or w <= reach[1] + stride):
            same = True
        pads = [reach[0] // 2, reach[1] // 2, reach[0] - reach[0] // 2, reach[1] - reach[1] // 2] if same else [0] * 4
        high = (h + pads[0] + pads[2] - reach[0] - 1) // stride + 1
        wide = (w + pads[1] + pads[3] - reach[1] - 1) // stride + 1
        fan_in = c // groups * kernel[0] * kernel[1]
        weights = self.builder.weight((channels, c // groups, *kernel), fan_in=fan_in)
        inputs = [x, weights, self.builder.weight((channels,), fan_in=200)] if bias else [x, weights]
        return self.builder.add(
            "Conv", inputs, (n, channels, high, wide), flops=2.0 * n * channels * high * wide * fan_in,
            kernel_shape=list(kernel), strides=[stride] * 2, dilations=[dilation] * 2, group=groups, pads=pads,
        )  # fmt: skip

    def pool(self, op: str, x: Value, kernel: int, stride: int, pad: int = 0, *, ceil: bool = False) -> Value:
        """Max or average pooling."""
        n, c, h, w = x.shape
        sizes = []
        for size in (h, w):
            free = size + 2 * pad - kernel
            sizes.append((-(-free // stride) if ceil else free // stride) + 1)
        return self.builder.add(
            op, [x], (n, c, *sizes), kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4,
            ceil_mode=int(ceil),
        )  # fmt: skip

    def global_average(self, x: Value) -> Value:
        """(N, C, 1, 1), in one of the two ways that exporters write it."""
        shape = (*x.shape[:2], 1, 1)
        if self.chance(0.5):
            return self.builder.add("GlobalAveragePool", [x], shape)
        return self.builder.add("ReduceMean", [x, self.builder.integers([-1, -2])], shape, keepdims=1)

    def sum(self, x: Value, y: Value) -> Value:
        """Two tensors of one shape added."""
        return self.builder.add(str(pick(self.generator, {"Add": 85, "Sum": 15})), [x, y], x.shape)

    def concat(self, values: Sequence[Value]) -> Value:
        """Channels side by side."""
        first = values[0].shape
        shape = (first[0], sum(value.shape[1] for value in values), *first[2:])
        return self.builder.add("Concat", list(values), shape, axis=1)

    def norm(self, x: Value) -> Value:
        """A batch norm that no convolution before it takes in."""
        from numpy import float32, full

        c = x.shape[1]
        if self.chance(0.25):  # as older exporters write it
            scaled = self.builder.add("Mul", [x, self.builder.weight((c, 1, 1), fan_in=200, mean=1.0)], x.shape)
            return self.builder.add("Add", [scaled, self.builder.weight((c, 1, 1), fan_in=200)], x.shape)
        ones = self.builder.constant(full(c, 1, float32))
        shift = self.builder.weight((c,), fan_in=200)
        return self.builder.add("BatchNormalization", [x, ones, shift, shift, ones], x.shape)


def _kernel(net: ImageNetwork, x: Value) -> tuple[int, int]:
    most = min(x.shape[2:])
    k = int(pick(net.generator, {1: 30, 3: 42, 5: 12, 7: 8, 9: 3, 11: 3, 2: 2}))
    k = k if k <= most else 1
    if net.chance(0.08) and k > 1:
        return (1, k) if net.chance(0.5) else (k, 1)
    return k, k


def _plain(net: ImageNetwork, x: Value) -> Value:
    kernel = _kernel(net, x)
    stride = int(pick(net.generator, {1: 78, 2: 19, 4: 3})) if min(x.shape[2:]) >= 14 else 1
    dilation = 2 if kernel[0] == 3 and net.chance(0.06) and min(x.shape[2:]) > 8 else 1
    channels = net.width(most=net.affordable(x, max(kernel), stride))
    same = net.chance(0.85)
    return net.act(net.convolution(x, channels, kernel, stride=stride, dilation=dilation, same=same))


def _pointwise(net: ImageNetwork, x: Value) -> Value:
    return net.act(net.convolution(x, net.width(most=net.affordable(x, 1))))


def _grouped(net: ImageNetwork, x: Value) -> Value:
    """A grouped convolution as in AlexNet, ResNeXt or ShuffleNet, with a shuffle of channels after some."""
    groups = int(pick(net.generator, {2: 35, 4: 20, 8: 20, 32: 15, 3: 10}))
    per_group = net.width(least=4, most=max(4, min(256, net.affordable(x, 3, groups=groups) // groups)))
    x = _to_multiple(net, x, groups)
    kernel = (3, 3) if net.chance(0.6) else (1, 1)
    x = net.act(net.convolution(x, per_group * groups, kernel, groups=groups))
    return _shuffle(net, x, groups) if net.chance(0.4) else x


def _shuffled(net: ImageNetwork, x: Value) -> Value:
    """ShuffleNet's unit: grouped 1x1 convolutions around a depthwise one, beside the input or its average."""
    groups = int(pick(net.generator, {2: 20, 3: 25, 4: 35, 8: 20}))
    x = _to_multiple(net, x, groups)
    c = x.shape[1]
    stride = 2 if net.chance(0.3) and min(x.shape[2:]) >= 8 else 1
    inner = max(groups, c // 4 // groups * groups)
    y = _shuffle(net, net.act(net.convolution(x, inner, groups=groups)), groups)
    y = net.convolution(y, inner, (3, 3), stride=stride, groups=inner)
    y = net.convolution(y, c, groups=groups)
    if stride == 1:
        return net.act(net.sum(x, y))
    return net.act(net.concat([net.pool("AveragePool", x, 3, 2, 1), y]))


def _shuffle(net: ImageNetwork, x: Value, groups: int) -> Value:
    """The groups' channels interleaved."""
    n, c, h, w = x.shape
    shapes = [(n, groups, c // groups, h, w), (n, c // groups, groups, h, w), x.shape]
    x = net.builder.add("Reshape", [x, net.builder.integers(shapes[0])], shapes[0])
    x = net.builder.add("Transpose", [x], shapes[1], perm=[0, 2, 1, 3, 4])
    return net.builder.add("Reshape", [x, net.builder.integers(shapes[2])], shapes[2])


def _to_multiple(net: ImageNetwork, x: Value, groups: int) -> Value:
    if x.shape[1] % groups == 0:
        return x
    return net.act(net.convolution(x, max(1, min(64, net.affordable(x, 1) // groups)) * groups))


def _depthwise(net: ImageNetwork, x: Value) -> Value:
    """Depthwise-separable, as in MobileNet."""
    k = int(pick(net.generator, {3: 70, 5: 25, 7: 5}))
    stride = 2 if net.chance(0.25) and min(x.shape[2:]) >= 8 else 1
    x = net.act(net.convolution(x, x.shape[1], (k, k), stride=stride, groups=x.shape[1]))
    return net.act(net.convolution(x, net.width(most=net.affordable(x, 1))))


def _inverted(net: ImageNetwork, x: Value) -> Value:
    """Inverted residual, with squeeze-and-excitation in some, as in MobileNetV2 and EfficientNet."""
    expand = int(pick(net.generator, {6: 60, 4: 20, 3: 20}))
    inner = min(x.shape[1] * expand, max(8, net.affordable(x, 1, share=0.4)))
    k = int(pick(net.generator, {3: 65, 5: 35}))
    stride = 2 if net.chance(0.3) and min(x.shape[2:]) >= 8 else 1
    y = net.act(net.convolution(x, inner))
    y = net.act(net.convolution(y, inner, (k, k), stride=stride, groups=inner))
    if net.chance(0.5):
        y = _excite(net, y)
    residual = stride == 1 and net.chance(0.7)
    y = net.convolution(y, x.shape[1] if residual else net.width(most=min(512, net.affordable(y, 1))))
    return net.sum(x, y) if residual else y


def _excite(net: ImageNetwork, x: Value) -> Value:
    c = x.shape[1]
    squeezed = net.global_average(x)
    squeezed = net.convolution(squeezed, max(4, c // int(pick(net.generator, {4: 40, 16: 30, 24: 30}))))
    squeezed = net.act(squeezed)
    squeezed = net.convolution(squeezed, c)
    op = str(pick(net.generator, {"Sigmoid": 80, "HardSigmoid": 20}))
    slope = {"alpha": 1 / 6} if op == "HardSigmoid" else {}  # MobileNetV3's and torch's, not ONNX's
    gate = net.builder.add(op, [squeezed], squeezed.shape, **slope)
    return net.builder.add("Mul", [gate, x] if net.chance(0.5) else [x, gate], x.shape)


def _bottleneck(net: ImageNetwork, x: Value) -> Value:
    """ResNet's or ResNeXt's block of three."""
    inner = net.width(most=max(8, min(512, net.affordable(x, 3, share=0.3))))
    groups = 32 if inner % 32 == 0 and inner >= 64 and net.chance(0.25) else 1
    stride = 2 if net.chance(0.25) and min(x.shape[2:]) >= 8 else 1
    outer = x.shape[1] if stride == 1 and net.chance(0.7) else min(inner * 4, max(8, net.affordable(x, 1, stride)))
    y = net.act(net.convolution(x, inner))
    y = net.act(net.convolution(y, inner, (3, 3), stride=stride, groups=groups))
    y = net.convolution(y, outer)
    if groups > 1 and net.chance(0.3):
        y = _excite(net, y)
    short = x if stride == 1 and outer == x.shape[1] else net.convolution(x, outer, stride=stride)
    return net.act(net.sum(y, short))


def _basic(net: ImageNetwork, x: Value) -> Value:
    """ResNet's block of two."""
    stride = 2 if net.chance(0.3) and min(x.shape[2:]) >= 8 else 1
    keep = stride == 1 and net.affordable(x, 3, share=0.9) >= x.shape[1]
    outer = x.shape[1] if keep else net.width(most=net.affordable(x, 3, stride, share=0.4))
    y = net.act(net.convolution(x, outer, (3, 3), stride=stride))
    y = net.convolution(y, outer, (3, 3))
    short = x if keep else net.convolution(x, outer, stride=stride)
    return net.act(net.sum(y, short))


def _dense(net: ImageNetwork, x: Value) -> Value:
    """DenseNet's: norm and activation come before each convolution, and all that came before is read again."""
    growth = net.width(least=12, most=min(64, net.affordable(x, 3, share=0.2)))
    preactivated = net.chance(0.8)
    for _ in range(int(net.generator.integers(1, 5))):
        y = net.act(net.norm(x)) if preactivated else x
        y = net.act(net.convolution(y, min(4 * growth, max(4, net.affordable(y, 1)))))
        y = net.convolution(y, growth, (3, 3))
        x = net.concat([x, y if preactivated else net.act(y)])
    return x


def _inception(net: ImageNetwork, x: Value) -> Value:
    most = max(8, min(384, net.affordable(x, 3, share=0.15)))
    branches = [net.act(net.convolution(x, net.width(most=most)))]
    y = net.act(net.convolution(x, net.width(most=most)))
    branches.append(net.act(net.convolution(y, net.width(most=most), (3, 3))))
    if net.chance(0.6):
        y = net.act(net.convolution(x, net.width(most=most)))
        if net.chance(0.5):
            k = int(pick(net.generator, {3: 40, 7: 60}))
            y = net.act(net.convolution(y, net.width(most=most), (1, k)))
            branches.append(net.act(net.convolution(y, net.width(most=most), (k, 1))))
        else:
            branches.append(net.act(net.convolution(y, net.width(most=max(8, most // 2)), (5, 5))))
    if net.chance(0.7):
        y = net.pool("MaxPool" if net.chance(0.5) else "AveragePool", x, 3, 1, 1)
        branches.append(net.act(net.convolution(y, net.width(most=most))))
    return net.concat(branches)


def _fire(net: ImageNetwork, x: Value) -> Value:
    squeeze = net.act(net.convolution(x, net.width(most=max(8, min(128, net.affordable(x, 1, share=0.2))))))
    outer = net.width(most=max(8, min(512, net.affordable(squeeze, 3, share=0.3))))
    return net.concat([net.act(net.convolution(squeeze, outer)), net.act(net.convolution(squeeze, outer, (3, 3)))])


def _pooling(net: ImageNetwork, x: Value) -> Value:
    if min(x.shape[2:]) < 4:
        return _pointwise(net, x)
    op = str(pick(net.generator, {"MaxPool": 70, "AveragePool": 30}))
    kernel, stride, pad = ((2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1), (5, 1, 2))[int(net.generator.integers(0, 5))]
    return net.pool(op, x, kernel, stride, pad, ceil=stride == 2 and pad == 0 and net.chance(0.4))


def _response_norm(net: ImageNetwork, x: Value) -> Value:
    if math.prod(x.shape) > 1_000_000:
        x = net.pool("MaxPool", x, 3, 2)
    return net.builder.add("LRN", [x], x.shape, size=5, alpha=1e-4, beta=0.75, bias=1.0)


def _hourglass(net: ImageNetwork, x: Value) -> Value:
    """U-Net's and the feature pyramids': down, up again, and what was there before beside it."""
    if min(x.shape[2:]) < 8 or x.shape[2] % 2 or x.shape[3] % 2:
        return _plain(net, x)
    n, _, h, w = x.shape
    y = net.pool("MaxPool", x, 2, 2) if net.chance(0.5) else net.act(net.convolution(x, x.shape[1], (3, 3), stride=2))
    y = net.act(net.convolution(y, net.width(most=max(8, net.affordable(y, 3, share=0.3))), (3, 3)))
    c = y.shape[1]
    way = str(pick(net.generator, {"ConvTranspose": 45, "nearest": 35, "linear": 20}))
    if way == "ConvTranspose":
        k = int(pick(net.generator, {2: 70, 4: 30}))
        outer = max(4, min(c, net.affordable(y, k, share=0.3)) // 2)
        weights = net.builder.weight((c, outer, k, k), fan_in=c)
        y = net.builder.add(
            "ConvTranspose", [y, weights, net.builder.weight((outer,), fan_in=200)], (n, outer, h, w),
            flops=2.0 * math.prod(y.shape) * outer * k * k,
            kernel_shape=[k, k], strides=[2, 2], pads=[(k - 2) // 2] * 4,
        )  # fmt: skip
    else:
        from numpy import array, float32

        scales = net.builder.constant(array([1, 1, 2, 2], float32))
        how = "asymmetric" if way == "nearest" else "half_pixel"
        rounding: dict[str, Any] = {"nearest_mode": "floor"} if way == "nearest" else {}
        y = net.builder.add(
            "Resize", [y, None, scales], (n, c, h, w), mode=way, coordinate_transformation_mode=how, **rounding
        )
    return net.concat([x, y] if net.chance(0.5) else [y, x])


def _gate(net: ImageNetwork, x: Value) -> Value:
    """Elementwise work between two branches."""
    if math.prod(x.shape) > _LARGEST_MAP // 4:
        return _pooling(net, x)
    y = net.convolution(x, x.shape[1]) if net.affordable(x, 1) >= x.shape[1] else x
    op = str(pick(net.generator, {"Mul": 50, "Add": 25, "Sub": 15, "Max": 10}))
    other = net.builder.weight((x.shape[1], 1, 1), fan_in=200, mean=1.0) if net.chance(0.3) else x
    return net.builder.add(op, [y, other], x.shape)


_BLOCKS: dict[Block, float] = {
    _plain: 22, _pointwise: 8, _grouped: 7, _shuffled: 6, _depthwise: 8, _inverted: 12, _bottleneck: 10, _basic: 7,
    _dense: 9, _inception: 8, _fire: 5, _pooling: 8, _response_norm: 4, _hourglass: 6, _gate: 4,
}  # fmt: skip


def image_network(builder: OnnxBuilder, generator: np.random.Generator, scale: float, depth: float) -> None:
    """Draw a convolutional network.

    Args:
        builder: What it is built on.
        generator: Decides everything else.
        scale: From 0 to 1: how much it computes, on a logarithmic scale from 4 MFLOP to 12 GFLOP.
        depth: From 0 to 1: how many blocks, from 3 to 14.
    """
    net = ImageNetwork(builder, generator, 4e6 * 3000**scale)
    batch = int(pick(generator, {1: 93, 2: 3, 4: 2, 8: 2}))
    # An image of many pixels leaves no operations for anything behind it where the budget is small.
    side = log_integer(generator, 12, min(416, int(40 * (net.budget / 4e6) ** 0.35)))
    wide = log_integer(generator, 12, 2 * side) if net.chance(0.15) else side
    start = int(pick(generator, {3: 60, 1: 8, 16: 6, 32: 6, 64: 10, 128: 5, 256: 5}))
    if start * side * wide > _LARGEST_MAP // 4:
        start = 3
    x = builder.input((batch, start, side, wide))
    if start <= 3 and net.chance(0.8):
        kernel = int(pick(generator, {3: 50, 7: 20, 5: 10, 11: 10, 9: 5, 6: 5}))
        kernel = min(kernel, side, wide)
        stride = int(pick(generator, {1: 40, 2: 45, 4: 15})) if min(side, wide) >= 32 else 1
        channels = net.width(least=8, most=min(128, net.affordable(x, kernel, stride, share=0.4)))
        x = net.act(net.convolution(x, channels, (kernel, kernel), stride=stride, same=net.chance(0.8)))
    liked = {block: weight * generator.exponential() for block, weight in _BLOCKS.items()}
    for _ in range(3 + round(11 * depth)):
        if net.left < 0.03 * net.budget:
            break
        if min(x.shape[2:]) > 14 and net.affordable(x, 3) < 16:
            x = net.pool(str(pick(generator, {"MaxPool": 80, "AveragePool": 20})), x, 2, 2)
        elif math.prod(x.shape) > _LARGEST_MAP:
            x = net.pool("MaxPool", x, 2, 2)
        x = pick(generator, liked)(net, x)
    if net.chance(0.1) and net.affordable(x, 1, share=2.0) >= 1000:
        pointwise_classifier(builder, generator, x)
    elif net.chance(0.6):
        if net.chance(0.7):
            x = net.global_average(x)
        classifier(builder, generator, x)
