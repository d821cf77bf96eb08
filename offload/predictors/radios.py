"""What sending and receiving cost in power: published linear fits, by the name of the radio."""

from __future__ import annotations

import json
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from offload.artifacts.plan import Radio
from offload.errors import OffloadError
from offload.units import parse_power, parse_rate


@cache
def _document() -> Any:
    return json.loads(files("offload.predictors").joinpath("radios.json").read_text(encoding="utf-8"))


def radio_names() -> tuple[str, ...]:
    """The radios that `load_radio` knows."""
    return tuple(_document()["radios"])


def load_radio(name: str) -> Radio:
    """The power model of a radio.

    Raises:
        OffloadError: there is no figure for that radio; the hint names near ones, or all there are.
    """
    known = _document()["radios"]
    entry = known.get(name.lower())
    if entry is None:
        near = get_close_matches(name.lower(), known, n=2) or known
        raise OffloadError(f"there is no radio {name!r}", hint="radios: " + ", ".join(near))
    per_mbps = parse_rate("1Mbps")
    received = "alpha_down_per_mbps" in entry
    return Radio(
        name=name.lower(),
        alpha_w_per_bps=parse_power(entry["alpha_up_per_mbps"]) / per_mbps,
        beta_w=parse_power(entry["beta"]),
        fitted_to_bps=parse_rate(entry["up"]),
        down_alpha_w_per_bps=parse_power(entry["alpha_down_per_mbps"]) / per_mbps if received else None,
        down_fitted_to_bps=parse_rate(entry["down"]) if received else None,
        whole_device=entry.get("whole_device", False),
        source=_document()["sources"][entry["source"]],
    )
