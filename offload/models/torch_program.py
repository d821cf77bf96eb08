"""A torch module as a graph of ATen operations, which is measured, divided and run in place."""

from __future__ import annotations

from dataclasses import dataclass

from offload.graph.model_graph import ModelGraph


@dataclass(frozen=True, kw_only=True)
class TorchProgram:
    """An exported module."""

    graph: ModelGraph
