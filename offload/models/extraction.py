"""Dividing a model at a cut: the head that runs on the device and the tail that runs on the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.graph.cuts import Cut
from offload.graph.model_graph import ModelGraph
from offload.models.onnx_walk import reads

if TYPE_CHECKING:
    from offload.models.load import LoadedModel


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One side of a cut, a model of its own; tensors keep the names they have in the whole."""

    onnx: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Segments:
    """A divided model.

    The whole's outputs are the tail's together with those of the head's that are outputs of the whole.
    """

    head: Segment | None
    """None when everything runs on the server. Its inputs are the model's that its layers read; its outputs are what
    crosses (less model inputs, which cross as they are) and the model outputs it produces."""
    tail: Segment | None
    """None when everything runs on the device. Its inputs are the cut's `crossing`, its outputs the `returning`."""


class Extractor:
    """Divides one model at any number of cuts, parsing it once."""

    def __init__(self, onnx: bytes, graph: ModelGraph) -> None:
        """Parse.

        Args:
            onnx: A canonical model.
            graph: The graph made from these very bytes.
        """
        from onnx import ModelProto

        self._model = ModelProto.FromString(onnx)
        self._graph = graph
        self._weights = {tensor.name: tensor for tensor in self._model.graph.initializer}
        ends = (*self._model.graph.input, *self._model.graph.value_info, *self._model.graph.output)
        self._types = {value.name: value for value in ends}

    def extract(self, cut: Cut) -> Segments:
        """Head and tail for one cut of the graph."""
        graph = self._graph
        device = sorted(cut.device)
        server = [index for index in range(len(graph.layers)) if index not in cut.device]
        produced = {name for index in device for name in graph.layers[index].outputs}
        read = {name for index in device for name in graph.layers[index].inputs}
        head_outputs = dict.fromkeys([*cut.crossing, *graph.outputs])
        return Segments(
            head=self._segment(
                device,
                [name for name in graph.inputs if name in read],
                [name for name in head_outputs if name in produced],
            ),
            tail=self._segment(server, cut.crossing, cut.returning),
        )

    def _segment(self, layers: Sequence[int], inputs: Sequence[str], outputs: Sequence[str]) -> Segment | None:
        from onnx import ModelProto

        if not layers or not outputs:
            return None
        source = self._model
        model = ModelProto(ir_version=source.ir_version, opset_import=source.opset_import)
        graph = model.graph
        graph.name = source.graph.name or "segment"
        graph.node.extend(source.graph.node[index] for index in layers)
        needed = {name for node in graph.node for name in reads(node)} | set(outputs)
        for name, tensor in self._weights.items():
            if name in needed:
                graph.initializer.add().CopyFrom(tensor)
        graph.input.extend(self._types[name] for name in inputs)
        graph.output.extend(self._types[name] for name in outputs)
        inner = (name for index in layers for name in self._graph.layers[index].outputs if name not in outputs)
        graph.value_info.extend(self._types[name] for name in inner if name in self._types)
        return Segment(onnx=model.SerializeToString(deterministic=True), inputs=tuple(inputs), outputs=tuple(outputs))


def extract(model: LoadedModel, cut: Cut) -> Segments:
    """Divide a loaded model at one cut; for several cuts keep an `Extractor`."""
    return Extractor(model.onnx, model.graph).extract(cut)
