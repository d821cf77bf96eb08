"""Links: what moving bytes to a server and back costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from offload.artifacts.link import LinkProfile
from offload.artifacts.workspace import Workspace
from offload.errors import UsageError
from offload.progress import NullProgress, Progress


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
