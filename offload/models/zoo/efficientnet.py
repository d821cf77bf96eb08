"""EfficientNet-B0 (Tan and Le, ICML 2019); parameter names are torchvision's, so its published weights load."""

from __future__ import annotations

from torch import Tensor, nn

from offload.models.zoo.initialisation import Gate, ResidualNorm

STAGES = (
    (1, 16, 3, 1, 1),
    (6, 24, 3, 2, 2),
    (6, 40, 5, 2, 2),
    (6, 80, 3, 2, 3),
    (6, 112, 5, 1, 3),
    (6, 192, 5, 2, 4),
    (6, 320, 3, 1, 1),
)
"""Expansion, output channels, kernel, first stride and blocks: table 1 of the paper."""


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.SiLU())


class SqueezeExcitation(nn.Module):
    """Each channel scaled by what all channels' means say (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.activation = nn.Conv2d(channels, squeezed, 1), nn.SiLU()
        self.fc2, self.scale_activation = Gate(squeezed, channels, 1), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Scaled channels, in the shape of `x` (N, C, H, W)."""
        scale: Tensor = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        return scale * x


class MobileBlock(nn.Module):
    """Expand, filter by depth, squeeze and excite, project; beside the input where the shapes allow."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        norm = ResidualNorm(outputs) if self.residual else nn.BatchNorm2d(outputs)
        self.block = nn.Sequential(
            *([_convolution(inputs, width, 1)] if expansion > 1 else []),
            _convolution(width, width, size, stride, groups=width),
            SqueezeExcitation(width, inputs // 4),
            nn.Sequential(nn.Conv2d(width, outputs, 1, bias=False), norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.block(x)
        return x + y if self.residual else y


class EfficientNetB0(nn.Module):
    """(N, 3, 224, 224) images to (N, 1000) logits; 5,288,548 parameters."""

    def __init__(self) -> None:
        super().__init__()
        features: list[nn.Module] = [_convolution(3, 32, 3, 2)]
        channels = 32
        for expansion, outputs, size, stride, depth in STAGES:
            blocks: list[nn.Module] = []
            for position in range(depth):
                blocks.append(MobileBlock(channels, outputs, size, 1 if position else stride, expansion))
                channels = outputs
            features.append(nn.Sequential(*blocks))
        self.features = nn.Sequential(*features, _convolution(channels, 1280, 1))
        self.avgpool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, image: Tensor) -> Tensor:
        """Class logits."""
        logits: Tensor = self.classifier(self.flatten(self.avgpool(self.features(image))))
        return logits
