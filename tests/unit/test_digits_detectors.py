"""The detectors that come with the program: their files are what the catalogue says, and they find digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offload.datasets.digits_in_motion.clip import CLASSES
from offload.datasets.digits_in_motion.scene import SceneSettings, draw_scene
from offload.detectors import catalogue
from offload.detectors.catalogue import BUILT_IN, load_detector
from offload.errors import OffloadError
from offload.runtimes.onnxruntime import OnnxRuntime
from offload.training.recipes.digits_detector import DigitsDetector, crops, detection_loss
from offload.video.accuracy import average_precision


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_finds_digits_that_it_was_not_trained_on(name: str) -> None:
    detector = load_detector(name)
    assert detector.classes == CLASSES
    session = OnnxRuntime().load_onnx(detector.onnx, threads=1)
    found, truth = [], []
    for seed in range(6):
        settings = SceneSettings(split="test", seed=seed, width=640, height=384, fps=15.0, frames=1, density=8)
        frame, right = next(draw_scene(settings))
        found.append(detector.detect(session, frame))
        truth.append(right)
    assert average_precision(found, truth).ap50 > 0.7


def test_another_file_in_its_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "WEIGHTS", tmp_path)
    for name in BUILT_IN:
        (tmp_path / f"{name}.onnx").write_bytes(b"something else")
        with pytest.raises(OffloadError, match="is not the detector that comes with offload"):
            load_detector(name)
        (tmp_path / f"{name}.onnx").unlink()
        with pytest.raises(OffloadError, match="is not there"):
            load_detector(name)


def test_the_loss_asks_for_what_is_seen_and_falls_with_training() -> None:
    import torch

    torch.manual_seed(0)
    network = DigitsDetector(4)
    images, truths = crops("train", range(4))
    assert images.shape == (4, 3, 256, 256)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = detection_loss(network, images, truths)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.9 * losses[0]
    empty = [truth.seen(2.0) for truth in truths]  # nothing is that visible
    assert detection_loss(network, images, empty).item() >= 0
