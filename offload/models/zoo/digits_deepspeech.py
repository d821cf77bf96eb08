"""DeepSpeech (Hannun et al., 2014) on a small scale for `spoken-digits`, its layers named as the paper counts them."""

from __future__ import annotations

from torch import Tensor, nn

from offload.models.zoo.deepspeech import CLIP, ClippedRecurrence

BANDS, CONTEXT, WIDTH, TOKENS = 32, 4, 128, 11
"""Log-mel bands; 4 frames before and 4 after; ten digits and the blank, which is last."""


class _BatchFirst(nn.Module):
    """(T, N, H) to (N, T, H); a module, so that what it gives has a name of its own."""

    def forward(self, states: Tensor) -> Tensor:
        return states.transpose(0, 1)


class DigitsDeepSpeech(nn.Module):
    """(N, T, 32) frames to (N, T / 2, 11): log-probabilities of each digit and the blank at each step.

    `layer1` to `layer3` and `layer5` are the clipped rectifiers that close the dense layers, `layer4` the recurrent
    layer's answer, so that the tensors one may cut at carry these names: each (N, T / 2, 128).
    """

    def __init__(self) -> None:
        super().__init__()
        self.dense1 = nn.Conv1d(BANDS, WIDTH, 2 * CONTEXT + 1, stride=2, padding=CONTEXT)
        self.dense2, self.dense3 = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.layer1, self.layer2, self.layer3, self.layer5 = (nn.Hardtanh(0, CLIP) for _ in range(4))
        self.recurrent4, self.layer4 = ClippedRecurrence(WIDTH, WIDTH), _BatchFirst()
        self.dense5, self.dense6 = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, TOKENS)
        self.softmax = nn.LogSoftmax(dim=-1)

    def forward(self, frames: Tensor) -> Tensor:
        """Log-probability of each token at each step."""
        x = self.layer1(self.dense1(frames.transpose(1, 2)).transpose(1, 2))
        x = self.layer3(self.dense3(self.layer2(self.dense2(x))))
        x = self.layer4(self.recurrent4(x.transpose(0, 1)).sum(dim=1))
        tokens: Tensor = self.softmax(self.dense6(self.layer5(self.dense5(x))))
        return tokens
