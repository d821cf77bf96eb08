"""`offload video train-predictor`: learn where objects will be in the next frame."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from offload.cli.delivery import check_writable
from offload.cli.options import ForceOption, Format, FormatOption, JsonOption, chosen_format
from offload.cli.terminal import ConsoleProgress, Terminal


def train_predictor(
    context: typer.Context,
    clips: Annotated[
        list[Path] | None,
        typer.Argument(metavar="CLIP", help="Videos or folders of frames; made trajectories if left out."),
    ] = None,
    truth: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A clip's ground truth, COCO or MOT, in the order of the clips; beside them if left out.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the weights here, not to the workspace."),
    ] = None,
    force: ForceOption = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Of weights, noise and order.")] = 0,
    form: FormatOption = Format.TABLE,
    json: JsonOption = False,
) -> None:
    """Train ELF's attention LSTM on clips' ground truth and judge it beside hold, linear motion and Kalman's filter."""
    from offload.api import video_predictors as api
    from offload.artifacts.workspace import Workspace
    from offload.reports.proposal_predictors import predictors_report
    from offload.reports.render import render_report

    terminal: Terminal = context.obj
    form = chosen_format(form, json)
    request = api.TrainPredictorRequest(
        clips=tuple(clips or ()), truths=tuple(truth or ()), output=output, force=force, seed=seed
    )
    workspace, progress = Workspace(), ConsoleProgress(terminal)
    check_writable(workspace.root if output is None else output.parent)
    try:
        trained = api.train_predictor(request, workspace=workspace, progress=progress)
    finally:
        progress.finish()
    report = predictors_report(trained.qualities, judged_by=trained.judged_by, trained=trained.weights)
    terminal.result(render_report(report, form.value, width=terminal.width, color=terminal.color(sys.stdout)))
    terminal.note(f"written to {trained.path}")
    terminal.note(f"next: offload profile {clips[0] if clips else 'CLIP'} --detector digits")
