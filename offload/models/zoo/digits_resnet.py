"""A small residual network for `digits-in-clutter`, its stages named as DeepCOD's tables name those of ResNet-50."""

from __future__ import annotations

from torch import Tensor, nn

from offload.models.zoo.initialisation import ResidualNorm

CLASSES = 10
_WIDTHS = (16, 16, 32, 64, 128)
"""Of the stem and the four stages; each stage but the first halves the sides."""


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut, summed; the rectifier that follows belongs to the network."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _convolution(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.conv2, self.bn2 = _convolution(outputs, outputs, 3), ResidualNorm(outputs)
        self.shortcut = (
            nn.Identity()
            if (inputs, stride) == (outputs, 1)
            else nn.Sequential(_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """The sum, (N, outputs, H / stride, W / stride)."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        output: Tensor = y + self.shortcut(x)
        return output


class DigitsResNet(nn.Module):
    """(N, 3, 64, 64) images, values 0 to 1, to (N, 10) logits.

    `stem` and `block1` to `block4` are the rectifiers that close the stages, so that the tensors one may cut at carry
    these names: 16x32x32 twice, 32x16x16, 64x8x8 and 128x4x4.
    """

    def __init__(self) -> None:
        super().__init__()
        stem, *widths = _WIDTHS
        self.conv, self.bn, self.stem = _convolution(3, stem, 3, 2), nn.BatchNorm2d(stem), nn.ReLU()
        self.stage1, self.block1 = Residual(stem, widths[0], 1), nn.ReLU()
        self.stage2, self.block2 = Residual(widths[0], widths[1], 2), nn.ReLU()
        self.stage3, self.block3 = Residual(widths[1], widths[2], 2), nn.ReLU()
        self.stage4, self.block4 = Residual(widths[2], widths[3], 2), nn.ReLU()
        self.avgpool, self.flatten, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[3], CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Class logits."""
        x = self.stem(self.bn(self.conv(image)))
        x = self.block2(self.stage2(self.block1(self.stage1(x))))
        x = self.block4(self.stage4(self.block3(self.stage3(x))))
        logits: Tensor = self.fc(self.flatten(self.avgpool(x)))
        return logits
