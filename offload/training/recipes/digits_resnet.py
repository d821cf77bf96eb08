"""Trains `digits_resnet` and writes its weights: `python -m offload.training.recipes.digits_resnet`.

Every step takes images that no step took before, composed from the training glyphs and photographs; the validation
images tell how far it is, and nothing is chosen by them. About five minutes on one core.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from offload.datasets.base import Split
from offload.datasets.digits_in_clutter import SIZES, compose
from offload.models.zoo.digits_resnet import DigitsResNet
from offload.training.recipes.saving import save_half

SEED, STEPS, BATCH, PEAK_RATE, DECAY = 0, 2600, 64, 4e-3, 1e-2
_VALIDATE_EVERY = 200


def train(steps: int = STEPS) -> nn.Module:
    """The trained network, in evaluation mode; the same weights on the same machine with the same thread count."""
    torch.manual_seed(SEED)
    network = DigitsResNet()  # as torch initialises it; the zoo's initialisation is for measuring, and learns later
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # trains in two thirds of the time
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    for step in range(steps):
        images, digits = _composed("train", step * BATCH, (step + 1) * BATCH)
        network.train()
        loss = nn.functional.cross_entropy(network(images), digits)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % _VALIDATE_EVERY == _VALIDATE_EVERY - 1:
            print(
                f"step {step + 1}: loss {loss.item():.3f}, validation {accuracy(network, 'validation'):.4f}", flush=True
            )
    return network.eval()


def accuracy(network: nn.Module, split: Split) -> float:
    """The share of the split's images that are answered rightly."""
    network.eval()
    right = 0
    with torch.inference_mode():
        for start in range(0, SIZES[split], BATCH):
            images, digits = _composed(split, start, min(start + BATCH, SIZES[split]))
            right += int((network(images).argmax(1) == digits).sum())
    return right / SIZES[split]


def _composed(split: Split, start: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
    images, digits = compose(split, np.arange(start, end))
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255, torch.from_numpy(digits)


if __name__ == "__main__":
    trained = save_half(train(), "digits_resnet")
    print(f"test accuracy of the saved weights: {accuracy(trained, 'test'):.4f}")
