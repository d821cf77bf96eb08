"""Locally connected layers: convolutions whose filters differ from place to place ("untied", Caffe's `Local`)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LocalConvolution(nn.Module):
    """(N, C, S, S) to (N, `outputs`, side, side), with a filter and a bias of its own at each output position.

    Rows and columns under the windows are gathered, all channels of a pixel at once; then one batched matrix product
    applies all filters, which reads each weight once.
    """

    def __init__(self, inputs: int, outputs: int, size: int, *, input_side: int, stride: int = 1) -> None:
        super().__init__()
        self.size, self.side = size, (input_side - size) // stride + 1
        positions, taps = self.side * self.side, inputs * size * size
        self.weight = nn.Parameter(torch.empty(positions, taps, outputs))
        """The filters of each position; their taps run over rows, columns and channels, channels fastest."""
        self.bias = nn.Parameter(torch.empty(positions, 1, outputs))
        starts = torch.arange(self.side).mul(stride).unsqueeze(1)
        self.register_buffer("taken", (starts + torch.arange(size)).flatten(), persistent=False)
        """Row, and column, of each tap of each window."""

    def forward(self, x: Tensor) -> Tensor:
        """Each window times its own filters."""
        count, channels = x.shape[:2]
        taken = self.get_buffer("taken")
        windows = x.permute(2, 3, 0, 1).index_select(0, taken).index_select(1, taken)
        windows = windows.reshape(self.side, self.size, self.side, self.size, count, channels)
        windows = windows.permute(0, 2, 4, 1, 3, 5).reshape(self.side * self.side, count, -1)
        y = torch.matmul(windows, self.weight) + self.bias
        return y.permute(1, 2, 0).reshape(count, -1, self.side, self.side)
