"""Fits: what kernels cost on this device, so that models can be predicted without running them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from offload.api.powers import chosen_meter
from offload.artifacts.costs import Costs
from offload.artifacts.packed import pack
from offload.artifacts.profile import Precision, RuntimeIdentity
from offload.artifacts.workspace import Workspace
from offload.environment import chosen_threads, current_environment, package_versions, processor
from offload.errors import OffloadError, UsageError
from offload.models.executed import TimedNetwork
from offload.progress import NullProgress, Progress
from offload.version import __version__

if TYPE_CHECKING:
    from offload.artifacts.costs import FamilyCosts
    from offload.profilers.energy.base import Meter
    from offload.runtimes.base import Runtime
    from offload.runtimes.catalogue import RuntimeName

FEWEST_NETWORKS = 20
"""Costs of fewer networks would be guesses."""
_A_NETWORK_S: Mapping[RuntimeName, float] = {"onnxruntime": 0.8, "torch": 1.3}
"""About what measuring one takes, where none was measured yet: as on two cores of a server."""


@dataclass(frozen=True, kw_only=True)
class FitRequest:
    """What `fit` is asked for."""

    device: str = "cpu"
    """`cpu`; on torch also `cuda` or `cuda:N`."""
    runtime: RuntimeName = "onnxruntime"
    dtype: Precision = "fp32"
    """What weights and floating-point tensors are cast to; other than fp32 on torch only."""
    threads: int | None = None
    """Threads of the runtime; None takes every physical core."""
    budget_s: float = 1200.0
    """Seconds of measuring, those of interrupted fits included."""
    restart: bool = False
    """Forget what earlier fits measured."""
    power_w: float | None = None
    """Declared power while computing: models the energy, and no meter is read."""
    idle_power_w: float | None = None
    """Declared power while waiting; None takes what the meter reads."""
    meter: str | None = None
    """`auto`, `nvml`, `rapl`, `jetson` or `none`; None is `auto`, or `none` when a power is declared."""


@dataclass(frozen=True, kw_only=True)
class FitOutlook:
    """What a fit would do."""

    threads: int
    networks_before: int
    """Measured by earlier fits with the same settings."""
    seconds_before: float
    networks_more: int
    """How many the budget is likely to be enough for."""
    seconds_more: float
    """Of measuring; making the fit takes about a minute more."""
    metered: bool
    """Whether there is a meter, whose windows take about a minute more."""


def fit(request: FitRequest, *, workspace: Workspace, progress: Progress | None = None) -> Costs:
    """Measure random networks on this machine and fit what their kernels cost.

    Networks that an earlier fit with the same settings measured are taken from the workspace. An interrupt keeps them,
    and fits what there is.

    Raises:
        OffloadError: the device cannot be used, or too few networks were measured.
        KeyboardInterrupt: interrupted before there were enough networks, which are kept.
    """
    from offload.predictors.features import FEATURES
    from offload.predictors.fitting import fit_costs
    from offload.profilers.sampling.measuring import read_checkpoint

    progress = progress or NullProgress()
    runtime, threads, meter = _instruments(request)
    identity = runtime.identity(threads=threads)
    checkpoint = _checkpoint(workspace, identity, request.dtype)
    if request.restart:
        checkpoint.unlink(missing_ok=True)
    networks, stopped = _measured(request, runtime, threads, checkpoint, progress)
    if len(networks) < FEWEST_NETWORKS:
        too_few = f"{len(networks)} networks were measured, a fit needs {FEWEST_NETWORKS}"
        if stopped == "interrupted":
            progress.note(f"{too_few}: the same command goes on where it stopped")
            raise KeyboardInterrupt
        raise OffloadError(too_few, hint="the same command goes on where it stopped; give it a larger --budget")
    try:
        fitted = fit_costs(networks, progress)
    except KeyboardInterrupt:
        progress.note(f"{len(networks)} networks are kept: the same command goes on where it stopped")
        raise
    costs = Costs.create(
        runtime=identity,
        precision=request.dtype,
        networks=len(networks),
        measuring_s=sum(line.took_s for line in read_checkpoint(checkpoint)),
        stopped=stopped,
        reference_s=tuple(network.reference_s for network in networks),
        empty_call_s=tuple(network.empty_call_s for network in networks),
        families=fitted.families,
        call=fitted.call,
        shared_error=fitted.shared_error,
        whole_errors=fitted.whole_errors,
        library=package_versions(("scikit-learn",)),
        features=FEATURES,
        samples=pack(fitted.rows, "<f4"),
        power_w=request.power_w,
        idle_power_w=request.idle_power_w,
    )
    return costs if stopped == "interrupted" else _completed(costs, networks, runtime, meter, progress)


def fit_outlook(request: FitRequest, *, workspace: Workspace) -> FitOutlook:
    """What `fit` would do and how long that would take; nothing is measured.

    Raises:
        OffloadError: the device cannot be used.
    """
    from offload.profilers.sampling.measuring import read_checkpoint
    from offload.profilers.sampling.networks import MOST_NETWORKS

    runtime, threads, meter = _instruments(request)
    checkpoint = _checkpoint(workspace, runtime.identity(threads=threads), request.dtype)
    before = {} if request.restart else {one.network.number: one.took_s for one in read_checkpoint(checkpoint)}
    spent_s = sum(before.values())
    each_s = spent_s / len(before) if before else _A_NETWORK_S[request.runtime]
    left_s = max(0.0, request.budget_s - spent_s)
    more = min(MOST_NETWORKS - len(before), round(left_s / each_s))
    return FitOutlook(
        threads=threads,
        networks_before=len(before),
        seconds_before=spent_s,
        networks_more=more,
        seconds_more=more * each_s,
        metered=meter is not None,
    )


def _instruments(request: FitRequest) -> tuple[Runtime, int, Meter | None]:
    """The runtime, its threads, and the meter, not yet entered.

    Raises:
        OffloadError: they cannot be used, or contradict one another.
    """
    from offload.runtimes.catalogue import choose_runtime

    if request.runtime == "onnxruntime" and request.device.startswith("cuda"):
        raise UsageError(
            f"--device {request.device}: ONNX Runtime does not tell how long a GPU's kernels run",
            hint="add --runtime torch",
        )
    runtime = choose_runtime(
        request.runtime,
        device=request.device,
        precision=request.dtype,
        channels_last=False,
        compiled=False,
        onnx_file=False,
    )
    threads = chosen_threads(request.threads)
    meter = chosen_meter(request.meter, runtime.device, power_w=request.power_w, idle_power_w=request.idle_power_w)
    return runtime, threads, meter


def _measured(
    request: FitRequest, runtime: Runtime, threads: int, checkpoint: Path, progress: Progress
) -> tuple[list[TimedNetwork], Literal["budget", "all networks", "interrupted"]]:
    from offload.profilers.sampling.measuring import measure_networks
    from offload.profilers.sampling.networks import MOST_NETWORKS

    networks: list[TimedNetwork] = []
    try:
        for network in measure_networks(
            runtime,
            threads=threads,
            budget_s=request.budget_s,
            checkpoint=checkpoint,
            progress=progress,
            precision=request.dtype,
        ):
            networks.append(network)
    except KeyboardInterrupt:
        return networks, "interrupted"
    finally:
        progress.finish()
    return networks, "all networks" if len(networks) == MOST_NETWORKS else "budget"


def _completed(
    costs: Costs, networks: Sequence[TimedNetwork], runtime: Runtime, meter: Meter | None, progress: Progress
) -> Costs:
    """The costs with what is measured after the fit; an interrupt keeps what there is by then."""
    from offload.serving.protocol_cost import measure_protocol

    whole_s = sorted(network.whole_s[0] for network in networks)[len(networks) // 2]
    try:
        if meter is not None:
            costs = costs.model_copy(update=_powers(costs, networks, runtime, meter, progress))
        return costs.model_copy(update={"protocol": measure_protocol(whole_s)})
    except KeyboardInterrupt:
        return costs.model_copy(update={"stopped": "interrupted"})


def _powers(
    costs: Costs, networks: Sequence[TimedNetwork], runtime: Runtime, meter: Meter, progress: Progress
) -> dict[str, Any]:
    """The power of each family by a meter; times are kept when the meter fails on the way."""
    from offload.predictors.powers import choose_networks, family_powers, time_shares
    from offload.profilers.energy.networks import measure_network_powers

    shares = time_shares(networks, frozenset(costs.by_family))
    chosen = choose_networks(shares)
    try:
        with meter:
            read = measure_network_powers(
                chosen,
                runtime,
                meter,
                threads=costs.runtime.threads,
                progress=progress,
                precision=costs.precision,
            )
    except OffloadError as error:
        progress.warn(f"no power: {error.message}; the times hold")
        return {}
    watts = family_powers(
        {number: shares[number] for number in read.networks_w},
        read.networks_w,
        idle_w=read.idle_w,
        families=sorted(costs.by_family),
    )

    def powered(family: FamilyCosts) -> FamilyCosts:
        return replace(family, power_w=watts[family.family])

    return {
        "families": tuple(map(powered, costs.families)),
        "power_source": f"{meter.name}: {read.sensor}",
        "idle_power_w": costs.idle_power_w or read.idle_w,
    }


def _checkpoint(workspace: Workspace, runtime: RuntimeIdentity, precision: Precision) -> Path:
    """Where networks measured under the same settings are kept, for this version's random networks."""
    gpus = "" if runtime.device == "cpu" else f" {current_environment().gpus}"
    settings = f"{runtime} {processor()} {__version__}{gpus}"
    name = f"fit-{runtime.name}-{runtime.device.replace(':', '-')}-{runtime.threads}"
    if precision != "fp32":
        name += f"-{precision}"
    return workspace.cache / f"{name}-{hashlib.sha256(settings.encode()).hexdigest()[:12]}.jsonl"
