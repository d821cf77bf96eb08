"""Trains the frame filter that comes with the program: `python -m offload.training.recipes.frame_filter`.

From made clips of `digits-in-motion` for training; about a minute on one core. What is learnt is whether the answer
about one frame still holds for a later one, both answers perfect, so that no detector is learnt with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from offload.datasets.base import Split
from offload.datasets.digits_in_motion.scene import SceneSettings, draw_scene
from offload.version import __version__
from offload.video.accuracy import LEAST_VISIBLE
from offload.video.boxes import ious
from offload.video.methods.micro_classifier import (
    CHANGES,
    EMBEDDED,
    FEATURES,
    KIND,
    MicroClassifier,
    features_of,
    look_at,
)
from offload.video.proposals.weights_file import PredictorWeights, weights_bytes
from offload.video.truth import FrameTruth

if TYPE_CHECKING:
    from offload.video.methods.micro_classifier import Look
    from offload.video.proposals.weights_file import Recipe

    _Shown = Sequence[tuple[Look, FrameTruth]]
    _Row = tuple[NDArray[np.float64], bool]

WIDTH, HEIGHT, FRAMES = 2560, 1440, 24
SCENES = 18
DENSITIES = (4, 12, 20)
RATES = (15.0, 30.0, 60.0)
LAGS = (1, 2, 3, 4, 6)
"""Frames between an answer and the frame that it is to hold for."""
CUTS = 8
"""Frames of each clip that follow one of the clip before, with which nothing holds."""
GOOD = 0.75
"""F1 at an intersection over union of 0.5 from which an answer holds: three objects in four are where it says."""
CAUGHT = 0.9
"""Share of the stale answers of other clips that the threshold is to find."""
DECAY = 1e-4

Examples = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Features, (examples, FEATURES), and whether the answer is stale, (examples,)."""


def train(scenes: int = SCENES) -> MicroClassifier:
    """The same weights for the same arguments on the same machine."""
    features, stale = made_examples("train", scenes)
    mean, std = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
    weight, bias = _regression((features - mean) / std, stale)
    tensors = {"mean": mean, "std": std, "weight": weight, "bias": bias}
    unset = _classifier(tensors | {"threshold": np.zeros(1)}, {})
    others, others_stale = made_examples("validation", max(1, scenes // 3))
    threshold = np.quantile(unset.logits(others)[others_stale], [1 - CAUGHT])
    told = unset.logits(others) >= threshold
    recipe: Recipe = {
        "source": f"digits-in-motion, train, {scenes} scenes of {FRAMES} frames",
        "examples": len(stale),
        "stale": round(float(stale.mean()), 4),
        "good_f1": GOOD,
        "caught": round(float(told[others_stale].mean()), 4),
        "sent_in_vain": round(float(told[~others_stale].mean()), 4),
        "tool_version": __version__,
    }
    return _classifier(tensors | {"threshold": threshold}, recipe)


def made_examples(split: Split, scenes: int) -> Examples:
    """Of made clips of several densities and rates, and of cuts from one to the next."""
    rows: list[_Row] = []
    before: _Shown = ()
    for seed in range(scenes):
        settings = _settings(split, seed)
        shown = tuple((look_at(frame), truth) for frame, truth in draw_scene(settings))
        for now in range(len(shown)):
            rows += [_row(shown[now - lag], shown[now], lag, settings) for lag in LAGS if lag <= now]
        rows += [_row(then, now, 1, settings) for then, now in zip(before[:CUTS], shown, strict=False)]
        before = shown
    return np.array([features for features, _ in rows]), np.array([stale for _, stale in rows])


def answer_holds(before: FrameTruth, now: FrameTruth) -> bool:
    """Whether perfect answers about one frame would do for another: F1 of its boxes there."""
    before, now = before.seen(LEAST_VISIBLE), now.seen(LEAST_VISIBLE)
    if not len(before.boxes) and not len(now.boxes):
        return True
    found = (ious(before.boxes, now.boxes) >= 0.5) & (before.labels[:, None] == now.labels[None])
    right = min(int(found.any(axis=1).sum()), int(found.any(axis=0).sum()))
    return 2 * right / (len(before.boxes) + len(now.boxes)) >= GOOD


def _regression(
    features: NDArray[np.float64], stale: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A logistic regression, stale and good answers weighing the same, in which change never speaks for an answer.

    Without that bound it learns from what goes together in made clips that a cut to another scene is none.
    """
    from scipy.optimize import minimize

    share = np.where(stale, 0.5 / max(1, stale.sum()), 0.5 / max(1, (~stale).sum()))
    sign = np.where(stale, 1.0, -1.0)

    def loss(values: NDArray[np.float64]) -> float:
        logits = features @ values[:-1] + values[-1]
        return float((share * np.logaddexp(0, -sign * logits)).sum() + DECAY * (values[:-1] ** 2).sum())

    bounds = [(0.0, None)] * CHANGES + [(None, None)] * (FEATURES - CHANGES + 1)
    found = minimize(loss, np.zeros(FEATURES + 1), bounds=bounds, method="L-BFGS-B").x
    return found[:-1], found[-1:]


def _settings(split: Split, seed: int) -> SceneSettings:
    return SceneSettings(
        split=split,
        seed=seed,
        width=WIDTH,
        height=HEIGHT,
        fps=RATES[seed % len(RATES)],
        frames=FRAMES,
        density=DENSITIES[seed // len(RATES) % len(DENSITIES)],
    )


def _row(then: tuple[Look, FrameTruth], now: tuple[Look, FrameTruth], lag: int, settings: SceneSettings) -> _Row:
    boxes = then[1].seen(LEAST_VISIBLE).boxes
    features = features_of(then[0], now[0], waited=lag, boxes=boxes, width=settings.width, height=settings.height)
    return features, not answer_holds(then[1], now[1])


def _classifier(tensors: dict[str, NDArray[np.float64]], recipe: Recipe) -> MicroClassifier:
    return MicroClassifier(
        PredictorWeights(tensors={name: tensor.astype(np.float32) for name, tensor in tensors.items()}, recipe=recipe)
    )


if __name__ == "__main__":
    made = train()
    EMBEDDED.parent.mkdir(exist_ok=True)
    EMBEDDED.write_bytes(weights_bytes(made.weights, KIND))
    print(dict(made.weights.recipe))
    print(f"{EMBEDDED}: {made.weights.parameters} numbers, SHA-256 of the weights {made.weights.sha256}")
