"""The one function that turns a cut into a predicted Breakdown; every planner, test and plot uses it.

How the energy of a request is counted, in joules that the device draws:

- computing: gross joules of the layers that run on it, idle power included, as a meter read them or the declared power
  gives; an emulated slowdown scales them. A load does not: what other work draws is not this request's. A codec's
  encoder draws the model's mean power.
- sending and receiving: the radio's power at the link's rate (Huang et al., MobiSys 2012) x size / rate, where the size
  is that of the tensors and, at declared rates, of what the protocol's messages carry beside them.
- idle: the idle power for as long as the request is not computing here: on its way, waiting, computed on the server.
  Published figures of the radio alone come on top of it; those of the whole device include it, so idle power is not
  added while they apply.

With `paper_energy` only computing and sending are charged, as Neurosurgeon does (Kang et al., ASPLOS 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from offload.artifacts.breakdown import Breakdown
from offload.artifacts.estimate import Estimate, add
from offload.artifacts.link import AffineCost
from offload.artifacts.plan import Coding, Option, Place, Side
from offload.artifacts.profile import Profile
from offload.graph.cuts import Cut
from offload.graph.model_graph import ModelGraph
from offload.planners.base import Problem
from offload.planners.words import describe

NOTHING = Estimate.exactly(0.0)


def compute_time(profile: Profile, layers: Iterable[int], side: Side) -> Estimate:
    """Seconds that the layers of one side take in a call, with what dividing the model costs (`DividingCosts`).

    Only whole groups count: the caller does not tear kernels (see `tears_kernel`).
    """
    groups = _groups(profile, layers)
    return _of_a_part(profile, groups, profile.time_of(groups), side, per_s=1.0)


def compute_energy(profile: Profile, layers: Iterable[int], side: Side) -> Estimate | None:
    """Gross joules of the same; what is beyond the layers draws the whole's mean power. None when none is known."""
    groups = _groups(profile, layers)
    energy, whole = profile.energy_of(groups), profile.energy_of(range(len(profile.groups)))
    if energy is None or whole is None:
        return None
    return _of_a_part(profile, groups, energy, side, per_s=whole.value / profile.whole.value)


def _of_a_part(profile: Profile, groups: Sequence[int], layers: Estimate, side: Side, *, per_s: float) -> Estimate:
    """What a part takes, from the part of the whole that its layers take, in seconds x `per_s`."""
    if not 0 < len(groups) < len(profile.groups):
        return layers
    dividing = profile.dividing
    extra = dividing.head_s if side == "device" else dividing.tail_s
    total = add(
        (
            layers.scaled(1 - dividing.call_s / profile.whole.value),
            Estimate.exactly(dividing.call_s * per_s),
            extra.scaled(per_s),
        )
    )
    return Estimate(value=total.value, low=max(0.0, total.low), high=total.high)


def tears_kernel(profile: Profile, cut: Cut) -> bool:
    """Whether a cut runs through layers that the profiled runtime executes as one kernel.

    Such a cut costs what no profile of the whole can tell (up to 29 % more at the first convolution), so planners
    pass it over.
    """
    return any(0 < sum(index in cut.device for index in group.layers) < len(group.layers) for group in profile.groups)


