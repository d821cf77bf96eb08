"""The one function that turns a cut into a predicted Breakdown; every planner, test and plot uses it."""

from __future__ import annotations

from collections.abc import Iterable

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
