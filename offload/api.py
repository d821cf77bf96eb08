"""The verbs as functions: what the command line calls and applications may call; nothing here prints.

Each function reads artifacts or a model and returns one artifact. All raise OffloadError for whatever the user can
mend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from offload.artifacts.plan import Plan, Target
from offload.artifacts.profile import Profile
from offload.artifacts.verification import Verification
from offload.artifacts.workspace import Workspace
from offload.progress import NullProgress, Progress


@dataclass(frozen=True, kw_only=True)
class ProfileRequest:
    """What `profile` is asked for."""

    model: str
    """A built-in name, a path to `.onnx`, `package.module:callable`, `torchvision:NAME` or `timm:NAME`."""
    inputs: Mapping[str, tuple[int, ...]]
    batch: int = 1
    weights: Path | None = None
    device: str = "cpu"
    threads: int | None = None
    """Threads of the runtime; None takes every physical core."""
    precision: float = 0.02
    """Measuring stops when the 95 % interval of the whole's median is within this fraction either way."""
    max_time_s: float = 60.0
    power_w: float | None = None
    on: str | None = None
    """HOST:PORT of an offload server to profile on; None profiles here."""
    token: str | None = None
    """The server's token, for `on`."""


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What `plan` is asked for."""

    profile: Path | None
    """The device's profile; None takes the newest measured one in the workspace."""
    server: str | None
    """A profile file, HOST:PORT (profiles there), or a preset's name; None assumes a preset and says which."""
    uplink_bps: float
    downlink_bps: float | None = None
    """None takes the uplink's rate."""
    rtt_s: float = 0.0
    target: Target = "latency"
    radio: str | None = None
    device_slowdown: float = 1.0
    planner: str = "neurosurgeon"
    token: str | None = None


@dataclass(frozen=True, kw_only=True)
class VerifyRequest:
    """What `verify` is asked for."""

    plan: Path | None
    """None takes the newest plan in the workspace."""
    server: str | None = None
    """HOST:PORT of a server; None starts the embedded one and emulates the plan's link."""
    requests: int = 50
    tolerance: float = 0.1
    emulate_link: str | None = None
    """`RATE,DELAY` such as `450mbps,2ms` for both directions; None: the plan's own with the embedded server."""
    device_slowdown: float | None = None
    """None takes the plan's."""
    token: str | None = None


def profile(request: ProfileRequest, *, workspace: Workspace, progress: Progress | None = None) -> Profile:
    """Measure what each layer of a model costs."""
    progress = progress or NullProgress()
    raise NotImplementedError


def plan(request: PlanRequest, *, workspace: Workspace, progress: Progress | None = None) -> Plan:
    """Choose where to cut the model."""
    progress = progress or NullProgress()
    raise NotImplementedError


def verify(request: VerifyRequest, *, workspace: Workspace, progress: Progress | None = None) -> Verification:
    """Execute a plan and compare what it takes with what was predicted."""
    progress = progress or NullProgress()
    raise NotImplementedError
