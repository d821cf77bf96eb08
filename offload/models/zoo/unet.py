"""U-Net (Ronneberger et al., MICCAI 2015) with padded convolutions and batch norm.

Half the paper's width (32 channels at full resolution, not 64): a quarter of its 31 M parameters and of its time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _double_convolution(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """(N, 3, 256, 256) images to (N, 1, 256, 256) mask probabilities; four levels, each with a skip connection."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = [width << level for level in range(5)]
        self.encoder1, self.pool1 = _double_convolution(3, widths[0]), nn.MaxPool2d(2)
        self.encoder2, self.pool2 = _double_convolution(widths[0], widths[1]), nn.MaxPool2d(2)
        self.encoder3, self.pool3 = _double_convolution(widths[1], widths[2]), nn.MaxPool2d(2)
        self.encoder4, self.pool4 = _double_convolution(widths[2], widths[3]), nn.MaxPool2d(2)
        self.bottleneck = _double_convolution(widths[3], widths[4])
        self.up4, self.decoder4 = _up(widths[4]), _double_convolution(widths[4], widths[3])
        self.up3, self.decoder3 = _up(widths[3]), _double_convolution(widths[3], widths[2])
        self.up2, self.decoder2 = _up(widths[2]), _double_convolution(widths[2], widths[1])
        self.up1, self.decoder1 = _up(widths[1]), _double_convolution(widths[1], widths[0])
        self.head, self.mask = nn.Conv2d(widths[0], 1, 1), nn.Sigmoid()

    def forward(self, image: Tensor) -> Tensor:
        """The probability of each pixel to belong to the object."""
        skip1 = self.encoder1(image)
        skip2 = self.encoder2(self.pool1(skip1))
        skip3 = self.encoder3(self.pool2(skip2))
        skip4 = self.encoder4(self.pool3(skip3))
        x = self.bottleneck(self.pool4(skip4))
        x = self.decoder4(torch.cat((self.up4(x), skip4), dim=1))
        x = self.decoder3(torch.cat((self.up3(x), skip3), dim=1))
        x = self.decoder2(torch.cat((self.up2(x), skip2), dim=1))
        x = self.decoder1(torch.cat((self.up1(x), skip1), dim=1))
        probabilities: Tensor = self.mask(self.head(x))
        return probabilities


def _up(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels // 2, 2, stride=2)
