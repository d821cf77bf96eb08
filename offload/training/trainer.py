"""Training a learned codec against a frozen model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from offload.artifacts.codec import EpochRecord, LearnedKind
from offload.datasets.base import Labels, Task
from offload.errors import OffloadError
from offload.models.onnx_in_torch import DifferentiableSegment
from offload.progress import Progress
from offload.training.checkpoints import (
    Checkpoint,
    load_checkpoint,
    moments_of,
    restore_moments,
    save_checkpoint,
)
from offload.training.examples import CutExamples, error_rate, first_of
from offload.training.labels import labels_loss
from offload.training.losses import answers_loss, backward, reconstruction_loss
from offload.training.network import LearnedCodec
from offload.training.processes import Processes

_AT_ONCE = 64
_BETAS = (0.9, 0.99)
"""Adam's. DeepCOD's authors take (0, 0.9), over many more steps."""
_PREPARING = 256
"""Examples that scales are taken from."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How to train; what a training goes on with has the same."""

    codec: LearnedKind
    ratio: float
    epochs: int
    batch: int
    learning_rate: float
    """At first; it falls to 0 along a cosine."""
    seed: int
    distilled: bool = True
    encoder_trained: bool = True
    labelled: bool = False
    """Whether the data's labels are taught, too."""
    orthogonality: float = 0.0
    """Weight of ‖WᵀW − I‖² of DeepCOD's encoder."""
    patience: int = 5
    """Stop after so many epochs in a row that did not lower the validation loss."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """How a codec does on validation examples, hard symbols."""

    loss: float
    error_rate: float | None


@dataclass(frozen=True, kw_only=True)
class Training:
    """What training needs besides the network."""

    settings: TrainingSettings
    tail: DifferentiableSegment
    """Its results are `taught` and the model's first output behind the cut."""
    taught: tuple[str, ...]
    answer: str
    """That first output."""
    train: CutExamples
    validation: CutExamples | None
    """None in a process that does not validate."""
    examples: int
    """In all processes."""
    task: Task
    device: str
    checkpoints: Path
    resume: bool
    processes: Processes
    identity: str
    """Model, cut and data, for checkpoints."""

    @property
    def teaching(self) -> tuple[str, ...]:
        """Which of the intact model's answers are taught."""
        return self.taught if self.settings.distilled else ()

    def labelled(self, labels: Labels | None, rows: Tensor) -> Callable[[Sequence[Tensor]], Tensor] | None:
        """What the tail's results lose against the labels of these examples; None where labels are not taught."""
        if not self.settings.labelled or labels is None:
            return None
        chosen = [labels[row] for row in rows.tolist()]
        return lambda results: labels_loss(self.task, results, chosen)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How training went; the network holds the best epoch's weights."""

    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    stopped: Literal["done", "early", "interrupted"]


def train(network: LearnedCodec, training: Training, progress: Progress) -> Trained:
    """Train until all epochs are done, the validation loss stays, or the user interrupts.

    Args:
        network: Untrained, in float32 on the CPU; trained in place.
        training: What it learns from.
        progress: Observer.

    Raises:
        OffloadError: a checkpoint to go on from is damaged or of another training, or the loss diverged.
        KeyboardInterrupt: before the first epoch was over.
    """
    return _Run(network, training, progress).run()


