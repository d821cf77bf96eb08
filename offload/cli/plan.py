"""`offload plan`: choose where to cut a profiled model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from offload.cli.delivery import Delivery
from offload.cli.options import (
    ForceOption,
    Format,
    FormatOption,
    JsonOption,
    OutputOption,
    PlotOption,
    TlsCaOption,
    TokenOption,
    artifact_file,
    chosen_format,
    existing_file,
)
from offload.cli.plan_video import plan_video
from offload.cli.profile_clip import given
from offload.cli.terminal import Terminal
from offload.errors import UsageError
from offload.units import parse_battery, parse_duration, parse_energy, parse_fraction, parse_rate, parse_size

_MOST = 10_000
T = TypeVar("T")


class Target(StrEnum):
    """What a plan minimises, or for the throughput maximises."""

    LATENCY = "latency"
    ENERGY = "energy"
    THROUGHPUT = "throughput"
    BANDWIDTH = "bandwidth"


def plan(
    context: typer.Context,
    bw: Annotated[
        str | None,
        typer.Option("--bw", metavar="RATE", help="Uplink, device to server, as 450mbps or 56MB/s."),
    ] = None,
    down: Annotated[str | None, typer.Option(metavar="RATE", help="Downlink; the uplink's rate if left out.")] = None,
    rtt: Annotated[str, typer.Option(metavar="TIME", help="Round trip of an empty message, as 4ms.")] = "0ms",
    link: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A measured link, for --bw; the newest measured if both are left out."),
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The device's profile; the newest one if left out.")
    ] = None,
    server: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            help="A profile made there, HOST:PORT (profiles there), or a preset; repeatable: the best, with elf all.",
        ),
    ] = None,
    target: Annotated[
        Target, typer.Option(help="What to make best; throughput of networks, bandwidth of videos.")
    ] = Target.LATENCY,
    planner: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="mincut, exact; deepcod, with a codec at the cut; neurosurgeon or maui, as in papers; elf: videos.",
        ),
    ] = "mincut",
    pareto: Annotated[
        bool,
        typer.Option(
            "--pareto", help="List the options that none beats in both latency and energy; of videos, bytes and AP50."
        ),
    ] = False,
    max_latency: Annotated[
        str | None, typer.Option(metavar="TIME", help="Limit: the most a request may take, as 50ms.")
    ] = None,
    max_energy: Annotated[
        str | None, typer.Option(metavar="ENERGY", help="Limit: the most a request may draw here, as 0.2J.")
    ] = None,
    device_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Limit: weights and live tensors here, as 512MiB.")
    ] = None,
    server_memory: Annotated[str | None, typer.Option(metavar="SIZE", help="Limit: the same on the server.")] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYER=SIDE", help="Limit: run this layer on the device or the server; repeatable."),
    ] = None,
    private_depth: Annotated[
        str | None, typer.Option(metavar="LAYER", help="Limit: no tensor from above this layer's output leaves.")
    ] = None,
    bench: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Codecs: what they cost and keep; the newest bench if left out."),
    ] = None,
    codecs: Annotated[
        str, typer.Option(metavar="NAMES", help="Codecs: those to choose from, as deepcod,webp.")
    ] = "all",
    max_accuracy_loss: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Codecs: the most accuracy that may be lost, as 1%.")
    ] = None,
    min_accuracy: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="Codecs: the least accuracy behind one, as 92%. Videos: the least AP50, or -1% for a point below the "
            "whole frame's, which is what is taken if left out.",
        ),
    ] = None,
    slowdown: Annotated[
        float,
        typer.Option(
            "--emulate-slowdown", min=1, max=_MOST, metavar="N", help="A device N times slower than profiled."
        ),
    ] = 1,
    device_load: Annotated[
        float, typer.Option(min=1, max=_MOST, metavar="K", help="Other work makes the device K times slower.")
    ] = 1,
    server_load: Annotated[
        float, typer.Option(min=1, max=_MOST, metavar="K", help="Other work makes the server K times slower.")
    ] = 1,
    radio: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Energy: the device's radio, wifi, lte, 3g, 5g-low-band or 5g-mmwave."),
    ] = None,
    paper_energy: Annotated[
        bool, typer.Option("--paper-energy", help="Energy: charge computing and sending only, not waiting, receiving.")
    ] = False,
    battery: Annotated[
        str | None, typer.Option(metavar="CHARGE", help="Energy: requests on a full battery, as 3000mAh,3.85V.")
    ] = None,
    video_profile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Videos: a clip's profile; the newest one if left out.")
    ] = None,
    servers: Annotated[
        int | None, typer.Option(metavar="N", help="Videos: N servers like the profile's machine, for --server.")
    ] = None,
    plot: PlotOption = None,
    token: TokenOption = None,
    tls_ca: TlsCaOption = None,
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
    output: OutputOption = None,
    force: ForceOption = False,
) -> None:
    """Choose where to cut a profiled model between this device and a server, or how servers share a video's frames."""
    from offload import api
    from offload.artifacts.workspace import Workspace

    terminal: Terminal = context.obj
    workspace = Workspace()
    delivery = Delivery(
        terminal=terminal, workspace=workspace, output=output, force=force, form=chosen_format(form, json)
    )
    if planner == "elf":
        plan_video(
            context, delivery, video_profile=video_profile, server=server, servers=servers, bw=bw, down=down, rtt=rtt,
            link=link, target=target.value, min_accuracy=min_accuracy, radio=radio, pareto=pareto, plot=plot,
            token=token, tls_ca=tls_ca,
        )  # fmt: skip
        return
    request = api.PlanRequest(
        profile=artifact_file(profile, "--profile", "profile"),
        server=tuple(server) if server else None,
        uplink_bps=_given(parse_rate, bw),
        downlink_bps=_given(parse_rate, down),
        rtt_s=parse_duration(rtt),
        link=artifact_file(link, "--link", "link"),
        target=_target_of_networks(context, target),
        planner=planner,
        pareto=pareto,
        max_latency_s=_given(parse_duration, max_latency),
        max_energy_j=_given(parse_energy, max_energy),
        device_memory_bytes=_given(parse_size, device_memory),
        server_memory_bytes=_given(parse_size, server_memory),
        pins=parse_pins(pin or ()),
        private_depth=private_depth,
        bench=artifact_file(bench, "--bench", "codec-bench"),
        codecs=None if codecs == "all" else tuple(name.strip() for name in codecs.split(",") if name.strip()),
        max_accuracy_loss=_given(partial(parse_fraction, allow_zero=True), max_accuracy_loss),
        min_accuracy=_given(parse_fraction, min_accuracy),
        device_slowdown=slowdown,
        device_load=device_load,
        server_load=server_load,
        radio=radio,
        paper_energy=paper_energy,
        battery_j=_given(parse_battery, battery),
        token=token,
        tls_ca=existing_file(tls_ca, "--tls-ca"),
    )
    artifact = delivery.make(api.plan, request)
    delivery.deliver(artifact, name=artifact.model.name)
    terminal.note(f"next: offload verify{f' {output}' if output and output != Path('-') else ''}")


