"""What tests of every folder share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports of built-in networks, each made once a session."""
    return tmp_path_factory.mktemp("cache")
