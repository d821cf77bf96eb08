"""A network small enough to train codecs for in a second, data for it, and what training makes of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from offload.artifacts.codec import LearnedKind
from offload.artifacts.profile import ModelIdentity
from offload.codecs.trained import TrainedFiles
from offload.datasets.base import PixelScale
from offload.models.load import load_model
from offload.models.loaded import LoadedOnnxModel
from offload.progress import NullProgress, Progress
from offload.training.examples import CutExamples, StoredExamples, cut_examples, intact_error_rate
from offload.training.learned import CodecJob, train_codec
from offload.training.places import place_at
from offload.training.trainer import TrainingSettings

SIDE, CLASSES, TRAIN, HELD_OUT = 16, 3, 96, 24


class TinyNet(nn.Module):
    """(N, 3, 16, 16) to (N, 3) probabilities, with a shortcut across which two tensors cross."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(inputs, 6, 3, padding=1) for inputs in (3, 6, 6))
        self.pool, self.fc = nn.MaxPool2d(2), nn.Linear(6 * 8 * 8, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.conv1(image))
        x = self.pool(torch.relu(self.conv3(torch.relu(self.conv2(x))) + x))
        return torch.softmax(self.fc(x.flatten(1)), dim=-1)


class TinySpeech(nn.Module):
    """(N, 20, 8) to (20, N, 4): the batch moves, as in DeepSpeech."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 10), nn.Linear(10, 4)

    def forward(self, frames: Tensor) -> Tensor:
        steps = torch.relu(self.first(frames)).transpose(0, 1)
        count = steps.shape[1]
        return self.second(steps.flatten(0, 1)).view(-1, count, 4)


def net() -> nn.Module:
    torch.manual_seed(0)
    return TinyNet()


def speech() -> nn.Module:
    torch.manual_seed(0)
    return TinySpeech()


def data(split: str) -> tuple[np.ndarray, list[int]]:
    """Smooth images whose answer is what the network says of them: an error rate of 0 without a codec."""
    count = TRAIN if split == "train" else HELD_OUT
    images = _images(count, seed=len(split))
    with torch.no_grad():
        return images, net()(torch.from_numpy(images)).argmax(1).tolist()


class Images:
    """The same as a data set."""

    task = "classification"
    pixels: PixelScale | None = PixelScale()

    def __init__(self, split: str) -> None:
        self.name = f"tiny {split}"
        self._inputs, self._labels = data(split)

    def __len__(self) -> int:
        return len(self._labels)

    def inputs(self, indices: Any) -> np.ndarray:
        return self._inputs[list(indices)]

    def labels(self, indices: Any) -> list[int]:
        return [self._labels[index] for index in indices]


class Frames:
    """Sequences for TinySpeech, without labels that anyone needs."""

    task = "detection"
    pixels = None
    name = "frames"

    def __len__(self) -> int:
        return 40

    def inputs(self, indices: Any) -> np.ndarray:
        rows = [np.random.default_rng(index).standard_normal((20, 8), dtype=np.float32) for index in indices]
        return np.stack(rows).cumsum(1) / 3

    def labels(self, indices: Any) -> list[None]:
        return [None for _ in indices]


def _images(count: int, *, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    coarse = generator.random((count, 3, 4, 4), dtype=np.float32)
    return np.ascontiguousarray(coarse.repeat(SIDE // 4, axis=2).repeat(SIDE // 4, axis=3))


@cache
def model(name: str = "net") -> LoadedOnnxModel:
    shape = (1, 3, SIDE, SIDE) if name == "net" else (1, 20, 8)
    return load_model(f"tests.tiny_training:{name}", inputs={"": shape})


@cache
def examples(at: str, split: str, name: str = "net") -> StoredExamples:
    found = cut_anew(at, split, name)
    assert isinstance(found, StoredExamples)
    return found


def cut_anew(at: str, split: str, name: str = "net") -> CutExamples:
    """The same, stored or streamed, as the limit of the moment has it."""
    place = place_at(model(name).graph, at)
    known: Any = Images(split) if name == "net" else Frames()
    found = cut_examples(model(name), [place.cut], known, labelled=True, device="cpu", progress=NullProgress())
    return found[place.tensor.name]


def settings(codec: LearnedKind = "deepcod", **changes: Any) -> TrainingSettings:
    fields: dict[str, Any] = {
        "codec": codec, "ratio": 0.05, "epochs": 2, "batch": 16, "learning_rate": 5e-3, "seed": 0,
    }  # fmt: skip
    return TrainingSettings(**(fields | changes))


def identity(name: str = "net") -> ModelIdentity:
    loaded = model(name)
    return ModelIdentity(
        spec=loaded.spec, name=loaded.name, hash=loaded.hash, batch=1, precision="fp32", weights="", untrained=False,
        inputs={}, weights_file=None,
    )  # fmt: skip


def job(root: Path, at: str, *, name: str = "net", resume: bool = False, **changes: Any) -> CodecJob:
    known: Any = Images("train") if name == "net" else Frames()
    place, validation = place_at(model(name).graph, at), examples(at, "validation", name)
    return CodecJob(
        model=model(name), identity=identity(name), place=place, pixels=known.pixels,
        train=examples(at, "train", name), validation=validation,
        intact_errors=intact_error_rate(known.task, place.cut.returning[0], validation, NullProgress()),
        examples=len(examples(at, "train", name)), data="tests.tiny_training:data", task=known.task,
        settings=settings(**changes), device="cpu", root=root / "codecs", checkpoints=root / "cache", resume=resume,
    )  # fmt: skip


def trained(root: Path, at: str, *, progress: Progress | None = None, **changes: Any) -> TrainedFiles:
    files = train_codec(job(root, at, **changes), progress or NullProgress())
    assert files is not None
    return files
