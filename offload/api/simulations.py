"""Simulations: a plan's policy followed while the link and the server's load change."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from offload.artifacts.plan import Plan
from offload.artifacts.simulation import Simulation
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError, UsageError
from offload.progress import NullProgress, Progress
from offload.units import format_duration, format_rate, parse_rate

if TYPE_CHECKING:
    from offload.simulation.generators import Generator
    from offload.simulation.traces import Trace

_GENERATED_S = 120.0
_AT_LEAST_S = 60.0
_LONGEST_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class SimulateRequest:
    """What `simulate` is asked for."""

    plan: Path | None
    """None takes the newest plan in the workspace."""
    bandwidth: str | None = None
    """A trace's file, a generator's name or a rate such as `18mbps`; None: the plan's own uplink."""
    load: str | None = None
    """A trace's file, a generator's name or a number of at least 1; None: the plan's own load of the server."""
    duration_s: float | None = None
    """None: as long as the longer file, from one minute to one hour; two minutes without a file."""
    every_s: float = 1.0
    """Between the beginnings of requests."""
    seed: int = 0
    """Of the generators."""


def simulate(request: SimulateRequest, *, workspace: Workspace, progress: Progress | None = None) -> Simulation:
    """Replay a bandwidth and a load under a plan: follow its policy, and compare with never changing and the oracle.

    Raises:
        OffloadError: there is no plan or it has no policy, or a trace cannot be used.
    """
    from offload.simulation.generators import BANDWIDTHS, LOADS
    from offload.simulation.replay import simulate as replay
    from offload.simulation.trace_files import read_bandwidth, read_load

    if request.every_s <= 0:
        raise UsageError("--every 0 is no time between requests", hint="write it like --every 1s")
    if request.duration_s is not None and request.duration_s <= 0:
        raise UsageError("--duration 0 leaves no time for a request", hint="write it like --duration 2min")
    plan = _plan(request.plan, workspace, progress or NullProgress())
    rates = read_bandwidth(Path(request.bandwidth)) if _names_a_file(request.bandwidth, BANDWIDTHS) else None
    loads = read_load(Path(request.load)) if _names_a_file(request.load, LOADS) else None
    lasted_s = max((trace.period_s for trace in (rates, loads) if trace is not None), default=_GENERATED_S)
    duration_s = request.duration_s or min(_LONGEST_S, max(_AT_LEAST_S, lasted_s))
    bandwidth, bandwidth_source = _bandwidth(request, rates, plan, duration_s)
    load, load_source = _load(request, loads, plan, duration_s)
    return replay(
        plan,
        uplink_bps=bandwidth,
        server_load=load,
        duration_s=duration_s,
        every_s=request.every_s,
        bandwidth_source=bandwidth_source,
        load_source=load_source,
    )


def _plan(path: Path | None, workspace: Workspace, progress: Progress) -> Plan:
    if path is not None:
        return Plan.load(path)
    found = workspace.newest(Plan)
    if found is None:
        raise OffloadError(f"no plan in {workspace.root}", hint="make one with `offload plan --bw 18mbps`")
    progress.note(f"took the newest plan, {found[0]}")
    return found[1]


def _bandwidth(request: SimulateRequest, read: Trace | None, plan: Plan, duration_s: float) -> tuple[Trace, str]:
    from offload.simulation.generators import BANDWIDTHS
    from offload.simulation.traces import Trace

    text, own = request.bandwidth, plan.link.uplink_bps
    if text is None:
        return Trace.constant(own), f"the plan's own, {format_rate(own)} all the time"
    if text in BANDWIDTHS:
        return _generated(text, BANDWIDTHS, own, request.seed, duration_s)
    if read is not None:
        return read, f"{text}, {format_duration(read.period_s)}, repeated"
    rate = _constant(text, parse_rate, "--bandwidth", BANDWIDTHS, "a rate as 18mbps")
    return Trace.constant(rate), f"{format_rate(rate)} all the time"


def _load(request: SimulateRequest, read: Trace | None, plan: Plan, duration_s: float) -> tuple[Trace, str]:
    from offload.simulation.generators import LOADS
    from offload.simulation.traces import Trace

    text, own = request.load, plan.server.load
    if text is None:
        return Trace.constant(own), f"the plan's own, {own:g} all the time"
    if text in LOADS:
        return _generated(text, LOADS, own, request.seed + 1, duration_s)
    if read is not None:
        return read, f"{text}, {format_duration(read.period_s)}, repeated"
    load = _constant(text, float, "--load", LOADS, "a number as 3")
    if not 1 <= load <= 10_000:
        raise UsageError(f"--load {text}: a load is from 1, an idle server, to 10000", hint="write it like --load 3")
    return Trace.constant(load), f"{load:g} all the time"


def _names_a_file(text: str | None, generators: Mapping[str, Generator]) -> TypeGuard[str]:
    """Whether a file of that name is there, or the name is like a trace's file."""
    if text is None or text in generators:
        return False
    return os.path.exists(text) or text.endswith((".csv", ".txt", ".trace", ".up", ".down"))


def _generated(
    name: str, generators: Mapping[str, Generator], own: float, seed: int, duration_s: float
) -> tuple[Trace, str]:
    words = f"{name}, made up, seed {seed}" if name not in ("steps", "ramp") else f"{name}, made up"
    return generators[name](own, duration_s, random.Random(seed)), words  # noqa: S311 - a trace, not a secret


def _constant(
    text: str, parse: Callable[[str], float], option: str, generators: Mapping[str, Generator], example: str
) -> float:
    try:
        return parse(text)
    except (UsageError, ValueError) as error:
        if isinstance(error, UsageError) and text.startswith(tuple("+-.0123456789")):
            raise  # it tells what is wrong with the number or its unit
        near = get_close_matches(text, generators, n=1) or generators
        raise UsageError(
            f"{option} {text}: no such file, and not a name or a value",
            hint=f"give a trace's file, {example}, or one of {', '.join(near)}",
        ) from None
