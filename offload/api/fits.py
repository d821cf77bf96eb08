"""Fits: what kernels cost on this device, so that models can be predicted without running them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from offload.artifacts.costs import Costs
from offload.artifacts.packed import pack
from offload.artifacts.profile import RuntimeIdentity
from offload.artifacts.workspace import Workspace
from offload.environment import chosen_threads, package_versions, processor
from offload.errors import OffloadError, UsageError
from offload.models.executed import TimedNetwork
from offload.progress import NullProgress, Progress
from offload.version import __version__

if TYPE_CHECKING:
    from offload.runtimes.onnxruntime import OnnxRuntime

FEWEST_NETWORKS = 20
"""Costs of fewer networks would be guesses."""


@dataclass(frozen=True, kw_only=True)
class FitRequest:
    """What `fit` is asked for."""

    device: str = "cpu"
    threads: int | None = None
    """Threads of the runtime; None takes every physical core."""
    budget_s: float = 1200.0
    """Seconds of measuring, those of interrupted fits included."""
    restart: bool = False
    """Forget what earlier fits measured."""
    power_w: float | None = None
    """Declared power while computing."""
    idle_power_w: float | None = None
    """Declared power while waiting."""


def fit(request: FitRequest, *, workspace: Workspace, progress: Progress | None = None) -> Costs:
    """Measure random networks on this machine and fit what their kernels cost.

    Networks that an earlier fit with the same settings measured are taken from the workspace. An interrupt keeps them,
    and fits what there is.

    Raises:
        OffloadError: the device cannot be used, or too few networks were measured.
    """
    from offload.predictors.features import FEATURES
    from offload.predictors.fitting import fit_costs
    from offload.profilers.sampling.measuring import read_checkpoint
    from offload.runtimes.onnxruntime import OnnxRuntime
    from offload.serving.protocol_cost import measure_protocol

    progress = progress or NullProgress()
    if request.device != "cpu":
        raise UsageError(
            f"--device {request.device}: costs are fitted on ONNX Runtime's CPU kernels",
            hint="leave --device out, or profile the model on the GPU itself",
        )
    threads = chosen_threads(request.threads)
    runtime = OnnxRuntime(device=request.device)
    identity = runtime.identity(threads=threads)
    checkpoint = _checkpoint(workspace, identity)
    if request.restart:
        checkpoint.unlink(missing_ok=True)
    networks, stopped = _measured(request, runtime, threads, checkpoint, progress)
    if len(networks) < FEWEST_NETWORKS:
        if stopped == "interrupted":
            raise KeyboardInterrupt
        raise OffloadError(
            f"{len(networks)} networks were measured, a fit needs {FEWEST_NETWORKS}",
            hint="the same command goes on where it stopped; give it a larger --budget",
        )
    fitted = fit_costs(networks, progress)
    whole_s = sorted(network.whole_s[0] for network in networks)[len(networks) // 2]
    return Costs.create(
        runtime=identity,
        precision="fp32",
        networks=len(networks),
        measuring_s=sum(line.took_s for line in read_checkpoint(checkpoint)),
        stopped=stopped,
        reference_s=tuple(network.reference_s for network in networks),
        families=fitted.families,
        call=fitted.call,
        shared_error=fitted.shared_error,
        whole_errors=fitted.whole_errors,
        library=package_versions(("scikit-learn",)),
        features=FEATURES,
        samples=pack(fitted.rows, "<f4"),
        power_w=request.power_w,
        idle_power_w=request.idle_power_w,
        protocol=() if stopped == "interrupted" else measure_protocol(whole_s),
    )


def _measured(
    request: FitRequest, runtime: OnnxRuntime, threads: int, checkpoint: Path, progress: Progress
) -> tuple[list[TimedNetwork], Literal["budget", "all networks", "interrupted"]]:
    from offload.profilers.sampling.measuring import measure_networks
    from offload.profilers.sampling.networks import MOST_NETWORKS

    networks: list[TimedNetwork] = []
    try:
        for network in measure_networks(
            runtime, threads=threads, budget_s=request.budget_s, checkpoint=checkpoint, progress=progress
        ):
            networks.append(network)
    except KeyboardInterrupt:
        return networks, "interrupted"
    finally:
        progress.finish()
    return networks, "all networks" if len(networks) == MOST_NETWORKS else "budget"


def _checkpoint(workspace: Workspace, runtime: RuntimeIdentity) -> Path:
    """Where networks measured under the same settings are kept, for this version's random networks."""
    settings = f"{runtime} {processor()} {__version__}"
    name = f"fit-{runtime.name}-{runtime.device.replace(':', '-')}-{runtime.threads}"
    return workspace.cache / f"{name}-{hashlib.sha256(settings.encode()).hexdigest()[:12]}.jsonl"
