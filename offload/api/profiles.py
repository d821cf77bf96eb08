"""Profiles: what each layer of a model costs, here or on a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from offload.api.devices import find_preset
from offload.api.models import identity_of, load
from offload.api.powers import check_powers, chosen_meter
from offload.artifacts.base import a_kind, kind_of
from offload.artifacts.prediction import Predictor
from offload.artifacts.profile import ModelIdentity, Precision, Profile
from offload.artifacts.workspace import Workspace
from offload.environment import chosen_threads, processor
from offload.errors import OffloadError, UsageError
from offload.progress import NullProgress, Progress

if TYPE_CHECKING:
    from offload.artifacts.costs import Costs
    from offload.artifacts.preset import Preset
    from offload.models.loaded import LoadedModel
    from offload.profilers.energy.base import Meter
    from offload.runtimes.base import Runtime
    from offload.runtimes.catalogue import RuntimeName

_IMAGE_CONVOLUTIONS = ("conv2d", "conv_transpose2d")
"""Operators that run faster with channels innermost."""
_ENERGY_SHARE = 0.5
"""Of the time cap: what measuring energy may take on top of it."""


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
    """None takes ONNX Runtime on a CPU and for ONNX files, and torch otherwise."""
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
    predict: str | None = None
    """A preset's name, a calibrated preset or a costs file: the profile is told from it, and nothing is run."""
    predictor: Predictor = "fitted"
    """Which of the forms in a costs file tells the times."""
    on: str | None = None
    """HOST:PORT of an offload server to profile on; None profiles here."""
    token: str | None = None
    """The server's token, for `on`."""
    tls_ca: Path | None = None
    """The certificate authority to trust, for `on`; None speaks without TLS."""


