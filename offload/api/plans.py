"""Plans: where to cut a model, between which device and which server, over which link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from offload.api.devices import find_preset
from offload.api.links import LinkChoice
from offload.api.models import load_again
from offload.api.profiles import profile_on
from offload.artifacts.base import kind_of
from offload.artifacts.codec_bench import CodecBench
from offload.artifacts.link import Link
from offload.artifacts.plan import Plan, Side, Target
from offload.artifacts.preset import CalibratedPreset
from offload.artifacts.profile import Profile
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError, UsageError, VerdictError
from offload.progress import NullProgress, Progress

if TYPE_CHECKING:
    from offload.planners.base import Problem

_ASSUMED_RADIO = "wifi"


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What `plan` is asked for."""

    profile: Path | None
    """The device's profile; None takes the newest in the workspace that was not made on a server."""
    server: str | tuple[str, ...] | None
    """A profile file, HOST:PORT (profiles there), a preset's name or a calibrated preset; of several the best is taken;
    None assumes a preset and says which."""
    uplink_bps: float | None = None
    """None takes the measured link."""
    downlink_bps: float | None = None
    """None takes the uplink's rate."""
    rtt_s: float = 0.0
    link: Path | None = None
    """A measured link; None without `uplink_bps` takes the newest in the workspace, for each HOST:PORT its own."""
    target: Target = "latency"
    planner: str = "mincut"
    device_slowdown: float = 1.0
    device_load: float = 1.0
    """Computing takes this many times longer on the device, because other work runs there."""
    server_load: float = 1.0
    """The same on the server."""
    radio: str | None = None
    """None assumes one, and says so, where energy is asked for."""
    paper_energy: bool = False
    """Charge computing and sending only, as Neurosurgeon's authors do."""
    battery_j: float | None = None
    """Energy of a full battery, to tell how many requests it lasts for."""
    pareto: bool = False
    """Whether to list the options that no other beats in both latency and energy."""
    max_latency_s: float | None = None
    max_energy_j: float | None = None
    device_memory_bytes: float | None = None
    server_memory_bytes: float | None = None
    pins: Mapping[str, Side] = field(default_factory=dict)
    """Layer name to the side it must run on."""
    private_depth: str | None = None
    """A layer's name: the raw input and every tensor above its output never leave the device."""
    bench: Path | None = None
    """What codecs cost and keep; None takes the newest of the model in the workspace, for planners that choose one."""
    codecs: tuple[str, ...] | None = None
    """Names of the codecs to choose from; None takes all of the bench."""
    max_accuracy_loss: float | None = None
    """How much less accurate than intact the model may be behind a codec, as a fraction."""
    min_accuracy: float | None = None
    token: str | None = None
    tls_ca: Path | None = None


def plan(request: PlanRequest, *, workspace: Workspace, progress: Progress | None = None) -> Plan:
    """Choose where to cut the model, and of several servers the best.

    Raises:
        OffloadError: there is no profile or no link, or the profiles do not belong together.
        VerdictError: no cut keeps to the constraints; says which binds and by how much.
    """
    from offload.planners.plan import best_plan, load_planner, make_plan

    progress = progress or NullProgress()
    _link_choice(request).check()
    _check_accuracy_loss(request)
    planner = load_planner(request.planner)
    device = _device_profile(request.profile, workspace, progress)
    asked = request.server if isinstance(request.server, tuple) else (request.server,)
    specs: tuple[str | None, ...] = tuple(dict.fromkeys(asked)) or (None,)
    links = {
        address: _link(request, address, workspace, progress) for address in dict.fromkeys(_address(s) for s in specs)
    }
    bench = _bench(request, device, workspace, progress)
    _check_device_side(request, device, links[_address(specs[0])][0])
    servers = {  # a name that nobody knows is found before a server is asked to measure for a minute
        spec: _server_profile(spec, request, device, workspace, progress)
        for spec in sorted(specs, key=lambda spec: _address(spec) is not None)
    }
    plans, refusals = [], []
    for spec in specs:
        link, warnings = links[_address(spec)]
        server = servers[spec]
        try:
            plans.append(
                make_plan(
                    _problem(request, device, server, link, bench),
                    planner=planner,
                    device_hash=device.content_hash,
                    server_hash=server.content_hash,
                    server_name=spec,
                    battery_j=request.battery_j,
                    pareto=request.pareto,
                    codec_data=None if bench is None else bench.data,
                    codec_examples=0 if bench is None else len(bench.weights),
                    warnings=[*warnings, *_coding_warnings(bench, device, server)],
                )
            )
        except VerdictError as refusal:
            refusals.append(refusal)
            if len(specs) > 1:
                progress.note(f"server {spec}: {refusal.message}")
    if not plans:
        raise refusals[0]
    return best_plan(plans)


