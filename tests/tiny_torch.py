"""Torch modules small enough to export in a second."""

from __future__ import annotations

import torch
from torch import nn


class Branches(nn.Module):
    """Two branches that meet; one of them is an output as well."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.left = nn.Linear(8, 4)
        self.right = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        stem = torch.relu(self.stem(x))
        left = self.left(stem)
        return left, left * torch.tanh(self.right(stem))


def branches() -> nn.Module:
    return Branches()
