"""A model that was loaded: what every part that measures, divides or sends one works with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from offload.artifacts.profile import Precision
from offload.graph.cuts import Cut
from offload.graph.model_graph import ModelGraph
from offload.models.extraction import Extractor
from offload.models.segments import OnnxSegment, Segment, Segments, Side, TorchSegment, sides

if TYPE_CHECKING:
    from offload.models.torch_program import TorchProgram

__all__ = ["LoadedModel", "LoadedOnnxModel", "LoadedTorchModel", "Precision"]


@dataclass(frozen=True, kw_only=True)
class LoadedModel(ABC):
    """A model, ready to be measured, divided and sent."""

    spec: str
    """What the user typed."""
    name: str
    """A short name for tables and files."""
    graph: ModelGraph
    """Its layers and tensors."""
    hash: str
    """SHA-256 of its content: the same in every process, another for any other weight or shape."""
    weights: str
    """Where the weights come from, in words."""
    untrained: bool
    """Whether the weights are random, so that outputs mean nothing (times are right all the same)."""
    batch: int
    """The leading dimension that all inputs share; 1 where they share none."""
    precision: Precision = "fp32"
    """The type of floating-point weights and tensors."""

    @property
    @abstractmethod
    def whole(self) -> Segment:
        """All of it, for a runtime to load."""

    @abstractmethod
    def divide(self, cut: Cut) -> Segments:
        """Head and tail for one cut of the graph, each for a runtime to load."""

    @abstractmethod
    def segment(self, side: Side) -> Segment:
        """Any layers of the graph, for a runtime to load; there must be something to compute."""


@dataclass(frozen=True, kw_only=True)
class LoadedOnnxModel(LoadedModel):
    """A model in canonical ONNX; layer `i` of its graph is node `i`."""

    onnx: bytes
    """The canonical model: static shapes, self-contained, constants and batch norms folded."""

    @cached_property
    def whole(self) -> OnnxSegment:
        """See `LoadedModel.whole`."""
        return OnnxSegment(onnx=self.onnx, inputs=self.graph.inputs, outputs=self.graph.outputs)

    def divide(self, cut: Cut) -> Segments:
        """See `LoadedModel.divide`."""
        return self._extractor.extract(cut)

    def segment(self, side: Side) -> OnnxSegment:
        """See `LoadedModel.segment`."""
        return self._extractor.segment(side)

    @cached_property
    def _extractor(self) -> Extractor:
        return Extractor(self.onnx, self.graph)


@dataclass(frozen=True, kw_only=True)
class LoadedTorchModel(LoadedModel):
    """A model as torch exported it; layer `i` of its graph is layer `i` of the program."""

    program: TorchProgram

    @cached_property
    def whole(self) -> TorchSegment:
        """See `LoadedModel.whole`."""
        graph = self.graph
        return TorchSegment(
            program=self.program, layers=tuple(range(len(graph.layers))), inputs=graph.inputs, outputs=graph.outputs
        )

    def divide(self, cut: Cut) -> Segments:
        """See `LoadedModel.divide`."""
        head, tail = sides(self.graph, cut)
        return Segments(
            head=self.segment(head) if head.computes else None, tail=self.segment(tail) if tail.computes else None
        )

    def segment(self, side: Side) -> TorchSegment:
        """See `LoadedModel.segment`."""
        return TorchSegment(program=self.program, layers=side.layers, inputs=side.inputs, outputs=side.outputs)
