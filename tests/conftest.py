"""What tests of every folder share."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports of built-in networks, each made once a session, whichever of its processes asks first."""
    of_session = tmp_path_factory.getbasetemp()
    return (of_session.parent if "PYTEST_XDIST_WORKER" in os.environ else of_session) / "exports"


@pytest.fixture(scope="session", autouse=True)
def _operators_are_read_once() -> None:
    """Torch's exporter parses all operators that it knows for every export, half the time of a small one; here once.

    It only looks operators up in what it has parsed. Where torch keeps it elsewhere, tests are slower.
    """
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))
    except (ImportError, AttributeError):
        return
