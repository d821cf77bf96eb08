"""Training ELF's attention LSTM: by how much objects leave the straight line that they are on.

Zhang et al., MobiCom 2021, has the architecture; what is read and told here is in `offload.video.proposals.lstm`, which
also runs it. Boxes that are read carry a detector's noise, those that are taught do not, and none of them is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from offload.errors import OffloadError
from offload.progress import NullProgress, Progress
from offload.version import __version__
from offload.video.proposals.lstm import GAIN, HIDDEN, READ, TOLD, WINDOW, read
from offload.video.proposals.trajectories import Examples, Trajectories, examples_of
from offload.video.proposals.weights_file import PredictorWeights, Recipe

STEPS, BATCH, PEAK_RATE = 3000, 256, 2e-2
NOISES = (0.0, 0.02, 0.04)
"""Of the detector, shares of a box's side: every path is read with each."""
MOST_EXAMPLES = 200_000
_SHOWN_EVERY = 100
_BEND = 0.2
"""Errors above this, times GAIN, count by their size and not by its square: turns back are rare and large."""


@dataclass(frozen=True, kw_only=True)
class PredictorTraining:
    """What a training made."""

    weights: PredictorWeights
    losses: tuple[float, ...]
    """Mean over each hundred steps, or what was left of them."""


class ProposalNetwork(nn.Module):
    """(objects, WINDOW, 5) to (objects, 4), both as `read` has them; 1 165 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(READ, HIDDEN, batch_first=True)
        self.attention = nn.Sequential(nn.Linear(2 * HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1))
        self.joining = nn.Linear(HIDDEN + READ, TOLD)
        self.decoder = nn.LSTM(TOLD, HIDDEN, batch_first=True)
        self.telling = nn.Linear(HIDDEN, TOLD)
        nn.init.zeros_(self.telling.weight)  # what is not trained tells linear motion
        nn.init.zeros_(self.telling.bias)

    def forward(self, features: Tensor) -> Tensor:
        """By how much each side leaves the line, in the features' unit."""
        encoded, (hidden, cell) = self.encoder(features)
        asked = hidden[0].unsqueeze(1).expand_as(encoded)
        weight = torch.softmax(self.attention(torch.cat([encoded, asked], dim=2)), dim=1)
        context = (weight * encoded).sum(dim=1)
        joined = self.joining(torch.cat([context, features[:, -1]], dim=1))
        decoded, _ = self.decoder(joined.unsqueeze(1), (hidden, cell))
        answer: Tensor = self.telling(decoded[:, 0])
        return answer


def train_predictor(
    parts: Sequence[Trajectories], *, source: str, seed: int = 0, steps: int = STEPS, progress: Progress | None = None
) -> PredictorTraining:
    """Train on trajectories; the same weights on the same machine for the same arguments, on one thread.

    Args:
        parts: Of a clip each.
        source: What they are, for the recipe.
        seed: Of weights, noise and order.
        steps: Batches of BATCH examples.
        progress: Observer.

    Raises:
        OffloadError: no object is seen for three frames on end.
    """
    progress = progress or NullProgress()
    features, wanted = _taught(parts, seed)
    with torch.random.fork_rng(devices=()), _one_thread():
        torch.manual_seed(seed)
        network = ProposalNetwork()
        optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=max(2, steps), pct_start=0.2)
        losses: list[float] = []
        progress.start("training", steps)
        for step in range(steps):
            rows = torch.randint(0, len(wanted), (BATCH,))
            read, right = _mirrored(features[rows], wanted[rows])
            loss = nn.functional.smooth_l1_loss(network(read), right, beta=_BEND)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if step % _SHOWN_EVERY == _SHOWN_EVERY - 1:
                progress.advance(_SHOWN_EVERY)
                progress.detail(f"loss {np.mean(losses[-_SHOWN_EVERY:]):.4g}")
        progress.finish()
    shown = [float(np.mean(losses[start : start + _SHOWN_EVERY])) for start in range(0, steps, _SHOWN_EVERY)]
    recipe: Recipe = {
        "source": source,
        "examples": len(wanted),
        "noises": "/".join(f"{noise:g}" for noise in NOISES),
        "seed": seed,
        "steps": steps,
        "batch": BATCH,
        "peak_rate": PEAK_RATE,
        "loss_first": round(shown[0], 6),
        "loss_last": round(shown[-1], 6),
        "tool_version": __version__,
    }
    tensors = {name: tensor.detach().numpy().copy() for name, tensor in network.state_dict().items()}
    return PredictorTraining(weights=PredictorWeights(tensors=tensors, recipe=recipe), losses=tuple(shown))


@contextmanager
def _one_thread() -> Iterator[None]:
    """The network is too small for more; and with one the weights do not depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _taught(parts: Sequence[Trajectories], seed: int) -> tuple[Tensor, Tensor]:
    """Features, (examples, WINDOW, 5), and what the network is to tell, (examples, 4)."""
    pairs = [
        _pair(examples_of(part, window=WINDOW, noise=noise, seed=seed * len(NOISES) + index))
        for part in parts
        for index, noise in enumerate(NOISES)
    ]
    features, wanted = (torch.from_numpy(np.concatenate(each)).float() for each in zip(*pairs, strict=True))
    if not len(wanted):
        raise OffloadError(
            "no object is seen for three frames on end: there is nothing to learn from", hint="give longer clips"
        )
    if len(wanted) > MOST_EXAMPLES:
        kept = np.random.default_rng(seed).permutation(len(wanted))[:MOST_EXAMPLES]
        features, wanted = features[kept], wanted[kept]
    return features, wanted


def _pair(examples: Examples) -> tuple[np.typing.NDArray[np.float64], np.typing.NDArray[np.float64]]:
    """Of objects that were seen more than once."""
    moving = (~np.isnan(examples.history[:, :, 0])).sum(axis=1) > 1
    history, right = examples.history[moving], examples.right[moving]
    linear, features, side = read(history, width=examples.width, height=examples.height)
    return features, GAIN * (right - linear) / side


def _mirrored(features: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Each example as it is, mirrored along either axis, or with its axes changed over, by chance."""
    chance = torch.rand(3, len(wanted)) < 0.5
    sides = [features[..., :TOLD], wanted.unsqueeze(1)]
    for which, order, sign in (
        (chance[0], (2, 1, 0, 3), (-1.0, 1.0, -1.0, 1.0)),
        (chance[1], (0, 3, 2, 1), (1.0, -1.0, 1.0, -1.0)),
        (chance[2], (1, 0, 3, 2), (1.0, 1.0, 1.0, 1.0)),
    ):
        sides = [torch.where(which[:, None, None], each[..., order] * torch.tensor(sign), each) for each in sides]
    return torch.cat([sides[0], features[..., TOLD:]], dim=2), sides[1][:, 0]