def _bench(request: PlanRequest, device: Profile, workspace: Workspace, progress: Progress) -> CodecBench | None:
    """What codecs cost and keep, for the planner that chooses one."""
    if request.planner != "deepcod":
        for option, given in (
            ("--bench", request.bench),
            ("--codecs", request.codecs),
            ("--max-accuracy-loss", request.max_accuracy_loss),
            ("--min-accuracy", request.min_accuracy),
        ):
            if given is not None:
                raise UsageError(f"{option} is for planners that choose a codec", hint="add --planner deepcod")
        return None
    if request.bench is not None:
        return CodecBench.load(request.bench)
    found = workspace.newest(CodecBench, fits=lambda bench: bench.model.hash == device.model.hash)
    if found is None:
        raise OffloadError(
            f"no bench of codecs for {device.model.name} in {workspace.root}",
            hint=f"make one with `offload codec bench {device.model.spec} --data DATA`",
        )
    progress.note(f"codecs: took the newest bench, {found[0]}")
    return found[1]


def _coding_warnings(bench: CodecBench | None, device: Profile, server: Profile) -> list[str]:
    """Where encoders and decoders were not timed where the plan has them run."""
    from offload.planners.codings import decoding_factor, timed_on

    if bench is None:
        return []
    found = []
    if not timed_on(bench, device):
        here, there = bench.environment.processor, device.environment.processor
        found.append(
            f"encoders count as they were timed on {here} with {bench.runtime.name}, {bench.runtime.threads} threads; "
            f"the device's profile is of {there}, {device.runtime.name}, {device.runtime.threads} threads "
            f"({device.source}): `offload codec bench` there, with the profile's --threads"
        )
    factor = decoding_factor(bench, device, server)
    if factor != 1.0:
        found.append(
            f"decoders were timed on the device and count {factor:.2g} times that on the server, as the whole model "
            "does: `offload verify` measures them there"
        )
    return found


def _check_device_side(request: PlanRequest, device: Profile, link: Link) -> None:
    """Refuse what no server could mend, before one is asked to profile the model.

    Raises:
        OffloadError: pins and privacy name no layer or contradict one another, or figures of the energy are missing.
    """
    from offload.planners.base import check_energy, check_problem
    from offload.planners.legality import legality

    alone = _problem(request, device, device, link)
    check_problem(alone)
    if request.battery_j is not None:
        check_energy(alone, "--battery")
    if request.pareto:
        check_energy(alone, "--pareto")
    legality(alone)