def _target_of_networks(context: typer.Context, target: Target) -> Literal["latency", "energy", "throughput"]:
    """The target, after a look for options that are about videos."""
    for name in ("video_profile", "servers", "plot"):
        if given(context, name):
            raise UsageError(f"--{name.replace('_', '-')} is about videos", hint="add --planner elf")
    match target:
        case Target.LATENCY:
            return "latency"
        case Target.ENERGY:
            return "energy"
        case Target.THROUGHPUT:
            return "throughput"
    raise UsageError("--target bandwidth is about videos", hint="add --planner elf, or use latency or energy")


def _given(parse: Callable[[str], T], text: str | None) -> T | None:
    return None if text is None else parse(text)


def parse_pins(texts: Iterable[str]) -> dict[str, Literal["device", "server"]]:
    """Layer names to sides, from texts such as `conv1=device`.

    Raises:
        UsageError: a text of another form, or one layer on both sides.
    """
    pins: dict[str, Literal["device", "server"]] = {}
    for text in texts:
        layer, _, side = text.rpartition("=")
        if not layer or side not in ("device", "server"):
            raise UsageError(
                f"--pin {text}: not a layer and a side", hint="write it like --pin conv1=device or =server"
            )
        if pins.get(layer, side) != side:
            raise UsageError(f"--pin: {layer} cannot run on both sides", hint="leave one of its pins out")
        pins[layer] = "device" if side == "device" else "server"
    return pins
