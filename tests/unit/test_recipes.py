"""The recipes of the trained networks run, learn, and write what the zoo reads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from offload.models.torch_sources import from_zoo
from offload.models.zoo.catalogue import CATALOGUE, ZooEntry
from offload.training.recipes import digits_deepspeech, digits_resnet, saving


@pytest.mark.slow
def test_recipes_are_deterministic() -> None:
    for recipe in (digits_resnet, digits_deepspeech):
        first, second = recipe.train(2), recipe.train(2)
        assert not first.training
        for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
            assert torch.equal(one, other)


def test_what_is_saved_is_what_is_measured_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(saving, "WEIGHTS", tmp_path)
    monkeypatch.setattr("offload.models.zoo.catalogue.WEIGHTS", tmp_path)
    saved = saving.save_half(digits_resnet.train(1), "digits_resnet")
    digest = hashlib.sha256((tmp_path / "digits_resnet.safetensors").read_bytes()).hexdigest()
    assert digest in capsys.readouterr().out
    shipped = CATALOGUE["digits_resnet"]
    entry = ZooEntry(
        name=shipped.name, build=shipped.build, input_shape=shipped.input_shape, layers=1, parameters=1, flops=1,
        description="", weights_sha256=digest,
    )  # fmt: skip
    loaded = from_zoo(entry).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loaded(images), saved(images))


def test_the_shipped_weights_score_as_the_recipe_printed() -> None:
    network = from_zoo(CATALOGUE["digits_deepspeech"])
    assert digits_deepspeech.token_error_rate(network, "test") == pytest.approx(0.0072, abs=0.0005)
