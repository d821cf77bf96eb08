"""Reproductions: the decisions that a paper published, made again here from published figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from offload.api.models import identity_of, load
from offload.artifacts.link import Link
from offload.artifacts.preset import CalibratedPreset, Preset
from offload.artifacts.profile import ModelIdentity, Profile
from offload.artifacts.reproduction import DecisionCell, Objective, Parameter, Reproduction, Variant
from offload.artifacts.workspace import Workspace
from offload.errors import UsageError
from offload.graph.model_graph import ModelGraph
from offload.planners.base import Problem
from offload.progress import NullProgress, Progress
from offload.units import format_duration, format_flops, format_rate, format_size

if TYPE_CHECKING:
    from offload.verification.neurosurgeon_table import PublishedDevice, PublishedEvaluation, PublishedNetwork

_FREE_BPS = 1e15
"""A downlink that takes no time: the paper's algorithm does not charge the answer's way back."""
_VALUE_TYPES = {1: "uint8", 4: "float32"}


@dataclass(frozen=True, kw_only=True)
class ReproduceRequest:
    """What `reproduce` is asked for."""

    paper: str = "neurosurgeon"
    target: Objective = "latency"
    networks: Sequence[str] = ()
    """Built-in names, or the paper's own such as `IMC`; none stands for all of the paper's."""


@dataclass(frozen=True, kw_only=True)
class _Network:
    published: PublishedNetwork
    identity: ModelIdentity
    graph: ModelGraph
    """At the query's batch, its input in 32-bit floats."""
    single: ModelGraph
    """At a batch of 1."""

    def uploading(self, graph: ModelGraph) -> ModelGraph:
        """One of the graphs with its input as it is uploaded."""
        dtype = _VALUE_TYPES[self.published.bytes_per_value]
        return replace(
            graph,
            tensors=tuple(
                replace(tensor, dtype=dtype) if tensor.name in graph.inputs else tensor for tensor in graph.tensors
            ),
        )


def reproduce(request: ReproduceRequest, *, workspace: Workspace, progress: Progress | None = None) -> Reproduction:
    """The paper's table of partition points beside ours, and its headlines beside ours.

    Raises:
        UsageError: that paper cannot be reproduced, or it has no such network.
    """
    from offload.verification.decisions import headlines, mix_throughput
    from offload.verification.neurosurgeon_table import published_evaluation

    if request.paper != "neurosurgeon":
        raise UsageError(f"{request.paper} cannot be reproduced", hint="papers: neurosurgeon")
    published = published_evaluation()
    progress = progress or NullProgress()
    networks = _networks(request.networks, published, workspace, progress)
    presets = {side.preset: _calibrated(side, published, networks) for side in (*published.devices, published.server)}
    scaled = {name: calibrated.preset for name, calibrated in presets.items()}
    problems = _Problems(published=published, target=request.target, presets=scaled)
    cells: list[DecisionCell] = []
    for network in networks:
        progress.start(f"deciding for {network.published.name}")
        cells += [problems.cell(network, device, radio, presets) for device, radio in _places(published)]
    progress.finish()
    order = {place: number for number, place in enumerate((d.name, r) for d, r in _places(published))}
    cells.sort(key=lambda cell: order[cell.device, cell.radio])
    throughput = mix_throughput(cells)
    return Reproduction.create(
        paper=published.paper,
        target=request.target,
        cells=tuple(cells),
        ours=headlines(cells, request.target, throughput),
        published=published.headlines,
        throughput=throughput,
        variants=_variants(problems, networks) if request.target == "latency" else (),
        parameters=_parameters(published, networks, presets, request.target),
        notes=_notes(request.target, every=len(networks) == len(published.networks)),
    )


def _places(published: PublishedEvaluation) -> list[tuple[PublishedDevice, str]]:
    return [(device, radio) for device in published.devices for radio in published.radios]