def predict(problem: Problem, cut: Cut, coding: Coding | None = None) -> Breakdown:
    """The Breakdown of one request under a cut; device-only plans send nothing.

    Args:
        problem: The problem.
        cut: What runs where.
        coding: How the one tensor that crosses is coded; None: tensors cross as they are.
    """
    graph, link, protocol, radio = problem.graph, problem.link, problem.protocol, problem.radio
    server_layers = [index for index in range(len(graph.layers)) if index not in cut.device]
    up = sent_bytes(graph, cut, coding)
    down = sum(graph.tensor_by_name[name].size_bytes for name in cut.returning)
    device = compute_time(problem.device, cut.device, "device").scaled(problem.device_slowdown * problem.device_load)
    device_j = compute_energy(problem.device, cut.device, "device")
    encode = uplink = decode = server = downlink = occupied_up = occupied_down = sending = receiving = NOTHING
    coding_s = decoding_s = NOTHING
    if coding is not None:
        coding_s = coding.encode_s.scaled(problem.device_slowdown * problem.device_load)
        decoding_s = coding.decode_s.scaled(problem.server_load)
        device_j = _with_encoder(problem.device, device_j, coding)
    if server_layers:
        encode = add((protocol.encode.at(up), coding_s))
        uplink = link.uplink_s(up, protocol.uplink)
        if coding is not None:
            uplink = _straying(uplink, coding, lambda size: link.uplink_s(size, protocol.uplink))
        decode = add((protocol.decode.at(up), decoding_s))
        server = compute_time(problem.server, server_layers, "server").scaled(problem.server_load)
        downlink = link.downlink_s(down, protocol.downlink)
        occupied_up = uplink.less(_flight_s(problem, _uplink_line(problem)))
        occupied_down = downlink.less(_flight_s(problem, _downlink_line(problem)))
        sending = _on_air(up + protocol.uplink.message_bytes, link.uplink_bps, uplink)
        receiving = _on_air(down + protocol.downlink.message_bytes, link.downlink_bps, downlink)
    away = add((encode, uplink, decode, server, downlink))
    idle_w = _idle_w(problem)
    covered_s = sending.value + receiving.value if radio is not None and radio.whole_device else 0.0
    covered_s += coding_s.value
    return Breakdown(
        device_s=device,
        encode_s=encode,
        uplink_s=uplink,
        queue_s=NOTHING,
        decode_s=decode,
        server_s=server,
        downlink_s=downlink,
        latency_s=add((device, away)),
        period_s=_slowest(add((device, encode)), occupied_up, add((decode, server)), occupied_down),
        device_j=None if device_j is None else device_j.scaled(problem.device_slowdown),
        radio_j=None if radio is None else sending.scaled(radio.uplink_w(link.uplink_bps)),
        idle_j=None if idle_w is None else away.less(covered_s).scaled(idle_w),
        download_j=None
        if radio is None or problem.paper_energy
        else receiving.scaled(radio.downlink_w(link.downlink_bps)),
        energy_source=problem.device.energy_source,
    )


def sent_bytes(graph: ModelGraph, cut: Cut, coding: Coding | None) -> int:
    """What a request carries to the server."""
    if coding is not None:
        return round(coding.payload_bytes.value)
    return sum(graph.tensor_by_name[name].size_bytes for name in cut.crossing)


def _straying(uplink: Estimate, coding: Coding, uplink_s: Callable[[int], Estimate]) -> Estimate:
    """The uplink's time when payloads are not all of one size."""
    size = coding.payload_bytes
    shortest, longest = uplink_s(math.floor(size.low)).value, uplink_s(math.ceil(size.high)).value
    varying = Estimate(value=0.0, low=min(0.0, shortest - uplink.value), high=max(0.0, longest - uplink.value))
    total = add((uplink, varying))
    return Estimate(value=total.value, low=max(0.0, total.low), high=total.high)


def _with_encoder(profile: Profile, device_j: Estimate | None, coding: Coding) -> Estimate | None:
    whole = profile.energy_of(range(len(profile.groups)))
    if device_j is None or whole is None:
        return None
    return add((device_j, coding.encode_s.scaled(whole.value / profile.whole.value)))


def make_option(problem: Problem, cut: Cut, coding: Coding | None = None) -> Option:
    """The cut with its predicted cost and its description in words; see `predict` for what it is given."""
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
        words=describe(graph, cut, coding),
        place=place,
        sends=sends,
        returns=returns,
        uplink_bytes=sent_bytes(graph, cut, coding),
        downlink_bytes=sum(tensor.size_bytes for tensor in returns),
        breakdown=predict(problem, cut, coding),
        coding=coding,
    )


