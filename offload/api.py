"""The verbs as functions: what the command line calls and applications may call; nothing here prints.

Each function reads artifacts or a model and returns one artifact. All raise OffloadError for whatever the user can
mend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from offload.artifacts.link import Link, LinkProfile
from offload.artifacts.plan import Plan, Side, Target
from offload.artifacts.profile import ModelIdentity, Precision, Profile
from offload.artifacts.verification import Verification
from offload.artifacts.workspace import Workspace
from offload.environment import physical_cores
from offload.errors import OffloadError, UsageError, VerdictError
from offload.progress import NullProgress, Progress

if TYPE_CHECKING:
    from offload.models.loaded import LoadedModel
    from offload.planners.base import Problem
    from offload.profilers.energy.base import Meter
    from offload.runtimes.base import Runtime
    from offload.runtimes.catalogue import RuntimeName


@dataclass(frozen=True, kw_only=True)
class ProfileRequest:
    """What `profile` is asked for."""

    model: str
    """A built-in name, a path to `.onnx`, `package.module:callable`, `torchvision:NAME` or `timm:NAME`."""
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Input shapes by name, for models that do not have their own."""
    batch: int = 1
    weights: Path | None = None
    device: str = "cpu"
    """`cpu`, `cuda` or `cuda:N`."""
    runtime: RuntimeName | None = None
    """None takes ONNX Runtime where it can do what is asked, and torch otherwise."""
    dtype: Precision = "fp32"
    """What weights and floating-point tensors are cast to; other than fp32 on torch only."""
    channels_last: bool = False
    """Keep images with their channels innermost; on torch only."""
    compiled: bool = False
    """Compile the model by torch.compile; on torch only."""
    threads: int | None = None
    """Threads of the runtime; None takes every physical core."""
    precision: float = 0.02
    """Measuring stops when the 95 % interval of the whole's median is within this fraction either way."""
    max_time_s: float = 60.0
    power_w: float | None = None
    """Declared power while computing: models the energy, and no meter is read."""
    idle_power_w: float | None = None
    """Declared power while waiting; None takes what the meter reads."""
    meter: str | None = None
    """`auto`, `nvml`, `rapl`, `jetson` or `none`; None is `auto`, or `none` when a power is declared."""
    on: str | None = None
    """HOST:PORT of an offload server to profile on; None profiles here."""
    token: str | None = None
    """The server's token, for `on`."""
    tls_ca: Path | None = None
    """The certificate authority to trust, for `on`; None speaks without TLS."""


@dataclass(frozen=True, kw_only=True)
class LinkRequest:
    """What `link` is asked for."""

    server: str
    """HOST:PORT of any Open Inference Protocol server that is offload's own or takes uploads."""
    sizes_bytes: tuple[int, ...] | None = None
    """Message sizes; None chooses five each way that fit the link and the time."""
    duration_s: float = 10.0
    """About how long to measure."""
    token: str | None = None
    tls_ca: Path | None = None


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What `plan` is asked for."""

    profile: Path | None
    """The device's profile; None takes the newest measured one in the workspace."""
    server: str | tuple[str, ...] | None
    """A profile file, HOST:PORT (profiles there), or a preset's name; of several the best is taken; None assumes a
    preset and says which."""
    uplink_bps: float | None = None
    """None takes the measured link."""
    downlink_bps: float | None = None
    """None takes the uplink's rate."""
    rtt_s: float = 0.0
    link: Path | None = None
    """A measured link; None without `uplink_bps` takes the newest one in the workspace."""
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
    token: str | None = None
    tls_ca: Path | None = None


_IMAGE_CONVOLUTIONS = ("conv2d", "conv_transpose2d")
"""Operators that run faster with channels innermost."""
_ENERGY_SHARE = 0.5
"""Of the time cap: what measuring energy may take on top of it."""
_REQUESTS = 50
_ASSUMED_RADIO = "wifi"


