"""Inception-v3 (Szegedy et al., CVPR 2016) without the auxiliary classifier, which serves training only.

Parameter names are torchvision's, so its published weights load once those of `AuxLogits` are left out.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

Size = int | tuple[int, int]
Step = tuple[str, int, Size] | tuple[str, int, Size, int]
"""Name, output channels, kernel, and stride when it is not 1."""


class Convolution(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: Size, stride: int = 1, *, padded: bool = True) -> None:
        super().__init__()
        rows, columns = (size, size) if isinstance(size, int) else size
        padding = (rows // 2, columns // 2) if padded and stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, (rows, columns), stride, padding=padding, bias=False)
        self.bn, self.relu = nn.BatchNorm2d(outputs, eps=0.001), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H', W')."""
        y: Tensor = self.relu(self.bn(self.conv(x)))
        return y


class Mixed(nn.Module):
    """Chains of convolutions side by side, and a pooling branch; what they make is concatenated.

    Args:
        inputs: Channels of the input.
        chains: Steps that follow one another; those of equal name but for a last letter, as `3x3_2a` and `3x3_2b`,
            both read the step before them and end the chain.
        pooled: Channels of the convolution after an average pooling; None for a maximum pooling of stride 2 alone.
    """

    def __init__(self, inputs: int, *chains: tuple[Step, ...], pooled: int | None = None) -> None:
        super().__init__()
        self.chains: list[list[list[str]]] = []
        for chain in chains:
            steps: list[list[str]] = []
            channels = taken = inputs
            for name, outputs, size, *stride in chain:
                beside = bool(steps) and name[:-1] == steps[-1][-1][:-1] and name[-1].isalpha()
                taken = taken if beside else channels
                self.add_module(f"branch{name}", Convolution(taken, outputs, size, *stride))
                if beside:
                    steps[-1].append(name)
                else:
                    steps.append([name])
                channels = outputs
            self.chains.append(steps)
        if pooled is None:
            self.pool: nn.Module = nn.MaxPool2d(3, 2)
            self.branch_pool: nn.Module = nn.Identity()
        else:
            self.pool, self.branch_pool = nn.AvgPool2d(3, 1, padding=1), Convolution(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to the branches' channels together."""
        made: list[Tensor] = []
        for steps in self.chains:
            ends = [x]
            for names in steps:
                ends = [self.get_submodule(f"branch{name}")(ends[0]) for name in names]
            made += ends
        return torch.cat([*made, self.branch_pool(self.pool(x))], dim=1)


def _factorised(width: int) -> Mixed:
    """Figure 6 of the paper with n = 7: 768 channels at 17x17."""
    row, column = (1, 7), (7, 1)
    double: tuple[Step, ...] = (
        ("7x7dbl_1", width, 1),
        ("7x7dbl_2", width, column),
        ("7x7dbl_3", width, row),
        ("7x7dbl_4", width, column),
        ("7x7dbl_5", 192, row),
    )
    single: tuple[Step, ...] = (("7x7_1", width, 1), ("7x7_2", width, row), ("7x7_3", 192, column))
    return Mixed(768, (("1x1", 192, 1),), single, double, pooled=192)


def _wide(inputs: int) -> Mixed:
    """Figure 7 of the paper: filter banks that widen, at 8x8."""
    row, column = (1, 3), (3, 1)
    return Mixed(
        inputs,
        (("1x1", 320, 1),),
        (("3x3_1", 384, 1), ("3x3_2a", 384, row), ("3x3_2b", 384, column)),
        (("3x3dbl_1", 448, 1), ("3x3dbl_2", 384, 3), ("3x3dbl_3a", 384, row), ("3x3dbl_3b", 384, column)),
        pooled=192,
    )


def _double(stride: int = 1) -> tuple[Step, ...]:
    return ("3x3dbl_1", 64, 1), ("3x3dbl_2", 96, 3), ("3x3dbl_3", 96, 3, stride)


def _towers(inputs: int, pooled: int) -> Mixed:
    """Figure 5 of the paper, with a 5x5 convolution kept: at 35x35."""
    return Mixed(inputs, (("1x1", 64, 1),), (("5x5_1", 48, 1), ("5x5_2", 64, 5)), _double(), pooled=pooled)


_SHRINKING: tuple[tuple[Step, ...], ...] = (
    (("3x3_1", 192, 1), ("3x3_2", 320, 3, 2)),
    (("7x7x3_1", 192, 1), ("7x7x3_2", 192, (1, 7)), ("7x7x3_3", 192, (7, 1)), ("7x7x3_4", 192, 3, 2)),
)
"""From 17x17 to 8x8."""


def inception_v3() -> nn.Module:
    """(N, 3, 299, 299) images to (N, 1000) logits; 23,834,568 parameters."""
    return nn.Sequential(
        OrderedDict(
            Conv2d_1a_3x3=Convolution(3, 32, 3, 2),
            Conv2d_2a_3x3=Convolution(32, 32, 3, padded=False),
            Conv2d_2b_3x3=Convolution(32, 64, 3),
            maxpool1=nn.MaxPool2d(3, 2),
            Conv2d_3b_1x1=Convolution(64, 80, 1),
            Conv2d_4a_3x3=Convolution(80, 192, 3, padded=False),
            maxpool2=nn.MaxPool2d(3, 2),
            Mixed_5b=_towers(192, 32),
            Mixed_5c=_towers(256, 64),
            Mixed_5d=_towers(288, 64),
            Mixed_6a=Mixed(288, (("3x3", 384, 3, 2),), _double(2)),
            Mixed_6b=_factorised(128),
            Mixed_6c=_factorised(160),
            Mixed_6d=_factorised(160),
            Mixed_6e=_factorised(192),
            Mixed_7a=Mixed(768, *_SHRINKING),
            Mixed_7b=_wide(1280),
            Mixed_7c=_wide(2048),
            avgpool=nn.AdaptiveAvgPool2d(1),
            dropout=nn.Dropout(),
            flatten=nn.Flatten(),
            fc=nn.Linear(2048, 1000),
        )
    )
