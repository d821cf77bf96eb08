"""AlexNet as Caffe defined it: 227x227 input, grouped convolutions, normalisation after pooling.

This is the network Neurosurgeon calls IMC (Kang et al., ASPLOS 2017); its definition is the public
`common/configs/imc.prototxt` of `ypkang/djinn`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class CrossChannelNorm(nn.LocalResponseNorm):
    """`nn.LocalResponseNorm` that reaches ONNX as one `LRN` node instead of the eight ops it decomposes into."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalised tensor, in the shape of `input` (N, C, H, W)."""
        if not torch.onnx.is_in_onnx_export():
            return super().forward(input)
        attributes: dict[str, Any] = {"size": self.size, "alpha": self.alpha, "beta": self.beta, "bias": self.k}
        return torch.onnx.ops.symbolic("LRN", (input,), attributes, dtype=input.dtype, shape=input.shape, version=None)


class AlexNet(nn.Module):
    """(N, 3, 227, 227) images to (N, 1000) probabilities and (N,) classes; 60,965,224 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(3, 96, 11, stride=4), nn.ReLU()
        self.pool1, self.norm1 = nn.MaxPool2d(3, 2), CrossChannelNorm(5, 1e-4, 0.75, 1.0)
        self.conv2, self.relu2 = nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU()
        self.pool2, self.norm2 = nn.MaxPool2d(3, 2), CrossChannelNorm(5, 1e-4, 0.75, 1.0)
        self.conv3, self.relu3 = nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()
        self.conv4, self.relu4 = nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()
        self.conv5, self.relu5 = nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU()
        self.pool5, self.flatten = nn.MaxPool2d(3, 2), nn.Flatten()
        self.fc6, self.relu6, self.drop6 = nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout()
        self.fc7, self.relu7, self.drop7 = nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()
        self.fc8, self.prob = nn.Linear(4096, 1000), nn.Softmax(dim=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Class probabilities, and the likeliest class."""
        x = self.norm1(self.pool1(self.relu1(self.conv1(image))))
        x = self.norm2(self.pool2(self.relu2(self.conv2(x))))
        x = self.relu4(self.conv4(self.relu3(self.conv3(x))))
        x = self.flatten(self.pool5(self.relu5(self.conv5(x))))
        x = self.drop6(self.relu6(self.fc6(x)))
        x = self.drop7(self.relu7(self.fc7(x)))
        probabilities: Tensor = self.prob(self.fc8(x))
        return probabilities, probabilities.argmax(dim=1)