@dataclass(frozen=True, kw_only=True)
class VerifyRequest:
    """What `verify` is asked for."""

    plan: Path | None
    """None takes the newest plan in the workspace."""
    server: str | None = None
    """HOST:PORT of a server; None starts the embedded one and emulates the plan's link."""
    requests: int | None = None
    """Requests of the chosen option at most; None takes 50, or as many as the duration allows."""
    duration_s: float | None = None
    """Measure for so long; None ends after the requests, or when their latency is stable."""
    alternatives: int = 0
    """How many of the plan's next best options to measure beside the chosen one and the baselines."""
    tolerance: float = 0.1
    emulate_link: str | None = None
    """`RATE,DELAY` such as `450mbps,2ms` for both directions; None: the plan's own with the embedded server."""
    device_slowdown: float | None = None
    """None takes the plan's."""
    token: str | None = None
    tls_ca: Path | None = None


def profile(request: ProfileRequest, *, workspace: Workspace, progress: Progress | None = None) -> Profile:
    """Measure what each layer of a model costs, here or on a server.

    Raises:
        OffloadError: the model, the device or the server cannot be used.
    """
    from offload.profilers.energy.profile import with_energy
    from offload.profilers.layers import profile_model
    from offload.serving.protocol_cost import measure_protocol

    progress = progress or NullProgress()
    _check_remote(request)
    runtime = _runtime(request)
    if request.on is not None and request.threads is not None:
        raise UsageError(
            f"{request.on} profiles with its own threads, not with {request.threads}",
            hint="leave --threads out, and start the server with `offload serve --threads N`",
        )
    meter = _meter(request, runtime)
    model = _load(request, runtime, workspace, progress)
    if request.channels_last and not any(layer.op in _IMAGE_CONVOLUTIONS for layer in model.graph.layers):
        raise UsageError(f"--channels-last: {model.name} has no convolution of images", hint="leave it out")
    if request.on is not None:
        return _profile_on(request.on, model, request, progress)
    threads = request.threads or physical_cores()
    measured = profile_model(
        model,
        runtime,
        _identity(model, request),
        threads=threads,
        precision=request.precision,
        max_time_s=request.max_time_s,
        power_w=request.power_w,
        progress=progress,
    )
    if request.idle_power_w is not None:
        measured = measured.model_copy(update={"idle_power_w": request.idle_power_w})
    if meter is not None and measured.stopped != "interrupted":
        measured = with_energy(
            measured,
            model,
            runtime,
            meter,
            threads=threads,
            budget_s=_ENERGY_SHARE * request.max_time_s,
            progress=progress,
        )
    if measured.stopped == "interrupted":
        return measured
    try:
        return measured.model_copy(update={"protocol": measure_protocol()})
    except KeyboardInterrupt:
        return measured.model_copy(update={"stopped": "interrupted"})


def link(request: LinkRequest, *, workspace: Workspace, progress: Progress | None = None) -> LinkProfile:
    """Measure what moving bytes to a server and back costs.

    Raises:
        OffloadError: the server cannot be used, or a message took too long.
    """
    from offload.serving.client import ServerClient
    from offload.serving.link_measurement import LARGEST_BYTES, measure_link

    sizes = request.sizes_bytes
    if sizes is not None and (len(set(sizes)) < 2 or min(sizes) < 1 or max(sizes) > LARGEST_BYTES):
        raise UsageError(
            f"--sizes needs at least two different sizes from 1 B to {LARGEST_BYTES} B",
            hint="write it like --sizes 10kB,100kB,1MB",
        )
    if request.duration_s <= 0:
        raise UsageError("--duration 0 leaves no time to measure", hint="write it like --duration 10s")
    return measure_link(
        lambda: ServerClient(request.server, token=request.token, tls=request.tls_ca),
        sizes_bytes=sorted(set(sizes)) if sizes is not None else None,
        duration_s=request.duration_s,
        progress=progress or NullProgress(),
    )


