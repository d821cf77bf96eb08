from __future__ import annotations

import subprocess
import sys

import pytest

import offload
from offload.artifacts.plan import Plan


def test_every_public_name_is_there() -> None:
    for name in offload.__all__:
        assert getattr(offload, name) is not None
    assert offload.Plan is Plan
    assert set(offload.__all__) == {*offload._WHERE, "__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_like_it"):
        offload.nothing_like_it  # noqa: B018


def test_importing_the_package_imports_nothing_but_its_version() -> None:
    code = "import sys, offload; print(sorted(m for m in sys.modules if m.startswith('offload.')))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "['offload.version']"
