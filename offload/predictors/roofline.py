"""Times from published peak rates: the roofline model (Williams, Waterman and Patterson, CACM 2009).

A layer takes as long as the slower of computing its operations and moving its bytes. Assumed, and said in every plan
that uses it: each layer reaches one fixed fraction of both peaks, reads its inputs and weights from memory and writes
its outputs back (no fusion, no cache), and launching it costs nothing.
"""

from __future__ import annotations

from offload.artifacts.profile import KernelGroup, ModelIdentity, Profile, RuntimeIdentity
from offload.graph.model_graph import Layer, ModelGraph
from offload.predictors.presets import Preset


def layer_bytes(graph: ModelGraph, layer: Layer) -> int:
    """Bytes a layer reads and writes; 0 for one that only renames a shape."""
    if layer.kind == "shape":
        return 0
    return layer.weight_bytes + sum(graph.tensor_by_name[name].size_bytes for name in (*layer.inputs, *layer.outputs))


def roofline_s(graph: ModelGraph, layer: Layer, preset: Preset) -> float:
    """Seconds of one run of a layer on a server of that preset."""
    computing = layer.flops / preset.peak_flops_per_s
    moving = layer_bytes(graph, layer) / preset.bandwidth_bytes_per_s
    return max(computing, moving) / preset.efficiency


def assumed_profile(graph: ModelGraph, model: ModelIdentity, preset: Preset) -> Profile:
    """The profile a server of that preset is assumed to have: one sample a layer, flagged `assumed`."""
    times = [roofline_s(graph, layer, preset) for layer in graph.layers]
    whole = (max(sum(times), 1e-9),)
    return Profile.create(
        model=model,
        graph=graph,
        source="assumed",
        runtime=RuntimeIdentity(name="roofline", version="1", device=preset.name, threads=1),
        server_preset=preset.name,
        whole_s=whole,
        profiled_s=whole,
        groups=tuple(
            KernelGroup(layers=(index,), kernels=1 if seconds else 0, samples_s=(seconds,))
            for index, seconds in enumerate(times)
        ),
        reference_s=(),
        stopped="not measured",
    )