def plan(request: PlanRequest, *, workspace: Workspace, progress: Progress | None = None) -> Plan:
    """Choose where to cut the model, and of several servers the best.

    Raises:
        OffloadError: there is no profile or no link, or the profiles do not belong together.
        VerdictError: no cut keeps to the constraints; says which binds and by how much.
    """
    from offload.planners.plan import best_plan, load_planner, make_plan

    progress = progress or NullProgress()
    _check_link_options(request)
    planner = load_planner(request.planner)
    device = _device_profile(request.profile, workspace, progress)
    specs = request.server if isinstance(request.server, tuple) else (request.server,)
    link, warnings = _link(request, specs, workspace, progress)
    plans, refusals = [], []
    for spec in specs or (None,):
        server = _server_profile(spec, request, device, workspace, progress)
        try:
            plans.append(
                make_plan(
                    _problem(request, device, server, link),
                    planner=planner,
                    device_hash=device.content_hash,
                    server_hash=server.content_hash,
                    battery_j=request.battery_j,
                    pareto=request.pareto,
                    warnings=warnings,
                )
            )
        except VerdictError as refusal:
            refusals.append(refusal)
            if len(specs) > 1:
                progress.note(f"server {spec}: {refusal.message}")
    if not plans:
        raise refusals[0]
    return best_plan(plans)


def _problem(request: PlanRequest, device: Profile, server: Profile, link: Link) -> Problem:
    from offload.planners.base import Constraints, Problem
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
        ),
    )


def _needs_energy(request: PlanRequest) -> bool:
    return (
        request.target == "energy"
        or request.max_energy_j is not None
        or request.battery_j is not None
        or request.pareto
    )


def verify(request: VerifyRequest, *, workspace: Workspace, progress: Progress | None = None) -> Verification:
    """Execute a plan and compare what it takes with what was predicted.

    Raises:
        OffloadError: there is no plan, it is for another model, or the server fails.
        VerdictError: the divided model's outputs are wrong.
    """
    from offload.runtimes.catalogue import runtime_of
    from offload.serving.link_emulation import parse_link
    from offload.verification.rounds import Budget
    from offload.verification.verify import Endpoint, plan_link, verify_plan

    progress = progress or NullProgress()
    if request.requests is not None and request.requests < 1:
        raise UsageError(f"{request.requests} requests prove nothing", hint="give --requests 1 or more")
    if request.duration_s is not None and request.duration_s <= 0:
        raise UsageError("--duration 0 leaves no time to measure", hint="write it like --duration 30s")
    requests = _REQUESTS if request.requests is None and request.duration_s is None else request.requests
    shape = parse_link(request.emulate_link) if request.emulate_link is not None else None
    artifact = _chosen_plan(request.plan, workspace, progress)
    identity = artifact.model
    weights = Path(identity.weights_file) if identity.weights_file else None
    model = _load(
        ProfileRequest(
            model=identity.spec,
            inputs=identity.inputs,
            batch=identity.batch,
            weights=weights,
            dtype=identity.precision,
        ),
        runtime_of(artifact.device.runtime),
        workspace,
        progress,
    )
    if model.hash != identity.hash:
        raise OffloadError(
            f"the plan is for {identity.name} with content {identity.hash[:12]}, it now has {model.hash[:12]}",
            hint="profile and plan again: the model's file, code or weights have changed",
        )
    link = plan_link(artifact) if request.server is None else None
    if shape is not None:
        link = (shape, shape)
    return verify_plan(
        artifact,
        model=model,
        endpoint=Endpoint(address=request.server, link=link, token=request.token, tls_ca=request.tls_ca),
        budget=Budget(requests=requests, duration_s=request.duration_s),
        alternatives=request.alternatives,
        tolerance=request.tolerance,
        slowdown=request.device_slowdown or artifact.device.slowdown,
        progress=progress,
    )