def _networks(
    asked: Sequence[str], published: PublishedEvaluation, workspace: Workspace, progress: Progress
) -> list[_Network]:
    from offload.runtimes.onnxruntime import OnnxRuntime

    known = {name for network in published.networks for name in (network.name, network.label)}
    unknown = [name for name in asked if name not in known]
    if unknown:
        names = (f"{network.name} ({network.label})" for network in published.networks)
        raise UsageError(f"--network {unknown[0]} is none of the paper's", hint="networks: " + ", ".join(names))
    found = []
    for network in published.networks:
        if asked and not {network.name, network.label}.intersection(asked):
            continue
        model, *others = [
            load(
                network.name,
                OnnxRuntime(device="cpu"),
                inputs={},
                batch=batch,
                weights=None,
                precision="fp32",
                workspace=workspace,
                progress=progress,
            )
            for batch in dict.fromkeys((network.batch, 1))
        ]
        identity = identity_of(model, inputs={}, weights=None)
        single = others[0].graph if others else model.graph
        found.append(_Network(published=network, identity=identity, graph=model.graph, single=single))
    return found


def _calibrated(
    side: PublishedDevice, published: PublishedEvaluation, networks: Sequence[_Network]
) -> CalibratedPreset:
    """A side's preset scaled to the published latencies of the networks, never to a cell."""
    from offload.predictors.calibration import KnownRun, calibrated
    from offload.predictors.presets import load_preset

    return calibrated(
        load_preset(side.preset),
        [
            KnownRun(
                model=network.published.name,
                model_hash=network.identity.hash,
                batch=network.published.batch,
                graph=network.graph,
                known_s=side.latency_s[network.published.label],
            )
            for network in networks
        ],
    )


@dataclass(frozen=True, kw_only=True)
class _Problems:
    """The problems of the table, under one set of assumptions."""

    published: PublishedEvaluation
    target: Objective
    presets: Mapping[str, Preset]
    charged_return: bool = False
    graph_of: Callable[[_Network], ModelGraph] = lambda network: network.uploading(network.graph)

    def problem(self, network: _Network, device: PublishedDevice, radio: str) -> Problem:
        """One device over one radio."""
        from offload.predictors.radios import load_radio

        known = load_radio(radio)
        back_bps = known.down_fitted_to_bps if self.charged_return else None
        return Problem(
            device=self._profile(network, device),
            server=self._profile(network, self.published.server),
            link=Link(uplink_bps=known.fitted_to_bps, downlink_bps=back_bps or _FREE_BPS, rtt_s=0.0),
            target=self.target,
            radio=known,
            paper_energy=True,
        )

    def cell(
        self, network: _Network, device: PublishedDevice, radio: str, presets: Mapping[str, CalibratedPreset]
    ) -> DecisionCell:
        """The planners' decisions, beside the paper's for the latency; its points for the energy are not known."""
        from offload.verification.decisions import WholeLatencies, beside_published, decide

        problem, label = self.problem(network, device, radio), network.published.label
        cell = decide(problem, network=network.published.name, label=label, device=device.name, radio=radio)
        if self.target != "latency":
            return cell
        figures = {figure.model: figure for figure in presets[device.preset].figures}
        known = WholeLatencies(
            device_s=device.latency_s[label],
            server_s=self.published.server.latency_s[label],
            residual=figures[network.published.name].residual,
        )
        return beside_published(cell, problem, device.chosen[radio][label], known)

    def variant(self, words: str, networks: Sequence[_Network]) -> Variant:
        """In how many cells the paper's algorithm cuts where the paper does, and what it gains."""
        from offload.verification.decisions import best_prefix

        agree, gains = 0, []
        for network in networks:
            for device, radio in _places(self.published):
                point, gain = best_prefix(self.problem(network, device, radio))
                agree += point == device.chosen[radio][network.published.label]
                gains.append(gain)
        return Variant(
            words=words,
            agree=agree,
            of=len(gains),
            speedup_mean=statistics.mean(gains),
            speedup_geometric_mean=statistics.geometric_mean(gains),
            speedup_most=max(gains),
        )

    def _profile(self, network: _Network, side: PublishedDevice) -> Profile:
        from offload.predictors.roofline import assumed_profile

        power_w = side.power_w.get(network.published.label)
        return assumed_profile(self.graph_of(network), network.identity, self.presets[side.preset], power_w=power_w)


