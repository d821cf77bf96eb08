"""DeepSpeech (Hannun et al., 2014): dense layers, one bidirectional recurrent layer, characters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURES, CONTEXT, WIDTH, CHARACTERS, CLIP = 81, 9, 2048, 29, 20.0
"""80 log filter banks and the energy; 9 frames before and 9 after; a to z, space, apostrophe, blank; min(max(0, z), 20)
as activation."""


class ClippedRecurrence(nn.Module):
    """(T, N, I) to (T, 2, N, H): h[t] = min(max(0, W x[t] + b + R h[t ∓ 1]), 20), forwards and backwards.

    As in the paper, both directions share W and b. It reaches ONNX as one `RNN` node, whose clipping to ±20 before
    a ReLU is the same function.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(hidden, inputs))
        self.bias = nn.Parameter(torch.empty(hidden))
        self.recurrent = nn.Parameter(torch.empty(2, hidden, hidden))

    def forward(self, x: Tensor) -> Tensor:
        """States of both directions, each at its own time."""
        hidden = self.bias.shape[0]
        if torch.onnx.is_in_onnx_export():
            weight = self.weight.expand(2, -1, -1)
            bias = torch.cat((self.bias, torch.zeros_like(self.bias))).expand(2, -1)
            attributes: dict[str, Any] = {
                "hidden_size": hidden, "direction": "bidirectional", "activations": ["Relu", "Relu"], "clip": CLIP,
            }  # fmt: skip
            shape = (x.shape[0], 2, x.shape[1], hidden)
            operands = (x, weight, self.recurrent, bias)
            return torch.onnx.ops.symbolic("RNN", operands, attributes, dtype=x.dtype, shape=shape, version=None)
        driven = functional.linear(x, self.weight, self.bias)
        forwards = _states(driven, self.recurrent[0])
        backwards = _states(driven.flip(0), self.recurrent[1]).flip(0)
        return torch.stack((forwards, backwards), dim=1)


def _states(driven: Tensor, recurrent: Tensor) -> Tensor:
    first, *others = driven.unbind(0)
    states = [first.clamp(0, CLIP)]
    for step in others:
        states.append(torch.addmm(step, states[-1], recurrent.T).clamp(0, CLIP))
    return torch.stack(states)


class DeepSpeech(nn.Module):
    """(N, T, 81) spectrogram frames, 10 ms each, to (T / 2, N, 29) character probabilities; 28,387,357 parameters.

    The first layer sees 19 frames at once and takes every second window, as the paper does to halve the steps of the
    recurrent layer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dense1 = nn.Conv1d(FEATURES, WIDTH, 2 * CONTEXT + 1, stride=2, padding=CONTEXT)
        self.dense2, self.dense3 = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.recurrent4 = ClippedRecurrence(WIDTH, WIDTH)
        self.dense5, self.dense6 = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CHARACTERS)
        self.relu1, self.relu2, self.relu3, self.relu5 = (nn.Hardtanh(0, CLIP) for _ in range(4))
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, frames: Tensor) -> Tensor:
        """The probability of each character at each step."""
        x = self.relu1(self.dense1(frames.transpose(1, 2))).permute(2, 0, 1)
        steps, count = x.shape[:2]
        x = self.relu3(self.dense3(self.relu2(self.dense2(x.flatten(0, 1)))))
        x = self.recurrent4(x.view(steps, count, -1)).sum(dim=1)
        x = self.relu5(self.dense5(x.flatten(0, 1)))
        characters: Tensor = self.softmax(self.dense6(x))
        return characters.view(steps, count, -1)
