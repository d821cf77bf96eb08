"""Trained weights of a few numbers: a safetensors file that tells how they were trained, and their hash.

The file's own metadata hold one JSON document, `predictor`: its `format`, `sha256` (of the tensors, in the order of
their names) and `recipe`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from offload.errors import OffloadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tensors = Mapping[str, NDArray[np.float32]]

Recipe = Mapping[str, str | int | float]
"""How weights were trained: names of settings and what they were."""
FORMAT = "offload region proposals 1"
"""Changes with the arithmetic that the weights are for."""
_ABOUT = "predictor"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class WeightsKind:
    """What a file's weights are for."""

    format: str
    """As the file tells it."""
    name: str
    """As errors call it."""
    remedy: str
    """What mends a file that cannot be used."""


PREDICTOR = WeightsKind(
    format=FORMAT,
    name="region-proposal predictor",
    remedy="train it again with `offload video train-predictor CLIP`",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictorWeights:
    """What a file holds."""

    tensors: Tensors
    recipe: Recipe

    @property
    def sha256(self) -> str:
        """Of the tensors' names, shapes and values: the same wherever the same weights are."""
        digest = hashlib.sha256()
        for name in sorted(self.tensors):
            tensor = self.tensors[name]
            digest.update(f"{name} {tensor.shape} ".encode())
            digest.update(np.ascontiguousarray(tensor, "<f4").tobytes())
        return digest.hexdigest()

    @property
    def parameters(self) -> int:
        """How many numbers were trained."""
        return sum(tensor.size for tensor in self.tensors.values())


def weights_bytes(weights: PredictorWeights, kind: WeightsKind = PREDICTOR) -> bytes:
    """The file."""
    from safetensors.numpy import save

    about = {"format": kind.format, "sha256": weights.sha256, "recipe": dict(weights.recipe)}
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in weights.tensors.items()}
    return save(tensors, {_ABOUT: json.dumps(about, sort_keys=True)})


def read_weights(path: Path, shapes: Mapping[str, tuple[int, ...]], kind: WeightsKind = PREDICTOR) -> PredictorWeights:
    """The weights in a file.

    Args:
        path: As `weights_bytes` made it.
        shapes: What the network has, by name.
        kind: What they are to be for.

    Raises:
        OffloadError: it cannot be read, is damaged, or is of another kind or version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise OffloadError(f"{path} holds no {kind.name}: it is too large", hint=kind.remedy)
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get(_ABOUT, "{}"))
            if about.get("format") != kind.format:
                raise OffloadError(f"{path} holds no {kind.name} that this offload reads", hint=kind.remedy)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
        recipe = dict(about["recipe"])
    except OSError as error:
        raise OffloadError(f"{path} cannot be read: {error.strerror or error}", hint=kind.remedy) from error
    except (SafetensorError, AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise OffloadError(f"{path} is damaged: {error!s:.120}", hint=kind.remedy) from error
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != dict(shapes) or any(tensor.dtype != np.float32 for tensor in tensors.values()):
        raise OffloadError(f"{path} is damaged: its tensors are not the network's", hint=kind.remedy)
    weights = PredictorWeights(tensors=tensors, recipe=recipe)
    if weights.sha256 != about.get("sha256"):
        raise OffloadError(f"{path} is damaged: it is not what was saved", hint=kind.remedy)
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise OffloadError(f"{path} is damaged: a weight is no number", hint=kind.remedy)
    return weights
