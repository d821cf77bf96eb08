"""`offload fit`: measure what kernels cost on this machine, so that models can be predicted without running them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offload.cli.delivery import Delivery
from offload.cli.options import (
    Format,
    FormatOption,
    IdlePowerOption,
    JsonOption,
    OutputOption,
    PowerOption,
    chosen_format,
    existing_file,
)
from offload.cli.profile import Dtype, MeterChoice, RuntimeChoice
from offload.cli.terminal import Terminal
from offload.errors import UsageError
from offload.units import parse_duration, parse_power

if TYPE_CHECKING:
    from offload import api
    from offload.artifacts.costs import Costs


_MEASURING = (
    *("device", "runtime", "dtype", "threads", "budget", "power", "idle_power", "meter", "restart", "output"),
    "dry_run",
)
"""Options that do not go with --show."""


def fit(
    context: typer.Context,
    device: Annotated[str, typer.Option(metavar="NAME", help="What runs the networks: cpu, cuda or cuda:1.")] = "cpu",
    runtime: Annotated[RuntimeChoice, typer.Option(help="What runs them by.")] = RuntimeChoice.ONNXRUNTIME,
    dtype: Annotated[Dtype, typer.Option(help="Cast weights and tensors; fp16 and bf16 on torch.")] = Dtype.FP32,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads; all physical cores if left out.")
    ] = None,
    budget: Annotated[
        str, typer.Option(metavar="TIME", help="Stop after measuring for this long, earlier fits included.")
    ] = "20m",
    power: PowerOption = None,
    idle_power: IdlePowerOption = None,
    meter: Annotated[
        MeterChoice | None, typer.Option(help="What measures each kind's power; auto takes what fits the device.")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what earlier fits measured.")] = False,
    show: Annotated[
        Path | None, typer.Option(metavar="COSTS", help="Measure nothing: the report on fitted costs.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw predicted against measured, too: a .png, .svg or .html file."),
    ] = None,
    ranges: Annotated[bool, typer.Option("--all", help="With the ranges that were sampled.")] = False,
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
    output: OutputOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of -o and --picture.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and how long it takes.")] = False,
) -> None:
    """Measure random networks, and fit what their kernels cost: predicts any model on this machine."""
    from offload import api
    from offload.artifacts.costs import Costs
    from offload.artifacts.workspace import Workspace
    from offload.reports.picture import check_picture_file
    from offload.reports.render import render

    terminal: Terminal = context.obj
    form = chosen_format(form, json)
    if picture is not None:
        check_picture_file(picture, force=force)
    if show is not None:
        _refuse_measuring(context)
        existing_file(show, "--show")
        shown = Costs.load(show)
        color = terminal.color(sys.stdout)
        terminal.result(render(shown, form.value, all_layers=ranges, width=terminal.width, color=color))
        _draw(terminal, shown, picture)
        return
    request = api.FitRequest(
        device=device,
        runtime=runtime.value,
        dtype=dtype.value,
        threads=threads,
        budget_s=parse_duration(budget),
        restart=restart,
        power_w=parse_power(power) if power else None,
        idle_power_w=parse_power(idle_power) if idle_power else None,
        meter=meter.value if meter else None,
    )
    workspace = Workspace()
    if dry_run:
        outlook = api.fit_outlook(request, workspace=workspace)
        terminal.result(_intention(request, outlook, output or workspace.root))
        return
    delivery = Delivery(terminal=terminal, workspace=workspace, output=output, force=force, form=form)
    artifact = delivery.make(api.fit, request)
    runs = artifact.runtime
    name = f"{runs.name}-{runs.device}-{runs.threads}" + f"-{artifact.precision}" * (artifact.precision != "fp32")
    path = delivery.deliver(artifact, name=name, all_layers=ranges)
    _draw(terminal, artifact, picture)
    if artifact.stopped == "interrupted":
        there = picture is not None or (path is not None and output is not None)
        again = "the same command with --force" if there and not force else "the same command"
        terminal.note(f"{again} goes on where it stopped")
        raise typer.Exit(130)
    settings = (
        " --runtime torch" * (runs.name == "torch"),
        f" --device {runs.device}" * (runs.device != "cpu"),
        f" --dtype {artifact.precision}" * (artifact.precision != "fp32"),
    )
    terminal.note(f"next: offload profile MODEL --predict {path or 'FILE'}{''.join(settings)}")


def _refuse_measuring(context: typer.Context) -> None:
    for name in _MEASURING:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(
                f"--{name.replace('_', '-')} is for measuring, --show measures nothing", hint="leave one of them out"
            )


def _draw(terminal: Terminal, costs: Costs, picture: Path | None) -> None:
    if picture is None:
        return
    from offload.reports.costs import costs_picture
    from offload.reports.picture import write_picture

    write_picture(costs_picture(costs), picture)
    terminal.note(f"drawn in {picture}")


def _intention(request: api.FitRequest, outlook: api.FitOutlook, destination: Path) -> str:
    threads = f"{outlook.threads} thread{'s' if outlook.threads != 1 else ''}"
    before = ""
    if outlook.networks_before:
        spent = _minutes(outlook.seconds_before)
        before = f"beside {outlook.networks_before} that were measured before, in {spent}\n"
    powers = "then the power of each kind by the meter, for a minute or two\n" if outlook.metered else ""
    if request.power_w is not None:
        powers = f"with energy modelled from {request.power_w:g} W\n"
    return (
        f"would measure about {outlook.networks_more} random networks on {request.device} with {threads}\n"
        f"for about {_minutes(outlook.seconds_more)}, within the budget of {_minutes(request.budget_s)}\n"
        f"{before}{powers}"
        f"then fit for about a minute and write the costs to {destination}\n"
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.3g} s"