def _check_remote(request: ProfileRequest) -> None:
    """What a server decides for itself cannot be asked of it."""
    wishes = {
        f"--device {request.device}": request.device != "cpu",
        "--channels-last": request.channels_last,
        "--compile": request.compiled,
    }
    for wish, asked in wishes.items():
        if asked and request.on is not None:
            raise UsageError(
                f"{wish} does not go with --on: {request.on} runs models in its own way",
                hint=f"leave {wish.split()[0]} out, and start the server as it is to run",
            )


def _runtime(request: ProfileRequest) -> Runtime:
    from offload.runtimes.catalogue import choose_runtime

    return choose_runtime(
        request.runtime,
        device=request.device,
        precision=request.dtype,
        channels_last=request.channels_last,
        compiled=request.compiled,
        onnx_file=Path(request.model).suffix == ".onnx",
    )


def _meter(request: ProfileRequest, runtime: Runtime) -> Meter | None:
    """The meter to read, not yet entered; known to be there when it was asked for by name."""
    from offload.profilers.energy.choose import open_meter

    power_w, idle_power_w, meter = request.power_w, request.idle_power_w, request.meter
    if power_w is not None and idle_power_w is not None and idle_power_w > power_w:
        raise UsageError(
            f"--idle-power {idle_power_w:g}W is above --power {power_w:g}W",
            hint="--power is the whole device's while computing, idle power included",
        )
    if power_w is not None and meter not in (None, "none"):
        raise UsageError(
            f"--power models the energy, --meter {meter} measures it", hint="give one of them, or --meter none"
        )
    if request.on is not None:
        if meter not in (None, "none"):
            raise UsageError(f"--meter reads this machine, not {request.on}", hint="leave it out")
        return None
    return open_meter(meter or ("auto" if power_w is None else "none"), runtime.device)


def _load(request: ProfileRequest, runtime: Runtime, workspace: Workspace, progress: Progress) -> LoadedModel:
    """The model in the form that the runtime takes."""
    from offload.models.load import load_model, load_torch_model

    progress.start(f"loading {request.model}")
    try:
        if runtime.name == "torch":
            return load_torch_model(
                request.model,
                inputs=request.inputs,
                batch=request.batch,
                weights=request.weights,
                precision=request.dtype,
            )
        return load_model(
            request.model,
            inputs=request.inputs,
            batch=request.batch,
            weights=request.weights,
            cache=workspace.cache,
        )
    finally:
        progress.finish()


def _identity(model: LoadedModel, request: ProfileRequest) -> ModelIdentity:
    return ModelIdentity(
        spec=model.spec,
        name=model.name,
        hash=model.hash,
        batch=model.batch,
        precision=model.precision,
        weights=model.weights,
        untrained=model.untrained,
        inputs=dict(request.inputs),
        weights_file=str(request.weights.resolve()) if request.weights else None,
    )


def _profile_on(address: str, model: LoadedModel, request: ProfileRequest, progress: Progress) -> Profile:
    """A profile made by a server of ours, under the identity the model has here."""
    from offload.serving.client import ServerClient
    from offload.serving.remote_profile import profile_on_server

    progress.start(f"profiling on {address}")
    try:
        with ServerClient(address, token=request.token, tls=request.tls_ca) as client:
            remote = profile_on_server(
                client,
                model,
                precision=request.precision,
                max_time_s=request.max_time_s,
                power_w=request.power_w,
            )
    finally:
        progress.finish()
    if remote.model.hash != model.hash:
        raise OffloadError(
            f"the server at {address} profiled content {remote.model.hash[:12]}, {model.hash[:12]} was sent",
            hint="run the same version of offload and onnxruntime on both sides",
        )
    return remote.model_copy(update={"model": _identity(model, request), "idle_power_w": request.idle_power_w})


