"""A training that was stopped goes on: everything that changes from step to step, in safetensors and JSON."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from offload.artifacts.codec import EpochRecord
from offload.errors import OffloadError

_TENSORS, _WORDS = "checkpoint.safetensors", "checkpoint.json"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What is kept after each epoch."""

    weights: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    """Those of the best epoch."""
    moments: Mapping[str, Tensor]
    """Adam's, by parameter and name."""
    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    settings: str
    """What the training was asked for; another's is not gone on with."""


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write it so that a crash leaves the old one or the new one: the JSON names the tensors that go with it.

    Raises:
        OffloadError: it cannot be written; the old one stays.
    """
    from safetensors import SafetensorError

    number = len(checkpoint.epochs)
    tensors = folder / f"{number}-{_TENSORS}"
    try:
        _write(checkpoint, folder, tensors)
    except (OSError, SafetensorError) as error:  # safetensors tells a full disk in words alone
        with contextlib.suppress(OSError):
            tensors.unlink(missing_ok=True)
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise OffloadError(
            f"cannot write {tensors}: {reason}",
            hint="free some space, or set OFFLOAD_HOME to a folder you can write to",
        ) from error
    for old in folder.glob(f"*-{_TENSORS}"):
        if old != tensors:
            old.unlink(missing_ok=True)


def _write(checkpoint: Checkpoint, folder: Path, tensors: Path) -> None:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    groups = {"weights": checkpoint.weights, "best": checkpoint.best, "moments": checkpoint.moments}
    flat = {f"{group}/{name}": tensor.contiguous() for group, each in groups.items() for name, tensor in each.items()}
    save_file({name: tensor.clone() for name, tensor in flat.items()}, tensors)
    words = {
        "epochs": [asdict(epoch) for epoch in checkpoint.epochs],
        "best_epoch": checkpoint.best_epoch,
        "settings": checkpoint.settings,
        "tensors": tensors.name,
    }
    temporary = folder / f".{_WORDS}.{os.getpid()}"
    temporary.write_text(json.dumps(words), encoding="utf-8")
    temporary.replace(folder / _WORDS)


def load_checkpoint(folder: Path, *, settings: str) -> Checkpoint | None:
    """What was kept; None where there is nothing.

    Raises:
        OffloadError: it is damaged, or of a training that was asked for something else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / _WORDS
    if not path.exists():
        return None
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
        flat = load_file(folder / str(words["tensors"]))
        epochs = tuple(EpochRecord(**epoch) for epoch in words["epochs"])
        found, best_epoch = str(words["settings"]), int(words["best_epoch"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise OffloadError(f"{folder}: the checkpoint is damaged", hint="leave out --resume to train anew") from error
    if found != settings:
        raise OffloadError(
            f"{folder}: the checkpoint is of a training with other options",
            hint="repeat its options, or leave out --resume to train anew",
        )
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "best": {}, "moments": {}}
    for name, tensor in flat.items():
        group, _, key = name.partition("/")
        groups.setdefault(group, {})[key] = tensor
    return Checkpoint(
        weights=groups["weights"],
        best=groups["best"],
        moments=groups["moments"],
        epochs=epochs,
        best_epoch=best_epoch,
        settings=found,
    )


def remove_checkpoint(folder: Path) -> None:
    """Forget what was kept."""
    for path in (*folder.glob(f"*-{_TENSORS}"), folder / _WORDS):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def moments_of(optimiser: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """Adam's moments and step counts, by the names of the parameters."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in network.named_parameters()}
    return {
        f"{names[parameter]}/{key}": value.detach().cpu().clone()
        for parameter, state in optimiser.state.items()
        for key, value in state.items()
    }


def restore_moments(optimiser: torch.optim.Optimizer, network: nn.Module, moments: Mapping[str, Tensor]) -> None:
    """The reverse of `moments_of`."""
    parameters = dict(network.named_parameters())
    for key, value in moments.items():
        name, _, moment = key.rpartition("/")
        parameter = parameters[name]
        optimiser.state[parameter][moment] = value if moment == "step" else value.to(parameter.device)
