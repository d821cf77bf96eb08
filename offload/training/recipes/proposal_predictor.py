"""Trains the predictor that comes with the program: `python -m offload.training.recipes.proposal_predictor`.

From made trajectories of `digits-in-motion`, the families for training; about half a minute on one core.
"""

from __future__ import annotations

from collections.abc import Sequence

from offload.datasets.base import Split
from offload.datasets.digits_in_motion.paths import drawn_trajectories
from offload.datasets.digits_in_motion.scene import SceneSettings
from offload.training.proposal_predictor import PredictorTraining, train_predictor
from offload.video.proposals.lstm import EMBEDDED
from offload.video.proposals.trajectories import Trajectories
from offload.video.proposals.weights_file import weights_bytes

SEED, SCENES = 0, 24
WIDTH, HEIGHT, FRAMES, DENSITY = 2560, 1440, 240, 20
SOURCE = f"digits-in-motion, train, {SCENES} scenes of {FRAMES} frames"
RATES = (15.0, 30.0)
"""Frames a second; one scene in turn has each."""


def made_trajectories(split: Split, *, scenes: int = SCENES, rates: Sequence[float] = RATES) -> list[Trajectories]:
    """Those of made scenes of 1440p, the same ones for the same arguments."""
    return [
        drawn_trajectories(
            SceneSettings(
                split=split,
                seed=seed,
                width=WIDTH,
                height=HEIGHT,
                fps=rates[seed % len(rates)],
                frames=FRAMES,
                density=DENSITY,
            )
        )
        for seed in range(scenes)
    ]


def train(seed: int = SEED) -> PredictorTraining:
    """From made trajectories."""
    return train_predictor(made_trajectories("train"), source=SOURCE, seed=seed)


if __name__ == "__main__":
    made = train()
    EMBEDDED.write_bytes(weights_bytes(made.weights))
    print(f"loss {made.losses[0]:.4g} to {made.losses[-1]:.4g}")
    print(f"{EMBEDDED}: {made.weights.parameters} parameters, SHA-256 of the weights {made.weights.sha256}")
