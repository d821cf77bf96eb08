"""Which built-in networks a quick test may export: the others take 5 to 20 seconds each, up to 575 MB and 5 GB."""

from __future__ import annotations

import pytest

from offload.models.zoo.catalogue import CATALOGUE

QUICK = (
    "alexnet", "mnist", "senna_pos", "resnet18", "resnet50", "mobilenet_v2", "unet", "tiny_yolo", "deepspeech",
    "transformer_encoder", "gru_tagger", "digits_resnet", "digits_deepspeech",
)  # fmt: skip
SLOW = tuple(name for name in CATALOGUE if name not in QUICK)
ALL = (*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW))
