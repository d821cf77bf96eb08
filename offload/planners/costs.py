"""The one function that turns a cut into a predicted Breakdown; every planner, test and plot uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from offload.artifacts.breakdown import Breakdown
from offload.artifacts.estimate import Estimate, add, median_estimate
from offload.artifacts.plan import Option, Place
from offload.artifacts.profile import Profile
from offload.graph.cuts import Cut
from offload.planners.base import Problem
from offload.planners.words import describe


def compute_time(profile: Profile, layers: Iterable[int]) -> Estimate:
    """Seconds that a set of layers takes, from the rounds of a profile.

    The value is the sum of the closed medians of the groups; the interval is the bootstrap of the per-round sums
    around it, widened by how far the whole's median moves when the model is loaded again. Only whole groups
    count: the caller does not tear kernels (see `tears_kernel`).
    """
    import numpy as np

    groups = sorted({profile.group_of_layer[index] for index in layers})
    if not groups:
        return Estimate.exactly(0.0)
    samples = profile.group_samples_s[:, groups]
    value = float(np.sum(np.median(samples, axis=0)))
    spread = median_estimate(samples.sum(axis=1))
    relative = 0.0 if profile.source == "assumed" else profile.repeatability
    below = ((spread.value - spread.low) ** 2 + (relative * value) ** 2) ** 0.5
    above = ((spread.high - spread.value) ** 2 + (relative * value) ** 2) ** 0.5
    return Estimate(value=value, low=max(0.0, value - below), high=value + above)


def tears_kernel(profile: Profile, cut: Cut) -> bool:
    """Whether a cut runs through layers that the profiled runtime executes as one kernel.

    Such a cut costs what no profile of the whole can tell (up to 29 % more at the first convolution), so planners
    pass it over.
    """
    return any(0 < sum(index in cut.device for index in group.layers) < len(group.layers) for group in profile.groups)


@dataclass(frozen=True, kw_only=True)
class LinearCosts:
    """The objective of `predict` as a sum over layers and tensors, for algorithms; seconds or joules."""

    device: tuple[float, ...]
    """Cost of each layer on the device. A kernel's whole cost stands at its first layer."""
    server: tuple[float, ...]
    """Cost of each layer on the server, likewise."""
    up: Mapping[str, float]
    """Cost of sending each tensor to the server, once however many layers read it."""
    down: Mapping[str, float]
    """Cost of each of the model's outputs coming back when the server made it."""
    offload_fixed: float
    """Paid once when any layer runs on the server."""
    units: tuple[tuple[int, ...], ...]
    """Layers that must stay on one side: the kernels, of more than one layer, of both sides; they may overlap."""

    def of(self, cut: Cut) -> float:
        """The sum for a cut that tears no unit."""
        here = sum(self.device[index] for index in cut.device)
        if len(cut.device) == len(self.device):
            return here
        there = sum(cost for index, cost in enumerate(self.server) if index not in cut.device)
        moved = sum(self.up[name] for name in cut.crossing) + sum(self.down[name] for name in cut.returning)
        return here + there + moved + self.offload_fixed


def linear_costs(problem: Problem) -> LinearCosts:
    """The coefficients that add up to the objective of `predict` for every cut that tears no kernel."""
    if problem.target == "latency":
        return _linear(problem, device=problem.device_slowdown, server=1.0, radio_j_per_byte=None)
    power, radio, uplink_bps = problem.device.power_w, problem.radio, problem.link.uplink_bps
    if power is None or radio is None:
        raise ValueError("the energy target needs a power and a radio; check_problem refuses it without them")
    return _linear(
        problem,
        device=power * problem.device_slowdown,
        server=0.0,
        radio_j_per_byte=radio.uplink_w(uplink_bps) * 8 / uplink_bps,
    )