def _device_profile(path: Path | None, workspace: Workspace, progress: Progress) -> Profile:
    if path is not None:
        return Profile.load(path)
    found = workspace.newest(Profile, fits=lambda profile: profile.source == "measured")
    if found is None:
        raise OffloadError(f"no profile in {workspace.root}", hint="make one with `offload profile MODEL`")
    progress.note(f"device: took the newest profile, {found[0]}")
    return found[1]


def _check_link_options(request: PlanRequest) -> None:
    if request.uplink_bps is not None and request.link is not None:
        raise UsageError("--bw and --link exclude each other", hint="a measured link has its own rate: leave one out")
    if request.uplink_bps is None and (request.downlink_bps is not None or request.rtt_s):
        raise UsageError(
            "--down and --rtt belong to --bw", hint="a measured link has its own: add --bw, or leave them out"
        )


def _link(
    request: PlanRequest, specs: Sequence[str | None], workspace: Workspace, progress: Progress
) -> tuple[Link, list[str]]:
    """The link to plan for, and what the user should know of what was assumed."""
    warnings = []
    if request.radio is None and _needs_energy(request):
        warnings.append(f"no radio was named and {_ASSUMED_RADIO} is assumed: give the device's own with --radio")
    if request.uplink_bps is not None:
        declared = Link(
            uplink_bps=request.uplink_bps,
            downlink_bps=request.downlink_bps or request.uplink_bps,
            rtt_s=request.rtt_s,
        )
        return declared, warnings
    if request.link is not None:
        measured = LinkProfile.load(request.link)
    else:
        addresses = {spec for spec in specs if spec is not None and ":" in spec and not Path(spec).is_file()}
        found = workspace.newest(LinkProfile, fits=lambda link: not addresses or link.server in addresses)
        if found is None:
            to = f" to {', '.join(sorted(addresses))}" if addresses else ""
            raise OffloadError(
                f"no --bw, and no measured link{to} in {workspace.root}",
                hint="add --bw 450mbps, or measure with `offload link HOST:PORT`",
            )
        progress.note(f"link: took the newest one measured, {found[0]}")
        measured = found[1]
    if measured.stopped != "time":
        warnings.append(f"measuring the link ended early ({measured.stopped}): measure again with `offload link`")
    return measured.link(), warnings


def _server_profile(
    spec: str | None, request: PlanRequest, device: Profile, workspace: Workspace, progress: Progress
) -> Profile:
    from offload.predictors.presets import load_preset, presets
    from offload.predictors.roofline import assumed_profile
    from offload.runtimes.catalogue import runtime_of

    if spec is None:
        preset = load_preset()
        progress.note(f"server: none given, assumed a {preset.name} from its published peak rates")
        return assumed_profile(device.graph, device.model, preset)
    if Path(spec).is_file():
        return Profile.load(Path(spec))
    if spec in presets():
        return assumed_profile(device.graph, device.model, load_preset(spec))
    if ":" in spec:
        identity = device.model
        weights = Path(identity.weights_file) if identity.weights_file else None
        wanted = ProfileRequest(
            model=identity.spec,
            inputs=identity.inputs,
            batch=identity.batch,
            weights=weights,
            dtype=identity.precision,
            token=request.token,
            tls_ca=request.tls_ca,
        )
        return _profile_on(spec, _load(wanted, runtime_of(device.runtime), workspace, progress), wanted, progress)
    near = get_close_matches(spec.lower(), presets(), n=3) or presets()
    raise OffloadError(
        f"--server {spec}: no such file, and not a preset",
        hint="give a profile, HOST:PORT, or one of " + ", ".join(near),
    )


def _chosen_plan(path: Path | None, workspace: Workspace, progress: Progress) -> Plan:
    if path is not None:
        return Plan.load(path)
    found = workspace.newest(Plan)
    if found is None:
        raise OffloadError(f"no plan in {workspace.root}", hint="make one with `offload plan --bw 450mbps`")
    progress.note(f"took the newest plan, {found[0]}")
    return found[1]