@dataclass(frozen=True, kw_only=True)
class LinearCosts:
    """What `predict` says as a sum over layers and tensors, for algorithms; seconds or joules."""

    device: tuple[float, ...]
    """Cost of each layer on the device. A kernel's whole cost stands at its first layer."""
    server: tuple[float, ...]
    """Cost of each layer on the server, likewise."""
    up: Mapping[str, float]
    """Cost of sending each tensor to the server, once however many layers read it."""
    down: Mapping[str, float]
    """Cost of each of the model's outputs coming back when the server made it."""
    device_fixed: float
    """Paid once when any layer runs on the device."""
    offload_fixed: float
    """Paid once when any layer runs on the server."""
    divided_fixed: float
    """Paid once when layers run on both."""
    units: tuple[tuple[int, ...], ...]
    """Layers that must stay on one side: the kernels, of more than one layer, of both sides; they may overlap."""

    def of(self, cut: Cut) -> float:
        """The sum for a cut that tears no unit."""
        here = sum(self.device[index] for index in cut.device) + self.device_fixed * bool(cut.device)
        if len(cut.device) == len(self.device):
            return here
        there = sum(cost for index, cost in enumerate(self.server) if index not in cut.device)
        moved = sum(self.up[name] for name in cut.crossing) + sum(self.down[name] for name in cut.returning)
        return here + there + moved + self.offload_fixed + self.divided_fixed * bool(cut.device)


def linear_costs(problem: Problem) -> LinearCosts:
    """The coefficients that add up to the latency or energy of `predict` for every cut that tears no kernel.

    Raises:
        ValueError: the target is the throughput, which is a maximum of sums (see `stage_costs`), or is the energy and
            a figure for it is missing (see `check_problem`).
    """
    if problem.target == "latency":
        return _latency_costs(problem)
    if problem.target == "energy":
        return _energy_costs(problem)
    raise ValueError("the period of pipelined requests is a maximum of sums, not a sum: see stage_costs")


def stage_costs(problem: Problem) -> tuple[LinearCosts, LinearCosts, LinearCosts, LinearCosts]:
    """The coefficients of device, uplink, server and downlink; the largest of the four sums is the `period_s`."""
    encode, decode = _line(problem.protocol.encode.at), _line(problem.protocol.decode.at)
    uplink, downlink = _uplink_line(problem), _downlink_line(problem)
    return (
        _assembled(problem, device=_device_s(problem), up=encode),
        _assembled(problem, up=uplink.less(_flight_s(problem, uplink))),
        _assembled(problem, server=_server_s(problem), up=decode),
        _assembled(problem, down=downlink.less(_flight_s(problem, downlink))),
    )


@dataclass(frozen=True)
class _Computing:
    """What computing costs on one side."""

    layers: tuple[float, ...]
    """Each layer's cost; a kernel's whole cost stands at its first layer."""
    call: float = 0.0
    """Paid once when any layer runs there."""
    divided: float = 0.0
    """Paid once when layers run on both sides."""

    def times(self, factor: float) -> _Computing:
        return _Computing(tuple(cost * factor for cost in self.layers), self.call * factor, self.divided * factor)


@dataclass(frozen=True)
class _Line:
    """What is affine in bytes."""

    fixed: float = 0.0
    per_byte: float = 0.0

    def plus(self, other: _Line) -> _Line:
        return _Line(self.fixed + other.fixed, self.per_byte + other.per_byte)

    def less(self, fixed: float) -> _Line:
        return _Line(self.fixed - fixed, self.per_byte)

    def times(self, factor: float) -> _Line:
        return _Line(self.fixed * factor, self.per_byte * factor)


def _line(seconds: Callable[[int], Estimate]) -> _Line:
    size, fixed = 1_000_000_000, seconds(0).value
    return _Line(fixed, (seconds(size).value - fixed) / size)


def _uplink_line(problem: Problem) -> _Line:
    return _line(lambda size: problem.link.uplink_s(size, problem.protocol.uplink))


def _downlink_line(problem: Problem) -> _Line:
    return _line(lambda size: problem.link.downlink_s(size, problem.protocol.downlink))


def _away_lines(problem: Problem) -> tuple[_Line, _Line]:
    """Seconds from the device's last layer to the server's first, and from the server's last to the answer."""
    encode, decode = _line(problem.protocol.encode.at), _line(problem.protocol.decode.at)
    return encode.plus(_uplink_line(problem)).plus(decode), _downlink_line(problem)


def _latency_costs(problem: Problem) -> LinearCosts:
    up, down = _away_lines(problem)
    return _assembled(problem, device=_device_s(problem), server=_server_s(problem), up=up, down=down)


