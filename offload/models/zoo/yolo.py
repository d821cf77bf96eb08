"""The YOLO detectors (Redmon and Farhadi, "YOLO9000", CVPR 2017, and "YOLOv3", 2018) up to their raw predictions.

A prediction map holds, for each cell and each anchor, four box coordinates, an objectness and a score for each class;
turning it into boxes is the application's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from offload.models.zoo.initialisation import ResidualNorm

VOC_CHANNELS = 5 * (5 + 20)
"""Five anchors, the 20 classes of Pascal VOC."""
COCO_CHANNELS = 3 * (5 + 80)
"""Three anchors at each scale, the 80 classes of COCO."""


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1, *, residual: bool = False) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    norm = ResidualNorm(outputs) if residual else nn.BatchNorm2d(outputs)
    return nn.Sequential(OrderedDict(conv=convolution, norm=norm, leaky=nn.LeakyReLU(0.1)))


def _numbered(inputs: int, stages: Sequence[Sequence[int]], *, first: int = 1) -> nn.Sequential:
    """Stages with a max pooling between each two: 3x3 convolutions, and 1x1 wherever the channels shrink in a stage."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels, number = inputs, first
    for index, stage in enumerate(stages):
        if index:
            layers[f"pool{number - 1}"] = nn.MaxPool2d(2)
        for outputs in stage:
            layers[f"conv{number}"] = _convolution(channels, outputs, 1 if outputs < channels else 3)
            channels, number = outputs, number + 1
    return nn.Sequential(layers)


class BigYolo(nn.Module):
    """(N, 3, 416, 416) images to (N, 125, 13, 13) predictions: YOLOv2, 22 convolutions, 67,137,565 parameters.

    As in the paper, the 26x26 map reaches the 13x13 one without a convolution on the way. (The network distributed
    later under the same name has a 23rd there, 1x1 to 64 channels.)
    """

    def __init__(self) -> None:
        super().__init__()
        fine = ((32,), (64,), (128, 64, 128), (256, 128, 256), (512, 256, 512, 256, 512))
        self.fine, self.pool13 = _numbered(3, fine), nn.MaxPool2d(2)
        self.coarse = _numbered(512, ((1024, 512, 1024, 512, 1024, 1024, 1024),), first=14)
        self.reorg = nn.PixelUnshuffle(2)
        self.conv21, self.conv22 = _convolution(3072, 1024, 3), nn.Conv2d(1024, VOC_CHANNELS, 1)

    def forward(self, image: Tensor) -> Tensor:
        """The raw predictions."""
        fine = self.fine(image)
        coarse = self.coarse(self.pool13(fine))
        predictions: Tensor = self.conv22(self.conv21(torch.cat((self.reorg(fine), coarse), dim=1)))
        return predictions


class TinyYolo(nn.Module):
    """(N, 3, 416, 416) images to (N, 125, 13, 13) predictions: 9 convolutions, 15,861,773 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.features = _numbered(3, ((16,), (32,), (64,), (128,), (256,), (512,)))
        # Darknet's pooling of stride 1 keeps the size: the last row and column stand in for those outside.
        self.pad6, self.pool6 = nn.ReplicationPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, 1)
        self.conv7, self.conv8 = _convolution(512, 1024, 3), _convolution(1024, 1024, 3)
        self.conv9 = nn.Conv2d(1024, VOC_CHANNELS, 1)

    def forward(self, image: Tensor) -> Tensor:
        """The raw predictions."""
        x = self.pool6(self.pad6(self.features(image)))
        predictions: Tensor = self.conv9(self.conv8(self.conv7(x)))
        return predictions


class _Residual(nn.Module):
    """1x1 to half the channels and 3x3 back, beside the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = _convolution(channels, channels // 2, 1)
        self.expand = _convolution(channels // 2, channels, 3, residual=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.expand(self.squeeze(x))
        return x + y


def _darknet53(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, outputs, 3, 2), *(_Residual(outputs) for _ in range(blocks)))


class _Scale(nn.Module):
    """Five alternating convolutions, whose output the finer scale reads, and the prediction."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        shape = ((inputs, width, 1), (width, 2 * width, 3), (2 * width, width, 1), (width, 2 * width, 3))
        self.body = nn.Sequential(*(_convolution(*each) for each in shape), _convolution(2 * width, width, 1))
        self.last, self.predict = _convolution(width, 2 * width, 3), nn.Conv2d(2 * width, COCO_CHANNELS, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.body(x)
        return y, self.predict(self.last(y))


def _up(inputs: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, inputs // 2, 1), nn.Upsample(scale_factor=2.0))


class YoloV3(nn.Module):
    """(N, 3, 416, 416) images to predictions of 255 channels at 13x13, 26x26 and 52x52; 61,949,149 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, 32, 3), _darknet53(32, 64, 1), _darknet53(64, 128, 2))
        self.stage3, self.stage4, self.stage5 = (
            _darknet53(128, 256, 8),
            _darknet53(256, 512, 8),
            _darknet53(512, 1024, 4),
        )
        self.coarse, self.up1 = _Scale(1024, 512), _up(512)
        self.middle, self.up2 = _Scale(512 + 256, 256), _up(256)
        self.fine = _Scale(256 + 128, 128)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The raw predictions, coarsest first."""
        map52 = self.stage3(self.stem(image))
        map26 = self.stage4(map52)
        x, coarse = self.coarse(self.stage5(map26))
        x, middle = self.middle(torch.cat((self.up1(x), map26), dim=1))
        _, fine = self.fine(torch.cat((self.up2(x), map52), dim=1))
        return coarse, middle, fine
