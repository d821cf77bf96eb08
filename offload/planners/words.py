"""A cut in words, as a person would say it."""

from __future__ import annotations

from offload.graph.cuts import Cut
from offload.graph.model_graph import ModelGraph


def describe(graph: ModelGraph, cut: Cut) -> str:
    """For example "run conv1 … layer3.5.relu here, send 1 tensor, 200 704 B, run the rest there"."""
    if len(cut.device) == len(graph.layers):
        return "run everything here"
    tensors = [graph.tensor_by_name[name] for name in cut.crossing]
    size = f"{sum(tensor.size_bytes for tensor in tensors):,}".replace(",", " ")
    sent = f"send {len(tensors)} tensor{'' if len(tensors) == 1 else 's'}, {size} B"
    if not cut.device:
        return f"{sent} (the input), run everything there"
    indices = sorted(cut.device)
    first, last = graph.layers[indices[0]].name, graph.layers[indices[-1]].name
    here = first if first == last else f"{first} … {last}"
    return f"run {here} here, {sent}, run the rest there"