def _variants(problems: _Problems, networks: Sequence[_Network]) -> tuple[Variant, ...]:
    """The same table under assumptions that could have been made instead."""
    from offload.predictors.presets import load_preset

    by_rates = {name: load_preset(name) for name in problems.presets}
    as_floats = replace(problems, graph_of=lambda network: network.graph)
    others = {
        "as above": problems,
        "presets by hardware rates alone, not calibrated": replace(problems, presets=by_rates),
        "the answer's way back charged, at the radio's downlink": replace(problems, charged_return=True),
        "images uploaded as 32-bit floats": as_floats,
        "hardware rates alone and 32-bit floats": replace(as_floats, presets=by_rates),
        "one digit and one word a query": replace(problems, graph_of=lambda network: network.uploading(network.single)),
    }
    return tuple(each.variant(words, networks) for words, each in others.items())


def _parameters(
    published: PublishedEvaluation,
    networks: Sequence[_Network],
    presets: Mapping[str, CalibratedPreset],
    target: Objective,
) -> tuple[Parameter, ...]:
    from offload.predictors.radios import load_radio

    sources, found = published.sources, list[Parameter]()
    for side in (*published.devices, published.server):
        calibrated = presets[side.preset]
        preset = calibrated.preset
        rates = f"{format_flops(preset.peak_flops_per_s)}/s, {format_size(preset.bandwidth_bytes_per_s)}/s"
        found.append(Parameter(name=f"{side.preset}, hardware rates", value=rates, source=preset.source))
        found.append(
            Parameter(
                name=f"{side.preset}, a launch", value=format_duration(preset.launch_s), source=preset.launch_source
            )
        )
        labels = [network.published.label for network in networks]
        whole = [(label, figure) for label, figure in zip(labels, calibrated.figures, strict=True)]
        found.append(
            Parameter(
                name=f"{side.preset}, whole networks",
                value=", ".join(f"{label} {format_duration(figure.known_s)}" for label, figure in whole),
                source=sources["totals"],
            )
        )
        found.append(
            Parameter(
                name=f"{side.preset}, calibrated, is off by",
                value=", ".join(f"{label} {figure.residual:+.0%}" for label, figure in whole),
                source="computed",
            )
        )
        found.append(
            Parameter(
                name=f"{side.preset}, factors",
                value=f"computing {preset.compute_factor:.2f}×, memory {preset.memory_factor:.2f}×",
                source="least squares of log errors over those latencies; efficiencies of kinds of layers are assumed",
            )
        )
    sizes = [
        sum(network.uploading(network.graph).tensor_by_name[name].size_bytes for name in network.graph.inputs)
        for network in networks
    ]
    found.append(
        Parameter(
            name="queries",
            value="; ".join(
                f"{network.published.label} {network.published.query}, {format_size(size)}"
                for network, size in zip(networks, sizes, strict=True)
            ),
            source=f"{sources['queries']}; {sources['bytes']}",
        )
    )
    for name in published.radios:
        radio = load_radio(name)
        sending = f"{radio.uplink_w(radio.fitted_to_bps):.3g} W"
        found.append(
            Parameter(
                name=f"{name}, uplink", value=f"{format_rate(radio.fitted_to_bps)}, {sending}", source=radio.source
            )
        )
    if target == "energy":
        found += [
            Parameter(
                name=f"{device.preset}, power",
                value=", ".join(f"{n.published.label} {device.power_w[n.published.label]:.3g} W" for n in networks),
                source=sources["power"],
            )
            for device in published.devices
        ]
    found.append(Parameter(name="points of the paper", value="by network", source=sources["table"]))
    found.append(Parameter(name="headlines of the paper", value="means and extremes", source=sources["abstract"]))
    return tuple(found)


def _notes(target: Objective, *, every: bool) -> tuple[str, ...]:
    found = [
        "a request is charged what Algorithm 1 charges: computing on both sides and the uplink; the answer's way back, "
        "the protocol and the round trip are not",
        "only sums over whole networks calibrate: the repository's times of single layers on GPUs cannot be theirs (16 "
        "convolutions of VGG, 39 GFLOP, in 11 ms would be 11 times the peak); they look like those of launches",
        "means are over all cells alike; which cells the paper averages over is not published with the table",
        "networks asked equally often make the throughput; the paper simulates a data centre and mixes of radios",
    ]
    if target == "energy":
        found.append("the paper's points for the energy are not known here: there is nothing to compare them with")
    if not every:
        found.append("presets were calibrated to the networks asked for alone: with all of them the figures are others")
    return tuple(found)
