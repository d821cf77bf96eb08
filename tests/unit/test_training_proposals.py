"""Training the attention LSTM: it learns, it repeats itself, and it sees nothing that it is to tell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from offload.datasets.digits_in_motion import paths as paths_module
from offload.datasets.digits_in_motion.paths import drawn_trajectories
from offload.datasets.digits_in_motion.scene import SceneSettings, compose, draw_scene
from offload.errors import OffloadError
from offload.training import proposal_predictor
from offload.training.proposal_predictor import ProposalNetwork, train_predictor
from offload.video.boxes import areas
from offload.video.proposals import lstm
from offload.video.proposals.linear import Linear
from offload.video.proposals.quality import prediction_quality
from offload.video.proposals.trajectories import Trajectories
from offload.video.proposals.weights_file import PredictorWeights


def curves(count: int, seed: int) -> Trajectories:
    """Objects that go round in circles of one kind: what linear motion gets wrong, always in the same way."""
    random, time = np.random.default_rng(seed), np.arange(40)
    paths = []
    for _ in range(count):
        radius, angle = random.uniform(80, 120), random.uniform(0, 2 * np.pi) + 0.25 * time
        x, y = random.uniform(300, 700) + radius * np.cos(angle), random.uniform(250, 450) + radius * np.sin(angle)
        half = random.uniform(20, 40)
        paths.append(np.stack([x - half, y - half, x + half, y + half], axis=1))
    return Trajectories(paths=tuple(paths), width=1280, height=720)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal_predictor, "BATCH", 64)


def test_the_loss_falls_and_what_was_learnt_beats_linear_motion() -> None:
    made = train_predictor([curves(20, 0)], source="circles", steps=300)
    assert made.losses[-1] < 0.5 * made.losses[0]
    held = [curves(6, 1)]
    learnt = prediction_quality("lstm", lstm.AttentionLstm(made.weights), held)
    straight = prediction_quality("linear", Linear(), held)
    assert learnt.mean_iou > straight.mean_iou + 0.02
    assert made.weights.recipe["source"] == "circles"
    assert made.weights.recipe["steps"] == 300
    assert made.weights.parameters == 1165


def test_the_same_seed_gives_the_same_weights_and_another_one_others() -> None:
    parts = [curves(4, 0)]
    state = torch.random.get_rng_state()
    first, again, other = (train_predictor(parts, source="s", steps=12, seed=seed).weights for seed in (3, 3, 4))
    assert first.sha256 == again.sha256 != other.sha256
    assert torch.equal(torch.random.get_rng_state(), state)


def test_an_untrained_network_tells_linear_motion() -> None:
    network = ProposalNetwork()
    tensors = {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}
    held = [curves(2, 2)]
    untrained = prediction_quality("u", lstm.AttentionLstm(PredictorWeights(tensors=tensors, recipe={})), held)
    assert untrained.mean_iou == pytest.approx(prediction_quality("l", Linear(), held).mean_iou)


def test_what_is_to_be_told_is_not_read() -> None:
    """Another end of a path changes what is taught, and nothing of what is read."""
    part = curves(1, 0)
    path = part.paths[0].copy()
    features, wanted = proposal_predictor._taught([Trajectories(paths=(path,), width=1280, height=720)], seed=0)
    path[-1] += 25
    others, taught = proposal_predictor._taught([Trajectories(paths=(path,), width=1280, height=720)], seed=0)
    assert torch.equal(features, others)
    assert int((wanted != taught).any(dim=1).sum()) == len(proposal_predictor.NOISES)


@pytest.mark.parametrize("chosen", list(itertools.product((False, True), repeat=3)))
def test_mirrored_examples_are_those_of_mirrored_paths(
    chosen: tuple[bool, bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def taught(path: NDArray[np.float64]) -> tuple[torch.Tensor, torch.Tensor]:
        monkeypatch.setattr(proposal_predictor, "NOISES", (0.0,))
        return proposal_predictor._taught([Trajectories(paths=(path,), width=1280, height=1280)], seed=0)

    path = curves(1, 0).paths[0]
    features, wanted = taught(path)
    for mirror, order, signs, offset in zip(
        chosen,
        ([2, 1, 0, 3], [0, 3, 2, 1], [1, 0, 3, 2]),
        ([-1, 1, -1, 1], [1, -1, 1, -1], [1, 1, 1, 1]),
        ([1280, 0, 1280, 0], [0, 1280, 0, 1280], [0, 0, 0, 0]),
        strict=True,
    ):
        path = path[:, order] * signs + offset if mirror else path
    right = taught(path)
    chance = torch.tensor([0.0 if mirror else 0.9 for mirror in chosen])
    monkeypatch.setattr(torch, "rand", lambda _, count: chance[:, None].expand(3, count))
    found = proposal_predictor._mirrored(features, wanted)
    torch.testing.assert_close(found[0], right[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1], right[1], atol=1e-4, rtol=0)


def test_too_short_paths_are_one_line() -> None:
    short = Trajectories(paths=tuple(path[:2] for path in curves(3, 0).paths), width=1280, height=720)
    with pytest.raises(OffloadError, match="nothing to learn from") as failure:
        train_predictor([short], source="s", steps=1)
    assert failure.value.hint


def test_made_trajectories_are_what_a_clip_shows() -> None:
    settings = SceneSettings(split="test", seed=2, width=320, height=240, fps=15, frames=24, density=5)
    scene = compose(settings)
    paths = np.concatenate(paths_module._seen(settings, scene.camera, scene.digits).paths)
    known = {tuple(box) for box in paths.tolist()}
    shown = [tuple(box) for _, truth in draw_scene(settings) for box in truth.boxes.tolist()]
    assert len(shown) > 24
    assert set(shown) <= known


def test_made_trajectories_are_in_the_frame_repeatable_and_of_their_split() -> None:
    def drawn(split: str, seed: int) -> Trajectories:
        return drawn_trajectories(
            SceneSettings(split=split, seed=seed, width=640, height=360, fps=15, frames=60, density=3)  # type: ignore[arg-type]
        )

    one, again, other = drawn("train", 1), drawn("train", 1), drawn("test", 1)
    assert len(one.paths) >= 3
    for path, same in zip(one.paths, again.paths, strict=True):
        np.testing.assert_array_equal(path, same)
        assert len(path) > 1
        assert (areas(path) > 0).all()
        assert (path >= 0).all()
        assert (path <= [640, 360, 640, 360]).all()
    assert not np.array_equal(one.paths[0][:2], other.paths[0][:2])
