"""Verifications: plans executed, and what that took beside what was predicted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from offload.api.models import load_again
from offload.artifacts.plan import Plan
from offload.artifacts.verification import Verification
from offload.artifacts.workspace import Workspace
from offload.datasets.base import Task
from offload.errors import OffloadError, UsageError
from offload.progress import NullProgress, Progress

_REQUESTS = 50
_SAMPLES = 200


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
    background_traffic: bool = False
    """Whether another client sends to the server all the time over the emulated link, which the plan knows not of."""
    device_slowdown: float | None = None
    """None takes the plan's."""
    token: str | None = None
    tls_ca: Path | None = None
    data: str | None = None
    """Labelled examples to send, which tell the accuracy over the wire; None sends made-up inputs."""
    task: Task | None = None
    """What the answers of the examples are; None for what the data have."""
    samples: int | None = None
    """How many examples at most; None takes 200."""


def verify(request: VerifyRequest, *, workspace: Workspace, progress: Progress | None = None) -> Verification:
    """Execute a plan and compare what it takes with what was predicted.

    Raises:
        OffloadError: there is no plan, it is for another model, a codec of it is not there, the data do not fit the
            model, or the server fails.
        VerdictError: the divided model's outputs are wrong.
    """
    from offload.runtimes.catalogue import can_run, runtime_of
    from offload.serving.link_emulation import parse_link
    from offload.verification.endpoint import Endpoint, plan_link
    from offload.verification.rounds import Budget
    from offload.verification.verify import Labelled, verify_plan

    progress = progress or NullProgress()
    if request.requests is not None and request.requests < 1:
        raise UsageError(f"{request.requests} requests prove nothing", hint="give --requests 1 or more")
    if request.duration_s is not None and request.duration_s <= 0:
        raise UsageError("--duration 0 leaves no time to measure", hint="write it like --duration 30s")
    requests = _REQUESTS if request.requests is None and request.duration_s is None else request.requests
    if request.data is None and (request.samples is not None or request.task is not None):
        raise UsageError("--samples and --task are about labelled examples", hint="name them with --data DATA")
    if request.samples is not None and request.samples < 1:
        raise UsageError(f"{request.samples} samples tell nothing", hint="give --samples 1 or more")
    if request.background_traffic and request.server is not None and request.emulate_link is None:
        raise UsageError(
            "--background-traffic goes over an emulated link", hint="add --emulate-link RATE,DELAY, or omit --server"
        )
    shape = parse_link(request.emulate_link) if request.emulate_link is not None else None
    artifact = _chosen_plan(request.plan, workspace, progress)
    device = artifact.device
    if not can_run(device.runtime):
        raise OffloadError(
            f"the plan's device times are {device.source}, of {device.runtime.name} on {device.runtime.device}, "
            "which cannot be executed here",
            hint="verify a plan that was made from a profile by `offload profile` on the device",
        )
    model = load_again(artifact.model, runtime_of(artifact.device.runtime), workspace=workspace, progress=progress)
    link = plan_link(artifact) if request.server is None else None
    if shape is not None:
        link = (shape, shape)
    return verify_plan(
        artifact,
        model=model,
        endpoint=Endpoint(
            address=request.server,
            link=link,
            traffic=request.background_traffic,
            token=request.token,
            tls_ca=request.tls_ca,
        ),
        budget=Budget(requests=requests, duration_s=request.duration_s),
        alternatives=request.alternatives,
        tolerance=request.tolerance,
        slowdown=request.device_slowdown or artifact.device.slowdown,
        codecs=workspace.codecs,
        labelled=None
        if request.data is None
        else Labelled(data=request.data, task=request.task, samples=request.samples or _SAMPLES),
        progress=progress,
    )


def _chosen_plan(path: Path | None, workspace: Workspace, progress: Progress) -> Plan:
    if path is not None:
        return Plan.load(path)
    found = workspace.newest(Plan)
    if found is None:
        raise OffloadError(f"no plan in {workspace.root}", hint="make one with `offload plan --bw 450mbps`")
    progress.note(f"took the newest plan, {found[0]}")
    return found[1]
