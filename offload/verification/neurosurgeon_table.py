"""What is published of Neurosurgeon's evaluation: networks, devices, choices and headlines, with their sources."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from offload.artifacts.reproduction import Headlines
from offload.units import parse_duration, parse_power


@dataclass(frozen=True, kw_only=True)
class PublishedNetwork:
    """One of the eight networks, and what a query sends."""

    name: str
    """In the zoo."""
    label: str
    """In the paper."""
    batch: int
    query: str
    """In words."""
    bytes_per_value: int
    """Of the uploaded input."""


@dataclass(frozen=True, kw_only=True)
class PublishedDevice:
    """A processor that layers run on; the mappings are by the networks' labels."""

    name: str
    preset: str
    latency_s: Mapping[str, float]
    """Whole networks."""
    power_w: Mapping[str, float]
    """While computing; empty for the server."""
    chosen: Mapping[str, Mapping[str, str]]
    """By radio, then network: the layer after which the paper cuts, `input`, or the network's last layer."""


@dataclass(frozen=True, kw_only=True)
class PublishedEvaluation:
    """All of it."""

    paper: str
    sources: Mapping[str, str]
    networks: tuple[PublishedNetwork, ...]
    radios: tuple[str, ...]
    devices: tuple[PublishedDevice, ...]
    server: PublishedDevice
    headlines: Headlines


@cache
def published_evaluation() -> PublishedEvaluation:
    """The published figures, in base units."""
    document = json.loads(files("offload.verification").joinpath("neurosurgeon.json").read_text(encoding="utf-8"))
    labels = [network["label"] for network in document["networks"]]
    return PublishedEvaluation(
        paper=document["paper"],
        sources=document["sources"],
        networks=tuple(PublishedNetwork(**network) for network in document["networks"]),
        radios=tuple(document["radios"]),
        devices=tuple(_device(device, labels) for device in document["devices"]),
        server=_device({"name": "server", "power": {}, "chosen": {}, **document["server"]}, labels),
        headlines=Headlines(**document["headlines"]),
    )


def _device(document: dict[str, Any], labels: list[str]) -> PublishedDevice:
    powers_w = {label: parse_power(text) for label, text in document["power"].items()}
    mean_w = {label: statistics.mean(powers_w.values()) for label in labels} if powers_w else {}
    return PublishedDevice(
        name=document["name"],
        preset=document["preset"],
        latency_s={label: parse_duration(text) for label, text in document["latency"].items()},
        power_w=mean_w | powers_w,
        chosen=document["chosen"],
    )