def _energy_costs(problem: Problem) -> LinearCosts:
    link, radio, idle_w = problem.link, problem.radio, _idle_w(problem)
    joules = problem.device.group_energies_j
    if radio is None or joules is None or (idle_w is None and not problem.paper_energy):
        raise ValueError("a figure for the energy is missing; check_problem refuses it then")
    power_w = sum(joules) / problem.device.whole.value
    device = _computing(problem.device, joules, "device", per_s=power_w).times(problem.device_slowdown)
    sending = _air_line(problem.protocol.uplink, link.uplink_bps)
    receiving = _air_line(problem.protocol.downlink, link.downlink_bps)
    up = sending.times(radio.uplink_w(link.uplink_bps))
    if idle_w is None:
        return _assembled(problem, device=device, up=up)
    away_up, away_down = _away_lines(problem)
    on_top = -idle_w if radio.whole_device else 0.0
    return _assembled(
        problem,
        device=device,
        server=_server_s(problem).times(idle_w),
        up=up.plus(away_up.times(idle_w)).plus(sending.times(on_top)),
        down=receiving.times(radio.downlink_w(link.downlink_bps) + on_top).plus(away_down.times(idle_w)),
    )


def _assembled(
    problem: Problem,
    *,
    device: _Computing | None = None,
    server: _Computing | None = None,
    up: _Line = _Line(),
    down: _Line = _Line(),
) -> LinearCosts:
    tensors = problem.graph.tensors
    nothing = _Computing((0.0,) * len(problem.graph.layers))
    device, server = device or nothing, server or nothing
    return LinearCosts(
        device=device.layers,
        server=server.layers,
        up={tensor.name: up.per_byte * tensor.size_bytes for tensor in tensors},
        down={tensor.name: down.per_byte * tensor.size_bytes for tensor in tensors},
        device_fixed=device.call,
        offload_fixed=server.call + up.fixed + down.fixed,
        divided_fixed=device.divided + server.divided,
        units=tuple(
            group.layers
            for profile in (problem.device, problem.server)
            for group in profile.groups
            if len(group.layers) > 1
        ),
    )


def _groups(profile: Profile, layers: Iterable[int]) -> list[int]:
    return sorted({profile.group_of_layer[index] for index in layers})


def _device_s(problem: Problem) -> _Computing:
    seconds = problem.device.group_medians_s.tolist()
    return _computing(problem.device, seconds, "device").times(problem.device_slowdown * problem.device_load)


def _server_s(problem: Problem) -> _Computing:
    seconds = problem.server.group_medians_s.tolist()
    return _computing(problem.server, seconds, "server").times(problem.server_load)


def _computing(profile: Profile, costs: Sequence[float], side: Side, *, per_s: float = 1.0) -> _Computing:
    """The costs of groups that sum to the whole's, and of what dividing costs, in seconds x `per_s`."""
    dividing = profile.dividing
    scale = 1 - dividing.call_s / profile.whole.value
    by_layer = [0.0] * len(profile.graph.layers)
    for group, cost in zip(profile.groups, costs, strict=True):
        by_layer[group.layers[0]] = cost * scale
    extra = dividing.head_s if side == "device" else dividing.tail_s
    return _Computing(tuple(by_layer), dividing.call_s * per_s, extra.value * per_s)


def _flight_s(problem: Problem, line: _Line) -> float:
    """How long a message is under way without occupying the link: half a round trip, as far as the line holds one."""
    return min(problem.link.rtt_s / 2, line.fixed)


def _air_line(protocol: AffineCost, rate_bps: float) -> _Line:
    """Seconds the radio takes for a message's bytes."""
    return _Line(protocol.message_bytes * 8 / rate_bps, 8 / rate_bps)


def _on_air(size_bytes: int, rate_bps: float, transfer: Estimate) -> Estimate:
    """Seconds the radio takes for the bytes themselves, straying as the whole transfer does."""
    value = size_bytes * 8 / rate_bps
    return Estimate(
        value=value,
        low=max(0.0, value - (transfer.value - transfer.low)),
        high=value + (transfer.high - transfer.value),
    )


def _idle_w(problem: Problem) -> float | None:
    """Watts to charge while the request is elsewhere; None when not known or not charged."""
    return None if problem.paper_energy else problem.device.idle_power_w


def _slowest(*stages: Estimate) -> Estimate:
    return Estimate(
        value=max(stage.value for stage in stages),
        low=max(stage.low for stage in stages),
        high=max(stage.high for stage in stages),
    )
