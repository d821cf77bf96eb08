"""Learned codecs train on a GPU, and what is exported runs on the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from offload.artifacts.codec import LearnedKind
from offload.codecs.trained import load_trained
from offload.progress import NullProgress
from offload.training.learned import train_codec
from tests import tiny_training


@pytest.mark.parametrize("codec", ["deepcod", "autoencoder", "entropic"])
def test_codecs_train_on_a_gpu(tmp_path: Path, codec: LearnedKind) -> None:
    job = replace(tiny_training.job(tmp_path, "conv1", codec=codec, epochs=4), device="cuda:0")
    files = train_codec(job, NullProgress())
    assert files is not None
    epochs = load_trained(files.folder).manifest.training.epochs
    assert epochs[-1].loss < epochs[0].loss
