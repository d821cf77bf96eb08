"""Trains `digits_deepspeech` and writes its weights: `python -m offload.training.recipes.digits_deepspeech`.

Every step takes sequences that no step took before, composed for the training speakers. About three
minutes on one core.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from offload.datasets.base import Split
from offload.datasets.spoken_digits import SIZES, answers, compose
from offload.datasets.tasks import errors_of
from offload.models.zoo.digits_deepspeech import TOKENS, DigitsDeepSpeech
from offload.models.zoo.initialisation import initialise
from offload.training.recipes.saving import save_half

SEED, STEPS, BATCH, PEAK_RATE, DECAY, LARGEST_GRADIENT = 0, 4000, 32, 2e-3, 1e-2, 1.0
_VALIDATE_EVERY = 500


def train(steps: int = STEPS) -> nn.Module:
    """The trained network, in evaluation mode; the same weights on the same machine with the same thread count."""
    network = DigitsDeepSpeech()
    initialise(network, seed=SEED)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    criterion = nn.CTCLoss(blank=TOKENS - 1)
    for step in range(steps):
        indices = np.arange(step * BATCH, (step + 1) * BATCH)
        said = answers("train", indices)
        scores = network(torch.from_numpy(compose("train", indices))).transpose(0, 1)
        steps_each = torch.full((BATCH,), scores.shape[0])
        targets = torch.tensor([digit for each in said for digit in each])
        loss = criterion(scores, targets, steps_each, torch.tensor([len(each) for each in said]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        if step % _VALIDATE_EVERY == _VALIDATE_EVERY - 1:
            rate = token_error_rate(network, "validation")
            print(f"step {step + 1}: loss {loss.item():.3f}, validation token error rate {rate:.4f}", flush=True)
    return network.eval()


def token_error_rate(network: nn.Module, split: Split) -> float:
    """Edits from the decoded to the true sequences, over the true digits, for a whole split."""
    network.eval()
    indices = np.arange(SIZES[split])
    with torch.inference_mode():
        scores = np.concatenate([network(torch.from_numpy(each)).numpy() for each in _batches(split, indices)])
    network.train()
    errors, weights = errors_of("ctc", scores, answers(split, indices))
    return float(errors.sum() / weights.sum())


def _batches(split: Split, indices: np.typing.NDArray[np.int64]) -> list[np.typing.NDArray[np.float32]]:
    return [compose(split, indices[start : start + BATCH]) for start in range(0, len(indices), BATCH)]


if __name__ == "__main__":
    trained = save_half(train(), "digits_deepspeech")
    print(f"test token error rate of the saved weights: {token_error_rate(trained, 'test'):.4f}")
