"""Training a predictor of region proposals on clips' ground truth."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from offload.errors import OffloadError, UsageError
from offload.progress import NullProgress, Progress

if TYPE_CHECKING:
    from offload.artifacts.workspace import Workspace
    from offload.video.proposals.base import Predictor
    from offload.video.proposals.quality import PredictionQuality
    from offload.video.proposals.trajectories import Trajectories
    from offload.video.proposals.weights_file import PredictorWeights

SUFFIX = ".safetensors"
HELD_OUT = 5
"""Every so many-th path of a clip is not learnt from, and judged by."""
TRAINED = "trained now"
_JUDGED_SCENES = 12
_JUDGED_FPS = 15.0


@dataclass(frozen=True, kw_only=True)
class TrainPredictorRequest:
    """What `video train-predictor` is asked for."""

    clips: tuple[Path, ...] = ()
    """Videos or folders of frames; made trajectories where there is none."""
    truths: tuple[Path, ...] = ()
    """One for each clip, in their order; without any, each clip's own file beside it."""
    output: Path | None = None
    """None writes to the workspace."""
    force: bool = False
    """Whether to replace that file."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainedPredictor:
    """What a training made."""

    path: Path
    weights: PredictorWeights
    judged_by: str
    """What the qualities were measured on."""
    qualities: tuple[PredictionQuality, ...]
    """Of all predictors, the new one last, told exact boxes and told noisy ones."""


def train_predictor(
    request: TrainPredictorRequest, *, workspace: Workspace, progress: Progress | None = None
) -> TrainedPredictor:
    """Train ELF's attention LSTM, save its weights, and judge it beside the other predictors.

    Raises:
        OffloadError: a clip or its truth cannot be used, there is too little to learn from, or the weights cannot be
            written; the message says why.
    """
    from offload.training import proposal_predictor
    from offload.video.proposals.catalogue import PREDICTORS
    from offload.video.proposals.lstm import AttentionLstm
    from offload.video.proposals.quality import DETECTOR_NOISE, prediction_quality

    progress = progress or NullProgress()
    _check(request)
    learnt, held, source, judged_by = _from_clips(request) if request.clips else _made(request)
    training = proposal_predictor.train_predictor(
        learnt, source=source, seed=request.seed, steps=proposal_predictor.STEPS, progress=progress
    )
    predictors: dict[str, Predictor] = {name: make() for name, make in PREDICTORS.items()}
    predictors[TRAINED] = AttentionLstm(training.weights)
    qualities = tuple(
        prediction_quality(name, predictor, held, noise=noise)
        for noise in (0.0, DETECTOR_NOISE)
        for name, predictor in predictors.items()
    )
    path = _save(training.weights, request, workspace)
    return TrainedPredictor(path=path, weights=training.weights, judged_by=judged_by, qualities=qualities)


_Parts = tuple[list["Trajectories"], list["Trajectories"], str, str]


def _from_clips(request: TrainPredictorRequest) -> _Parts:
    from offload.video.clips import open_clip
    from offload.video.proposals.trajectories import divided, trajectories_of
    from offload.video.truth import load_truth, truth_file

    learnt, held = [], []
    for index, path in enumerate(request.clips):
        clip = open_clip(path).info
        truth = request.truths[index] if request.truths else truth_file(path)
        if not truth.exists():
            raise OffloadError(f"{path} has no ground truth: {truth} is not there", hint="name it with --truth FILE")
        found = trajectories_of(load_truth(truth, clip), width=clip.width, height=clip.height)
        rest, first = divided(found, HELD_OUT)
        learnt.append(rest)
        held.append(first)
    if not any(part.paths for part in learnt):
        raise OffloadError("the clips show fewer than two objects for two frames or more", hint="give longer clips")
    names = ", ".join(path.name for path in request.clips)
    return learnt, held, names, f"every {HELD_OUT}th path of {names}, which was not learnt from"


def _made(request: TrainPredictorRequest) -> _Parts:
    from offload.training.recipes.proposal_predictor import SOURCE, made_trajectories

    held = made_trajectories("test", scenes=_JUDGED_SCENES, rates=(_JUDGED_FPS,))
    judged_by = f"{_JUDGED_SCENES} made scenes at {_JUDGED_FPS:g} frames a second, families that were not learnt from"
    return made_trajectories("train"), held, SOURCE, judged_by


def _check(request: TrainPredictorRequest) -> None:
    if request.truths and len(request.truths) != len(request.clips):
        raise UsageError(
            f"--truth names {len(request.truths)} files for {len(request.clips)} clips",
            hint="give one for each clip, in their order",
        )
    path = request.output
    if path is None:
        return
    if path.suffix != SUFFIX:
        raise UsageError(f"-o {path}: weights are kept as safetensors", hint=f"name a file like predictor{SUFFIX}")
    if path.is_dir():
        raise OffloadError(f"{path} is a folder", hint="name a file in it")
    if path.exists() and not request.force:
        raise OffloadError(f"{path} is there already", hint="add --force to replace it, or name another file")


def _save(weights: PredictorWeights, request: TrainPredictorRequest, workspace: Workspace) -> Path:
    """The same weights have the same name in a workspace."""
    from offload.video.proposals.weights_file import weights_bytes

    path = request.output or workspace.root / "predictors" / f"lstm-{weights.sha256[:12]}{SUFFIX}"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(weights_bytes(weights))
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OffloadError(
            f"cannot write {path}: {error.strerror}", hint="set OFFLOAD_HOME or -o to a folder you can write to"
        ) from error
    return path
