"""Devices by name: published rates, for profiles and plans where nothing was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

from offload.artifacts.preset import Preset
from offload.errors import OffloadError

DEFAULT_PRESET = "t4"


@cache
def presets() -> Mapping[str, Preset]:
    """Every preset by name."""
    document = json.loads(files("offload.predictors").joinpath("presets.json").read_text(encoding="utf-8"))
    efficiency = document["assumed_efficiency"]
    return {name: Preset(name=name, efficiency=efficiency, **entry) for name, entry in document["presets"].items()}


def load_preset(name: str = DEFAULT_PRESET) -> Preset:
    """The preset of that name.

    Raises:
        OffloadError: there is none; the hint names near ones.
    """
    known = presets()
    if name not in known:
        near = ", ".join(near_presets(name))
        raise OffloadError(f"there is no preset {name!r}", hint=f"near it: {near}; all: offload devices")
    return known[name]


def near_presets(name: str) -> list[str]:
    """Names of presets like that one; all of them where none is like it."""
    known = presets()
    return get_close_matches(name.lower(), known, n=3, cutoff=0.4) or list(known)
