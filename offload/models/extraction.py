"""Dividing an ONNX model at a cut."""

from __future__ import annotations

from offload.graph.cuts import Cut
from offload.graph.model_graph import ModelGraph
from offload.models.onnx_walk import reads
from offload.models.segments import OnnxSegment, Segments, Side, sides


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
        head, tail = sides(self._graph, cut)
        return Segments(
            head=self.segment(head) if head.computes else None, tail=self.segment(tail) if tail.computes else None
        )

    def segment(self, side: Side) -> OnnxSegment:
        """Some layers as a model of their own."""
        from onnx import ModelProto

        source = self._model
        model = ModelProto(ir_version=source.ir_version, opset_import=source.opset_import)
        graph = model.graph
        graph.name = source.graph.name or "segment"
        graph.node.extend(source.graph.node[index] for index in side.layers)
        needed = {name for node in graph.node for name in reads(node)} | set(side.outputs)
        for name, tensor in self._weights.items():
            if name in needed:
                graph.initializer.add().CopyFrom(tensor)
        graph.input.extend(self._types[name] for name in side.inputs)
        graph.output.extend(self._types[name] for name in side.outputs)
        made = (name for index in side.layers for name in self._graph.layers[index].outputs)
        graph.value_info.extend(self._types[name] for name in made if name in self._types and name not in side.outputs)
        data = model.SerializeToString(deterministic=True)
        return OnnxSegment(onnx=data, inputs=side.inputs, outputs=side.outputs)
