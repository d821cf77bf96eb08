"""Times from published peak rates: the roofline model (Williams, Waterman and Patterson, CACM 2009).

A layer takes as long as the slower of computing its operations and moving its bytes, and what starting it takes.
Assumed, and said in every plan that uses it: a kind of layer reaches one fixed fraction of both peaks, and a layer
reads its inputs and weights from memory and writes its outputs back (no fusion, no cache).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offload.artifacts.base import MOST
from offload.artifacts.preset import Preset
from offload.artifacts.profile import KernelGroup, ModelIdentity, Profile, RuntimeIdentity
from offload.errors import OffloadError
from offload.graph.model_graph import Layer, ModelGraph


@dataclass(frozen=True, kw_only=True)
class LayerTerms:
    """What bounds a layer from below, before any calibration, in seconds."""

    computing_s: float
    moving_s: float
    launch_s: float
    at_peak_s: float
    """Computing at the published peak itself, which no calibration passes."""

    def seconds(self, compute_factor: float = 1.0, memory_factor: float = 1.0) -> float:
        """The slower of the two with their factors, and the launch."""
        return max(self.computing_s * compute_factor, self.at_peak_s, self.moving_s * memory_factor) + self.launch_s


def layer_bytes(graph: ModelGraph, layer: Layer) -> int:
    """Bytes a layer reads and writes; 0 for one that only renames a shape."""
    if layer.kind == "shape":
        return 0
    return layer.weight_bytes + sum(graph.tensor_by_name[name].size_bytes for name in (*layer.inputs, *layer.outputs))


def layer_terms(graph: ModelGraph, preset: Preset) -> list[LayerTerms]:
    """The terms of each layer by published rates and assumed efficiency; a preset's factors are left out."""
    return [
        LayerTerms(
            computing_s=layer.flops / (preset.peak_flops_per_s * preset.efficiency[layer.kind]),
            moving_s=layer_bytes(graph, layer) / (preset.bandwidth_bytes_per_s * preset.efficiency[layer.kind]),
            at_peak_s=layer.flops / preset.peak_flops_per_s,
            launch_s=0.0 if layer.kind == "shape" else preset.launch_s,
        )
        for layer in graph.layers
    ]


def layer_times_s(graph: ModelGraph, preset: Preset) -> list[float]:
    """Seconds of one run of each layer on the preset's device, its calibration included."""
    return [terms.seconds(preset.compute_factor, preset.memory_factor) for terms in layer_terms(graph, preset)]


def assumed_profile(
    graph: ModelGraph,
    model: ModelIdentity,
    preset: Preset,
    *,
    power_w: float | None = None,
    idle_power_w: float | None = None,
) -> Profile:
    """The profile a device of that preset is assumed to have: one sample a layer, flagged `assumed`.

    Args:
        graph: The model's layers.
        model: Which model.
        preset: The device.
        power_w: Power while computing; None takes the preset's.
        idle_power_w: Power while waiting.
    """
    times: Sequence[float] = layer_times_s(graph, preset)
    whole = (max(sum(times), 1e-9),)
    if whole[0] > MOST:
        raise OffloadError(
            f"{preset.name}: {model.name} would take {whole[0]:.3g} s, which cannot be",
            hint="make the preset again: offload calibrate",
        )
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
        power_w=preset.power_w if power_w is None else power_w,
        idle_power_w=idle_power_w,
        stopped="not measured",
    )
