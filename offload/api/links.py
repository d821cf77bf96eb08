"""Links: what moving bytes to a server and back costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from offload.artifacts.link import Link, LinkProfile
from offload.artifacts.workspace import Workspace
from offload.errors import OffloadError, UsageError
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


@dataclass(frozen=True, kw_only=True)
class LinkChoice:
    """The link that something is planned for, as the user told it."""

    uplink_bps: float | None = None
    """None takes a measured link."""
    downlink_bps: float | None = None
    """None takes the uplink's rate."""
    rtt_s: float = 0.0
    link: Path | None = None
    """A measured link; None without `uplink_bps` takes the newest in the workspace."""

    def check(self) -> None:
        """Refuse options that contradict one another.

        Raises:
            UsageError: they do.
        """
        if self.uplink_bps is not None and self.link is not None:
            raise UsageError(
                "--bw and --link exclude each other", hint="a measured link has its own rate: leave one out"
            )
        if self.uplink_bps is None and (self.downlink_bps is not None or self.rtt_s):
            raise UsageError(
                "--down and --rtt belong to --bw", hint="a measured link has its own: add --bw, or leave them out"
            )

    def chosen(self, address: str | None, workspace: Workspace, progress: Progress) -> tuple[Link, list[str]]:
        """The link, to the server at an address where one is named, and reasons to trust it less.

        Raises:
            OffloadError: none was told, and none was measured.
        """
        if self.uplink_bps is not None:
            declared = Link(
                uplink_bps=self.uplink_bps, downlink_bps=self.downlink_bps or self.uplink_bps, rtt_s=self.rtt_s
            )
            return declared, []
        if self.link is not None:
            measured = LinkProfile.load(self.link)
        else:
            to = "" if address is None else f" to {address}"
            found = workspace.newest(LinkProfile, fits=lambda link: address is None or link.server == address)
            if found is None:
                raise OffloadError(
                    f"no --bw, and no measured link{to} in {workspace.root}",
                    hint="add --bw 450mbps, or measure with `offload link HOST:PORT`",
                )
            progress.note(f"link{to}: took the newest one measured, {found[0]}")
            measured = found[1]
        if measured.stopped == "time":
            return measured.link(), []
        return measured.link(), [
            f"measuring the link ended early ({measured.stopped}): measure again with `offload link`"
        ]
