"""A divided model: the head that runs on the device and the tail that runs on the server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offload.graph.cuts import Cut
from offload.graph.model_graph import ModelGraph

if TYPE_CHECKING:
    from offload.models.torch_program import TorchProgram


@dataclass(frozen=True, kw_only=True)
class OnnxSegment:
    """One side of a cut, or a whole model, as ONNX of its own; tensors keep the names they have in the whole."""

    onnx: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TorchSegment:
    """One side of a cut, or a whole model, as layers of a torch program that stays where it is."""

    program: TorchProgram
    layers: tuple[int, ...]
    """Indices of the layers to run, in order."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


Segment = OnnxSegment | TorchSegment
"""What a runtime loads."""


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


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one side of a cut has to run, read and hand over."""

    layers: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def computes(self) -> bool:
        """Whether there is anything to run."""
        return bool(self.layers and self.outputs)


def sides(graph: ModelGraph, cut: Cut) -> tuple[Side, Side]:
    """The device's and the server's side of a cut; see `Segments` for what they read and hand over."""
    device = tuple(sorted(cut.device))
    server = tuple(index for index in range(len(graph.layers)) if index not in cut.device)
    produced = {name for index in device for name in graph.layers[index].outputs}
    read = {name for index in device for name in graph.layers[index].inputs}
    handed_over = dict.fromkeys([*cut.crossing, *graph.outputs])
    head = Side(
        layers=device,
        inputs=tuple(name for name in graph.inputs if name in read),
        outputs=tuple(name for name in handed_over if name in produced),
    )
    return head, Side(layers=server, inputs=cut.crossing, outputs=cut.returning)


def side_of(graph: ModelGraph, layers: Iterable[int]) -> Side:
    """Any layers as a model of their own: it reads what they read of others, and hands over what others read."""
    inside = tuple(sorted(layers))
    made = {name for index in inside for name in graph.layers[index].outputs}
    read = dict.fromkeys(name for index in inside for name in graph.layers[index].inputs)
    return Side(
        layers=inside,
        inputs=tuple(name for name in read if name not in made),
        outputs=tuple(
            tensor.name
            for tensor in graph.tensors
            if tensor.name in made
            and (tensor.name in graph.outputs or not set(inside).issuperset(graph.consumers[tensor.name]))
        ),
    )
