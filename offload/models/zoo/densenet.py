"""DenseNet-121 (Huang et al., CVPR 2017); parameter names are torchvision's, so its published weights load."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

GROWTH, BOTTLENECK = 32, 4
"""Channels that each layer adds, and how many times as wide its 1x1 convolution is."""


class DenseLayer(nn.Module):
    """What one layer adds to all that came before it in its block."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        width = BOTTLENECK * GROWTH
        self.norm1, self.relu1 = nn.BatchNorm2d(inputs), nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.norm2, self.relu2 = nn.BatchNorm2d(width), nn.ReLU()
        self.conv2 = nn.Conv2d(width, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, 32, H, W)."""
        y = self.conv1(self.relu1(self.norm1(x)))
        added: Tensor = self.conv2(self.relu2(self.norm2(y)))
        return added


class DenseBlock(nn.Module):
    """Layers that each read the block's input and the outputs of all layers before."""

    def __init__(self, inputs: int, depth: int) -> None:
        super().__init__()
        for index in range(depth):
            self.add_module(f"denselayer{index + 1}", DenseLayer(inputs + GROWTH * index))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, inputs + 32 · depth, H, W)."""
        known = [x]
        for layer in self.children():
            known.append(layer(torch.cat(known, dim=1) if len(known) > 1 else x))
        return torch.cat(known, dim=1)


def _transition(inputs: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, inputs // 2, 1, bias=False)
    return nn.Sequential(
        OrderedDict(norm=nn.BatchNorm2d(inputs), relu=nn.ReLU(), conv=convolution, pool=nn.AvgPool2d(2))
    )


class DenseNet121(nn.Module):
    """(N, 3, 224, 224) images to (N, 1000) logits; 7,978,856 parameters."""

    def __init__(self) -> None:
        super().__init__()
        features: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(3, 64, 7, 2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(64),
            relu0=nn.ReLU(),
            pool0=nn.MaxPool2d(3, 2, padding=1),
        )
        channels, depths = 64, (6, 12, 24, 16)
        for index, depth in enumerate(depths, start=1):
            features[f"denseblock{index}"] = DenseBlock(channels, depth)
            channels += GROWTH * depth
            if index < len(depths):
                features[f"transition{index}"] = _transition(channels)
                channels //= 2
        self.features = nn.Sequential(features | {"norm5": nn.BatchNorm2d(channels)})
        self.relu, self.avgpool, self.flatten = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.classifier = nn.Linear(channels, 1000)

    def forward(self, image: Tensor) -> Tensor:
        """Class logits."""
        x = self.flatten(self.avgpool(self.relu(self.features(image))))
        logits: Tensor = self.classifier(x)
        return logits
