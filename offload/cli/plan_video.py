"""`offload plan --planner elf`: the same verb for videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from offload.cli.delivery import Delivery
from offload.cli.options import artifact_file, existing_file
from offload.cli.profile_clip import given
from offload.errors import UsageError
from offload.units import parse_duration, parse_fraction, parse_rate

if TYPE_CHECKING:
    from offload.cli.terminal import Terminal

_OF_VIDEOS = frozenset(
    {
        *("video_profile", "server", "servers", "bw", "down", "rtt", "link", "target", "planner", "pareto", "plot"),
        *("min_accuracy", "radio", "token", "tls_ca", "form", "json", "output", "force"),
    }
)
"""Parameters of `plan` that are about videos, too."""
_TARGETS: dict[str, Literal["latency", "energy", "bandwidth"]] = {
    "latency": "latency", "energy": "energy", "bandwidth": "bandwidth",
}  # fmt: skip


def plan_video(
    context: typer.Context,
    delivery: Delivery,
    *,
    video_profile: Path | None,
    server: list[str] | None,
    servers: int | None,
    bw: str | None,
    down: str | None,
    rtt: str,
    link: Path | None,
    target: str,
    min_accuracy: str | None,
    radio: str | None,
    pareto: bool,
    plot: Path | None,
    token: str | None,
    tls_ca: Path | None,
) -> None:
    """Plan, deliver, and say what comes next.

    Raises:
        UsageError: an option was given that is about networks.
    """
    from offload import api
    from offload.reports.picture import check_picture_file, write_picture

    _refuse_those_of_networks(context)
    if plot is not None:
        check_picture_file(plot, force=delivery.force)
    if target not in _TARGETS:
        raise UsageError(f"--target {target} is for networks, not for videos", hint="use one of " + ", ".join(_TARGETS))
    least_ap50, most_lost = parse_floor(min_accuracy)
    request = api.VideoPlanRequest(
        profile=artifact_file(video_profile, "--video-profile", "video-profile"),
        servers=tuple(server or ()),
        alike=servers,
        link=api.LinkChoice(
            uplink_bps=None if bw is None else parse_rate(bw),
            downlink_bps=None if down is None else parse_rate(down),
            rtt_s=parse_duration(rtt),
            link=artifact_file(link, "--link", "link"),
        ),
        target=_TARGETS[target],
        least_ap50=least_ap50,
        most_lost=most_lost,
        radio=radio,
        pareto=pareto,
        token=token,
        tls_ca=existing_file(tls_ca, "--tls-ca"),
    )
    terminal: Terminal = context.obj
    artifact = delivery.make(api.plan_video, request)
    path = delivery.deliver(artifact, name=Path(artifact.clip.name).stem)
    if plot is not None:
        from offload.reports.video_plan_plots import video_plan_picture

        write_picture(video_plan_picture(artifact), plot)
        terminal.note(f"drawn in {plot}")
    terminal.note(f"next: offload verify {path or 'PLAN'}")


def parse_floor(text: str | None) -> tuple[float | None, float]:
    """The least AP50, or None, and how much may be lost against the whole frame's; 1 % where nothing was said.

    Raises:
        UsageError: it is neither like 80% nor like -1%.
    """
    if text is None:
        return None, 0.01
    share = parse_fraction(text.removeprefix("-"), allow_zero=True)
    if share > 1:
        raise UsageError(
            f"--min-accuracy {text}: an AP50 is from 0% to 100%",
            hint="write it like --min-accuracy 80%, or -1% for one point below the whole frame's",
        )
    return (None, share) if text.startswith("-") else (share, 0.0)


def _refuse_those_of_networks(context: typer.Context) -> None:
    for name in context.params:
        if name not in _OF_VIDEOS and given(context, name):
            option = {"slowdown": "emulate-slowdown"}.get(name, name.replace("_", "-"))
            raise UsageError(f"--{option} is about networks, not about videos", hint="leave it out of --planner elf")