def _problem(
    request: PlanRequest, device: Profile, server: Profile, link: Link, bench: CodecBench | None = None
) -> Problem:
    from offload.planners.base import Constraints, Problem
    from offload.planners.codings import codings_of
    from offload.planners.layer_names import layer_index, pins_by_index
    from offload.predictors.radios import load_radio

    private = request.private_depth
    return Problem(
        device=device,
        server=server,
        link=link,
        target=request.target,
        radio=load_radio(request.radio or _ASSUMED_RADIO) if request.radio or _needs_energy(request) else None,
        device_slowdown=request.device_slowdown,
        device_load=request.device_load,
        server_load=request.server_load,
        paper_energy=request.paper_energy,
        constraints=Constraints(
            max_latency_s=request.max_latency_s,
            max_energy_j=request.max_energy_j,
            device_memory_bytes=request.device_memory_bytes,
            server_memory_bytes=request.server_memory_bytes,
            pins=pins_by_index(device.graph, request.pins),
            private_depth=None if private is None else layer_index(device.graph, private, asked_by="--private-depth"),
            max_accuracy_loss=request.max_accuracy_loss,
            min_accuracy=request.min_accuracy,
        ),
        codings={} if bench is None else codings_of(bench, device, server, codecs=request.codecs),
        intact_accuracy=None if bench is None else bench.intact_accuracy,
    )


def _needs_energy(request: PlanRequest) -> bool:
    return (
        request.target == "energy"
        or request.max_energy_j is not None
        or request.battery_j is not None
        or request.pareto
    )


def _device_profile(path: Path | None, workspace: Workspace, progress: Progress) -> Profile:
    if path is not None:
        return Profile.load(path)
    found = workspace.newest(Profile, fits=lambda one: one.measured_on is None)
    if found is None:
        servers = workspace.newest(Profile, fits=lambda one: one.measured_on is not None)
        raise OffloadError(
            f"no profile in {workspace.root}"
            + (f" was made on this device: {servers[0].name} was made on {servers[1].measured_on}" if servers else ""),
            hint="make one with `offload profile MODEL`" + (f", and add --server {servers[0]}" if servers else ""),
        )
    how = "" if found[1].source == "measured" else f" ({found[1].source})"
    progress.note(f"device: took the newest profile, {found[0]}{how}")
    return found[1]


def _check_accuracy_loss(request: PlanRequest) -> None:
    loss = request.max_accuracy_loss
    if loss is not None and not 0 <= loss <= 1:
        raise UsageError(
            f"--max-accuracy-loss {100 * loss:g}%: a share of the answers can be lost, 0% to 100%",
            hint="write it like --max-accuracy-loss 1%",
        )


def _address(spec: str | None) -> str | None:
    """HOST:PORT where a server is named by that."""
    return spec if spec is not None and ":" in spec and not Path(spec).is_file() else None


def _link(
    request: PlanRequest, address: str | None, workspace: Workspace, progress: Progress
) -> tuple[Link, list[str]]:
    """The link to plan for, to the server at an address if there is one, and what was assumed."""
    link, doubts = _link_choice(request).chosen(address, workspace, progress)
    if request.radio is None and _needs_energy(request):
        doubts.insert(0, f"no radio was named and {_ASSUMED_RADIO} is assumed: give the device's own with --radio")
    return link, doubts


def _link_choice(request: PlanRequest) -> LinkChoice:
    return LinkChoice(
        uplink_bps=request.uplink_bps, downlink_bps=request.downlink_bps, rtt_s=request.rtt_s, link=request.link
    )


def _server_profile(
    spec: str | None, request: PlanRequest, device: Profile, workspace: Workspace, progress: Progress
) -> Profile:
    from offload.predictors.presets import load_preset, presets
    from offload.predictors.roofline import assumed_profile
    from offload.runtimes.catalogue import loading_runtime

    if spec is None:
        preset = load_preset()
        progress.note(f"server: none given, assumed a {preset.name} from its published peak rates")
        return assumed_profile(device.graph, device.model, preset)
    if Path(spec).is_file() and kind_of(Path(spec)) != CalibratedPreset.KIND:
        return Profile.load(Path(spec))
    if _address(spec) is not None and spec not in presets():
        model = load_again(device.model, loading_runtime(device.runtime), workspace=workspace, progress=progress)
        return profile_on(spec, model, device.model, token=request.token, tls_ca=request.tls_ca, progress=progress)
    preset = find_preset(spec, asked_by="--server", others="a profile, HOST:PORT")
    return assumed_profile(device.graph, device.model, preset)
