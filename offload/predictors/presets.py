"""Servers by name: published peak rates, for plans before anything was measured there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

from offload.errors import OffloadError

DEFAULT_PRESET = "t4"


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A server's published peak rates for 32-bit floating point, tensor cores not counted."""

    name: str
    peak_flops_per_s: float
    """A multiply or an add is one operation."""
    bandwidth_bytes_per_s: float
    """Of the accelerator's own memory."""
    board_power_w: float | None
    """The most the board may draw; None when not published."""
    source: str
    """Where the figures were published, in words."""
    efficiency: float
    """Fraction of the peaks that layers are assumed to reach: an assumption, not a measurement."""


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
        near = get_close_matches(name.lower(), known, n=3, cutoff=0.4) or list(known)
        raise OffloadError(f"there is no server preset {name!r}", hint="presets: " + ", ".join(near))
    return known[name]