def profile(request: ProfileRequest, *, workspace: Workspace, progress: Progress | None = None) -> Profile:
    """Measure what each layer of a model costs, here or on a server, or tell it without running the model.

    Raises:
        OffloadError: the model, the device, the server or what predicts cannot be used.
    """
    from offload.profilers.energy.profile import with_energy
    from offload.profilers.layers import profile_model
    from offload.serving.protocol_cost import measure_protocol

    progress = progress or NullProgress()
    if request.predict is None and request.predictor != "fitted":
        raise UsageError(f"--predictor {request.predictor} needs costs", hint="add --predict costs.json")
    if request.predict is not None:
        return _predicted(request, request.predict, workspace, progress)
    _check_remote(request)
    runtime = _runtime(request)
    if request.on is not None and request.threads is not None:
        raise UsageError(
            f"{request.on} profiles with its own threads, not with {request.threads}",
            hint="leave --threads out, and start the server with `offload serve --threads N`",
        )
    threads = chosen_threads(request.threads)
    meter = _meter(request, runtime)
    model, identity = _loaded(request, runtime, workspace, progress)
    if request.channels_last and not any(layer.op in _IMAGE_CONVOLUTIONS for layer in model.graph.layers):
        raise UsageError(f"--channels-last: {model.name} has no convolution of images", hint="leave it out")
    if request.on is not None:
        remote = profile_on(
            request.on,
            model,
            identity,
            precision=request.precision,
            max_time_s=request.max_time_s,
            power_w=request.power_w,
            token=request.token,
            tls_ca=request.tls_ca,
            progress=progress,
        )
        return remote.model_copy(update={"idle_power_w": request.idle_power_w})
    measured = profile_model(
        model,
        runtime,
        identity,
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
        return measured.model_copy(update={"protocol": measure_protocol(measured.whole.value)})
    except KeyboardInterrupt:
        return measured.model_copy(update={"stopped": "interrupted"})


def profile_on(
    address: str,
    model: LoadedModel,
    identity: ModelIdentity,
    *,
    precision: float = ProfileRequest.precision,
    max_time_s: float = ProfileRequest.max_time_s,
    power_w: float | None = None,
    token: str | None,
    tls_ca: Path | None,
    progress: Progress,
) -> Profile:
    """A profile made by a server of ours, under the identity the model has here.

    Raises:
        OffloadError: the server cannot profile, or profiled another model.
    """
    from offload.serving.client import ServerClient
    from offload.serving.remote_profile import profile_on_server

    progress.start(f"profiling on {address}")
    try:
        with ServerClient(address, token=token, tls=tls_ca) as client:
            remote = profile_on_server(client, model, precision=precision, max_time_s=max_time_s, power_w=power_w)
    finally:
        progress.finish()
    if remote.model.hash != model.hash:
        raise OffloadError(
            f"the server at {address} profiled content {remote.model.hash[:12]}, {model.hash[:12]} was sent",
            hint="run the same version of offload and onnxruntime on both sides",
        )
    return remote.model_copy(update={"model": identity, "measured_on": address})


def _predicted(request: ProfileRequest, predict: str, workspace: Workspace, progress: Progress) -> Profile:
    """The profile told from a preset or from fitted costs; the model is loaded for its graph and not run."""
    for option, given in (("--on", request.on), ("--meter", None if request.meter == "none" else request.meter)):
        if given is not None:
            raise UsageError(f"{option} measures, --predict runs nothing", hint="leave one of them out")
    check_powers(request.power_w, request.idle_power_w)
    costs = _costs(predict)
    if costs is None and request.predictor != "fitted":
        raise UsageError(
            f"--predictor {request.predictor} is of costs files, and {predict} is a preset", hint="leave it out"
        )
    if costs is not None:
        return _by_costs(request, costs, workspace, progress)
    return _by_preset(request, find_preset(predict, asked_by="--predict", others="a costs file"), workspace, progress)


def _by_preset(request: ProfileRequest, preset: Preset, workspace: Workspace, progress: Progress) -> Profile:
    from offload.predictors.roofline import assumed_profile

    wishes = {
        f"--device {request.device}": request.device != "cpu",
        f"--dtype {request.dtype}": request.dtype != "fp32",
        f"--threads {request.threads}": request.threads is not None,
        "--channels-last": request.channels_last,
        "--compile": request.compiled,
    }
    wish = next((wish for wish, asked in wishes.items() if asked), None)
    if wish is not None:
        raise UsageError(
            f"{wish} does not go with --predict {preset.name}: a preset is another device, in 32-bit floating point",
            hint=f"leave {wish.split()[0]} out",
        )
    model, identity = _loaded(request, _runtime(request), workspace, progress)
    return assumed_profile(model.graph, identity, preset, power_w=request.power_w, idle_power_w=request.idle_power_w)


def _by_costs(request: ProfileRequest, costs: Costs, workspace: Workspace, progress: Progress) -> Profile:
    from offload.predictors.costs import check_costs, predicted_profile
    from offload.profilers.instruments import executed_blocks
    from offload.profilers.reference import speed_now

    for option, asked in (("--channels-last", request.channels_last), ("--compile", request.compiled)):
        if asked:
            raise UsageError(
                f"{option} does not go with --predict: costs are of models that run as they are",
                hint="leave it out, or profile the model itself",
            )
    runtime = _runtime(request, present=False)
    threads = chosen_threads(costs.runtime.threads if request.threads is None else request.threads)
    check_costs(costs, runtime.identity(threads=threads), request.dtype)  # before a model is loaded
    model, identity = _loaded(request, runtime, workspace, progress)
    blocks = executed_blocks(model, runtime, threads=threads)
    at_hand = costs.environment.processor == processor() and runtime.device == "cpu"
    speed = speed_now(runtime, threads=threads) if at_hand else None
    found = predicted_profile(
        model.graph,
        identity,
        runtime.identity(threads=threads),
        costs,
        blocks,
        reference_s=speed.reference_s if speed else (),
        empty_call_s=speed.empty_call_s if speed else (),
        predictor=request.predictor,
    )
    powers = {"power_w": request.power_w, "idle_power_w": request.idle_power_w}
    return found.model_copy(update={name: watts for name, watts in powers.items() if watts is not None})


def _loaded(
    request: ProfileRequest, runtime: Runtime, workspace: Workspace, progress: Progress
) -> tuple[LoadedModel, ModelIdentity]:
    model = load(
        request.model,
        runtime,
        inputs=request.inputs,
        batch=request.batch,
        weights=request.weights,
        precision=request.dtype,
        workspace=workspace,
        progress=progress,
    )
    return model, identity_of(model, inputs=request.inputs, weights=request.weights)


def _costs(predict: str) -> Costs | None:
    """The fitted costs in a file; None where it is a preset, or no file.

    Raises:
        OffloadError: the file is damaged, or neither.
    """
    path = Path(predict)
    if not path.is_file():
        return None
    kind = kind_of(path)
    if kind not in ("costs", "preset"):
        found = "the file is damaged, or" if kind is None else f"the file is {a_kind(kind)},"
        raise OffloadError(
            f"--predict {predict}: {found} neither costs nor a preset",
            hint="make costs with `offload fit`, or a preset with `offload calibrate`",
        )
    if kind == "preset":
        return None
    from offload.artifacts.costs import Costs

    return Costs.load(path)


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


def _runtime(request: ProfileRequest, *, present: bool = True) -> Runtime:
    from offload.runtimes.catalogue import choose_runtime

    return choose_runtime(
        request.runtime,
        device=request.device,
        precision=request.dtype,
        channels_last=request.channels_last,
        compiled=request.compiled,
        onnx_file=Path(request.model).suffix == ".onnx",
        present=present,
    )


def _meter(request: ProfileRequest, runtime: Runtime) -> Meter | None:
    """The meter to read, not yet entered; known to be there when it was asked for by name."""
    if request.on is not None:
        check_powers(request.power_w, request.idle_power_w)
        if request.meter not in (None, "none"):
            raise UsageError(f"--meter reads this machine, not {request.on}", hint="leave it out")
        return None
    return chosen_meter(request.meter, runtime.device, power_w=request.power_w, idle_power_w=request.idle_power_w)
