"""A cut in words, as a person would say it."""

from __future__ import annotations

from offload.artifacts.plan import Coding
from offload.graph.cuts import Cut
from offload.graph.model_graph import ModelGraph


def describe(graph: ModelGraph, cut: Cut, coding: Coding | None = None) -> str:
    """For example "run conv1 … layer3.5.relu here, send 1 tensor, 200 704 B, run the rest there".

    Args:
        graph: The model.
        cut: What runs where.
        coding: How the tensor that crosses is coded: "send 1 tensor, 83 of 200 704 B as DeepCOD".
    """
    if len(cut.device) == len(graph.layers):
        return "run everything here"
    tensors = [graph.tensor_by_name[name] for name in cut.crossing]
    size = _spaced(sum(tensor.size_bytes for tensor in tensors))
    if coding is not None:
        size = f"{_spaced(round(coding.payload_bytes.value))} of {size}"
    sent = f"send {len(tensors)} tensor{'' if len(tensors) == 1 else 's'}, {size} B"
    if coding is not None:
        sent += f" as {coding.method}"
    if not cut.device:
        return f"{sent} (the input), run everything there"
    indices = sorted(cut.device)
    first, last = graph.layers[indices[0]].name, graph.layers[indices[-1]].name
    here = first if first == last else f"{first} … {last}"
    return f"run {here} here, {sent}, run the rest there"


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")