class _Run:
    def __init__(self, network: LearnedCodec, training: Training, progress: Progress) -> None:
        self.network, self.training, self.progress = network.to(training.device), training, progress
        self.layout = network.shaping.layout
        self.steps = max(1, training.examples // training.processes.count // self.batch)
        self.epochs: list[EpochRecord] = []
        self.best: Mapping[str, Tensor] = {}
        self.best_epoch = 0

    @property
    def batch(self) -> int:
        return min(self.training.settings.batch, len(self.training.train))

    def run(self) -> Trained:
        training, settings = self.training, self.training.settings
        torch.manual_seed(settings.seed)
        self._prepare()
        if not settings.encoder_trained:
            self.network.freeze_encoder()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate, betas=_BETAS)
        self._restore()
        stopped: Literal["done", "early", "interrupted"] = "done"
        wrapped = None
        self.progress.start("training", settings.epochs * self.steps)
        self.progress.advance(len(self.epochs) * self.steps)
        for earlier in range(len(self.epochs)):
            self.network.begin_epoch(earlier, settings.epochs)
        try:
            for epoch in range(len(self.epochs), settings.epochs):
                if self.best and len(self.epochs) - 1 - self.best_epoch >= settings.patience:
                    stopped = "early"
                    break
                if self.network.begin_epoch(epoch, settings.epochs) or wrapped is None:
                    wrapped = training.processes.wrapped(self.network, training.device)
                self._epoch(wrapped, epoch)
        except KeyboardInterrupt:
            if not self.epochs:
                raise
            stopped = "interrupted"
        finally:
            self.progress.finish()
        self.network.load_state_dict(self.best)
        self.network.eval()
        return Trained(epochs=tuple(self.epochs), best_epoch=self.best_epoch, stopped=stopped)

    def _prepare(self) -> None:
        sample = first_of(self.training.train, _PREPARING)
        self.variance = max(float(sample.var()), 1e-12)
        with torch.no_grad():
            channels = self.layout.to_channels(sample.to(self.training.device))
            self.network.prepare(channels, encoder=self.training.settings.encoder_trained)

    def _epoch(self, wrapped: torch.nn.Module, epoch: int) -> None:
        training, settings, started = self.training, self.training.settings, time.perf_counter()
        torch.manual_seed(_seed(settings.seed, epoch, training.processes.rank))
        order = torch.split(torch.randperm(len(training.train)), self.batch)[: self.steps]
        batches = training.train.batches(order, answers=training.teaching, device=training.device)
        wrapped.train()
        total = 0.0
        for step, (rows, (wanted, teacher)) in enumerate(zip(order, batches, strict=True)):
            share = (epoch * self.steps + step) / (settings.epochs * self.steps)
            for group in self.optimiser.param_groups:
                group["lr"] = settings.learning_rate * (1 + math.cos(math.pi * share)) / 2
            self.optimiser.zero_grad()
            labelled = training.labelled(training.train.labels, rows)
            total += self._step(wrapped, wanted, teacher, labelled, share)
            self.optimiser.step()
            self.progress.advance()
        judged = self._judged()
        if not math.isfinite(judged.loss + total):
            raise OffloadError(
                f"training diverged: the loss of epoch {epoch + 1} is no number", hint="train again with a lower --lr"
            )
        self.epochs.append(
            EpochRecord(
                loss=total / self.steps,
                validation_loss=judged.loss,
                error_rate=judged.error_rate,
                took_s=time.perf_counter() - started,
            )
        )
        # Before it has its final form, a codec is no rival of what it becomes.
        rivals = self.epochs[min(epoch, self.network.formed_at(settings.epochs)) :]
        if judged.loss <= min(record.validation_loss for record in rivals):
            self.best, self.best_epoch = _copied(self.network), epoch
        accuracy = "" if judged.error_rate is None else f", error rate {judged.error_rate:.2%}"
        self.progress.detail(f"epoch {epoch + 1}: loss {judged.loss:.4g}{accuracy}")
        self._keep()

    def _step(
        self,
        wrapped: torch.nn.Module,
        wanted: Tensor,
        teacher: Sequence[Tensor],
        labelled: Callable[[Sequence[Tensor]], Tensor] | None,
        share: float,
    ) -> float:
        made, penalty = wrapped(self.layout.to_channels(wanted))
        loss = backward(
            self.layout.from_channels(made),
            wanted,
            penalty,
            variance=self.variance,
            tail=self.training.tail if teacher or labelled else None,
            teacher=teacher,
            labelled=labelled,
            share=share,
        )
        return float(loss)

    def _judged(self) -> Judged:
        """By the first process, told to the others."""
        training = self.training
        numbers = torch.zeros(2, dtype=torch.float64, device=training.device)
        if training.validation is not None:
            found = judge(self.network, training, training.validation, variance=self.variance)
            rate = math.nan if found.error_rate is None else found.error_rate
            numbers = torch.tensor([found.loss, rate], dtype=torch.float64, device=training.device)
        loss, rate = training.processes.told(numbers).tolist()
        return Judged(loss=loss, error_rate=None if math.isnan(rate) else rate)

    def _restore(self) -> None:
        if not self.training.resume:
            return
        kept = load_checkpoint(self.training.checkpoints, settings=self._settings())
        if kept is None:
            self.progress.note("there is no checkpoint of this training: it begins anew")
            return
        self.network.load_state_dict(kept.weights)
        restore_moments(self.optimiser, self.network, kept.moments)
        self.best, self.best_epoch, self.epochs = kept.best, kept.best_epoch, list(kept.epochs)
        self.progress.note(f"epochs trained before: {len(self.epochs)}")

    def _keep(self) -> None:
        if self.training.processes.first:
            checkpoint = Checkpoint(
                weights=_copied(self.network),
                best=self.best,
                moments=moments_of(self.optimiser, self.network),
                epochs=tuple(self.epochs),
                best_epoch=self.best_epoch,
                settings=self._settings(),
            )
            save_checkpoint(checkpoint, self.training.checkpoints)

    def _settings(self) -> str:
        return f"{self.training.identity} {asdict(self.training.settings)}"


def judge(network: LearnedCodec, training: Training, examples: CutExamples, *, variance: float) -> Judged:
    """The loss of hard symbols and the error rate of the model behind them."""
    layout, device = network.shaping.layout, training.device
    network.eval()
    losses, outputs, intact = [], [], []
    order = torch.split(torch.arange(len(examples)), _AT_ONCE)
    batches = examples.batches(order, answers=(*training.teaching, training.answer), device=device)
    with torch.no_grad():
        for rows, (wanted, (*teacher, right)) in zip(order, batches, strict=True):
            made = layout.from_channels(network.decode(network.symbols(layout.to_channels(wanted))))
            results = training.tail(made)
            labelled = training.labelled(examples.labels, rows)
            loss = reconstruction_loss(made, wanted, variance=variance)
            if teacher or labelled:
                loss = loss + answers_loss(results, teacher, labelled)
            losses.append(float(loss) * len(wanted))
            outputs.append(results[-1].cpu())
            intact.append(right.cpu())
    rate = error_rate(training.task, torch.cat(outputs), torch.cat(intact), examples.labels)
    return Judged(loss=sum(losses) / len(examples), error_rate=rate)


def _copied(network: LearnedCodec) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _seed(seed: int, epoch: int, rank: int) -> int:
    return (seed * 1_000_003 + epoch) * 1_009 + rank
