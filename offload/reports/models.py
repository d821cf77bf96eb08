"""The report on the built-in models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from offload.reports.document import Quantity, Report, Section


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is listed of one network."""

    name: str
    input_shape: tuple[int, ...]
    """Without the batch."""
    input_dtype: str
    """A NumPy type name; integers are ids."""
    layers: int
    """Those of its graph."""
    parameters: int
    flops: int
    """Operations of one run with a batch of 1; a multiply-accumulate is two."""
    description: str
    trained: bool
    """Whether trained weights come with the program."""


def models_report(networks: Iterable[Network]) -> Report:
    """A report on built-in networks, in the order given."""
    known = tuple(networks)
    return Report(
        title="Built-in networks",
        sections=(
            Section(
                title="",
                columns=("name", "input", "layers", "parameters", "FLOPs", "what it is"),
                rows=tuple(
                    (
                        network.name,
                        "×".join(map(str, network.input_shape)) + " ids" * network.input_dtype.startswith("int"),
                        Quantity(value=network.layers, unit="count"),
                        Quantity(value=network.parameters, unit="count"),
                        Quantity(value=network.flops, unit="FLOP"),
                        network.description + ", trained" * network.trained,
                    )
                    for network in known
                ),
                lines=(
                    "A layer is a node of the graph that is measured and cut; a multiply-accumulate is two FLOPs.",
                    "Their weights are a seeded initialisation, unless it says trained or --weights gives a file.",
                ),
            ),
        ),
        records=tuple(
            {
                "name": network.name,
                "input_shape": "x".join(map(str, network.input_shape)),
                "input_dtype": network.input_dtype,
                "layers": network.layers,
                "parameters": network.parameters,
                "flops": network.flops,
                "description": network.description,
                "trained": network.trained,
            }
            for network in known
        ),
    )