def _linear(problem: Problem, *, device: float, server: float, radio_j_per_byte: float | None) -> LinearCosts:
    link, protocol, tensors = problem.link, problem.protocol, problem.graph.tensors
    if radio_j_per_byte is None:
        up = (protocol.encode.at, lambda size: link.uplink_s(size, protocol.uplink), protocol.decode.at)
        fixed_up, per_byte_up = (sum(line) for line in zip(*map(_affine, up), strict=True))
        fixed_down, per_byte_down = _affine(lambda size: link.downlink_s(size, protocol.downlink))
    else:
        fixed_up, per_byte_up, fixed_down, per_byte_down = 0.0, radio_j_per_byte, 0.0, 0.0
    return LinearCosts(
        device=tuple(cost * device for cost in _layer_seconds(problem.device)),
        server=tuple(cost * server for cost in _layer_seconds(problem.server)),
        up={tensor.name: per_byte_up * tensor.size_bytes for tensor in tensors},
        down={tensor.name: per_byte_down * tensor.size_bytes for tensor in tensors},
        offload_fixed=fixed_up + fixed_down,
        units=tuple(
            group.layers
            for profile in (problem.device, problem.server)
            for group in profile.groups
            if len(group.layers) > 1
        ),
    )


def _layer_seconds(profile: Profile) -> list[float]:
    import numpy as np

    medians = np.median(profile.group_samples_s, axis=0)
    costs = [0.0] * len(profile.graph.layers)
    for group, median in zip(profile.groups, medians, strict=True):
        costs[group.layers[0]] = float(median)
    return costs


def _affine(seconds: Callable[[int], Estimate]) -> tuple[float, float]:
    """The fixed part and the slope of what is affine in bytes."""
    size, fixed = 1_000_000_000, seconds(0).value
    return fixed, (seconds(size).value - fixed) / size


def predict(problem: Problem, cut: Cut) -> Breakdown:
    """The Breakdown of one request under a cut.

    Device-only plans send nothing. Energy is Neurosurgeon's two terms (Kang et al., ASPLOS 2017): computing on the
    device, and sending for size / bandwidth at the radio's power; waiting and receiving are not charged.
    """
    graph = problem.graph
    server_layers = [index for index in range(len(graph.layers)) if index not in cut.device]
    device = compute_time(problem.device, cut.device).scaled(problem.device_slowdown)
    nothing = Estimate.exactly(0.0)
    power = problem.device.power_w
    device_j = device.scaled(power) if power is not None else None
    radio_j = nothing if problem.radio is not None else None
    encode = uplink = decode = server = downlink = nothing
    if server_layers:
        up = sum(graph.tensor_by_name[name].size_bytes for name in cut.crossing)
        down = sum(graph.tensor_by_name[name].size_bytes for name in cut.returning)
        protocol = problem.protocol
        encode = protocol.encode.at(up)
        uplink = problem.link.uplink_s(up, protocol.uplink)
        decode = protocol.decode.at(up)
        server = compute_time(problem.server, server_layers)
        downlink = problem.link.downlink_s(down, protocol.downlink)
        if problem.radio is not None:
            watts = problem.radio.uplink_w(problem.link.uplink_bps)
            radio_j = Estimate.exactly(watts * up * 8 / problem.link.uplink_bps)
    return Breakdown(
        device_s=device,
        encode_s=encode,
        uplink_s=uplink,
        queue_s=nothing,
        decode_s=decode,
        server_s=server,
        downlink_s=downlink,
        latency_s=add((device, encode, uplink, decode, server, downlink)),
        device_j=device_j,
        radio_j=radio_j,
        energy_source="none" if device_j is None else "modelled",
    )


def make_option(problem: Problem, cut: Cut) -> Option:
    """The cut with its predicted cost and its description in words."""
    graph = problem.graph
    place: Place = "both"
    if len(cut.device) == len(graph.layers):
        place = "device"
    elif not cut.device:
        place = "server"
    sends = tuple(graph.tensor_by_name[name] for name in cut.crossing)
    returns = tuple(graph.tensor_by_name[name] for name in cut.returning)
    return Option(
        device_layers=tuple(sorted(cut.device)),
        words=describe(graph, cut),
        place=place,
        sends=sends,
        returns=returns,
        uplink_bytes=sum(tensor.size_bytes for tensor in sends),
        downlink_bytes=sum(tensor.size_bytes for tensor in returns),
        breakdown=predict(problem, cut),
    )
