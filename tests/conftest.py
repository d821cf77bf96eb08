"""What tests of every folder share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports of built-in networks, each made once a session, whichever of its processes asks first."""
    of_session = tmp_path_factory.getbasetemp()
    return (of_session.parent if "PYTEST_XDIST_WORKER" in os.environ else of_session) / "exports"
