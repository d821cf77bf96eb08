"""An ONNX document as a torch module, and a segment of a model as a differentiable function of many examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn

from offload.errors import OffloadError
from offload.models.inputs import Shape
from offload.models.segments import OnnxSegment
from offload.models.torch_operators import OPERATORS, unknown
from offload.models.torch_recurrent import RECURRENT_OPERATORS
from offload.models.torch_shape_operators import SHAPE_OPERATORS
from offload.models.torch_weighted import Compute, Node, Translation, WeightedModule, nodes_of

TRANSLATIONS: Mapping[str, Translation] = {**OPERATORS, **SHAPE_OPERATORS, **RECURRENT_OPERATORS}
"""Of every operator that has a differentiable form here, by its name."""


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One node, ready to be called."""

    compute: Compute
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class OnnxModule(WeightedModule):
    """Runs the nodes of an ONNX document in their order; its weights are frozen parameters."""

    def __init__(self, document: onnx.ModelProto, *, results: Sequence[str] = ()) -> None:
        """Translate.

        Args:
            document: With static shapes.
            results: Tensors to hand out; the document's outputs if left out.

        Raises:
            OffloadError: it has an operator that is not known here.
        """
        super().__init__(document)
        self.inputs: dict[str, tuple[int, Shape]] = {
            value.name: self._types[value.name] for value in document.graph.input
        }
        """ONNX element type and shape, by name."""
        self._results = tuple(results) or tuple(value.name for value in document.graph.output)
        self._steps = tuple(self._step(node) for node in self.calls(nodes_of(document)))
        del self._constants, self._types

    translations: Mapping[str, Translation] = TRANSLATIONS
    """How each operator becomes a call."""

    def calls(self, nodes: list[Node]) -> Iterable[Node]:
        """The nodes to run, in order."""
        return nodes

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The tensors that were asked for, in that order."""
        values = dict(zip(self.inputs, inputs, strict=True))
        for step in self._steps:
            made = step.compute(*(values[name] for name in step.inputs))
            results = (made,) if isinstance(made, Tensor) else made
            values |= zip(step.outputs, results, strict=False)
        return tuple(values[name] for name in self._results)

    def unknown(self, node: Node) -> OffloadError:
        """What is said of an operator without a translation."""
        return unknown(node)

    def _step(self, node: Node) -> _Step:
        translate = self.translations.get(node.op)
        if translate is None:
            raise self.unknown(node)
        flowing = tuple(name for name in node.inputs if name and name not in self._constants)
        return _Step(compute=translate(self, node), inputs=flowing, outputs=node.outputs)


class DifferentiableSegment(nn.Module):
    """A segment of a model, frozen and in inference form, on any number of examples at once.

    Each example has the shape that the model has for a batch of 1, and an axis in front counts the examples: so it
    does not matter where a model keeps its batch, or whether it folds it into another axis. `torch.vmap` makes one
    call of each operator for all examples.
    """

    def __init__(self, segment: OnnxSegment, *, results: Sequence[str] = ()) -> None:
        """Translate.

        Args:
            segment: Made for a batch of 1.
            results: Tensors of the segment to hand out; its outputs if left out.

        Raises:
            OffloadError: an operator has no differentiable form; it is named.
        """
        super().__init__()
        self.network = OnnxModule(onnx.load_from_string(segment.onnx), results=results).eval()
        for weight in self.network.parameters():
            weight.requires_grad_(False)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Results for examples along a first axis that is added to each input's and each result's shape."""
        found: tuple[Tensor, ...] = torch.vmap(self.network, randomness="error")(*inputs)
        return found
