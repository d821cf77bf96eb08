"""Reports as terminal tables, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Literal

from offload.artifacts.codec import TrainedCodec
from offload.artifacts.codec_bench import CodecBench
from offload.artifacts.costs import Costs
from offload.artifacts.link import LinkProfile
from offload.artifacts.plan import Plan
from offload.artifacts.preset import CalibratedPreset
from offload.artifacts.profile import Profile
from offload.artifacts.reproduction import Reproduction
from offload.artifacts.simulation import Simulation
from offload.artifacts.verification import Verification
from offload.artifacts.video_plan import VideoPlan
from offload.artifacts.video_profile import VideoProfile
from offload.artifacts.video_run import VideoRun
from offload.artifacts.video_verification import VideoVerification
from offload.reports.codec_bench import codec_bench_report
from offload.reports.costs import costs_report
from offload.reports.document import Report, Section, human
from offload.reports.link import link_report
from offload.reports.plan import plan_report
from offload.reports.presets import preset_report
from offload.reports.profile import profile_report
from offload.reports.reproduction import reproduction_report
from offload.reports.simulation import simulation_report
from offload.reports.trained_codecs import trained_codec_report
from offload.reports.verification import verification_report
from offload.reports.video_plan import video_plan_report
from offload.reports.video_profile import video_profile_report
from offload.reports.video_run import video_run_report
from offload.reports.video_verification import video_verification_report

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from offload.artifacts.base import Artifact

Form = Literal["table", "json", "csv", "md"]
_NARROWEST = 80
_GAP = 3
_SHRUNK = 24


def render(artifact: Artifact, form: Form, *, all_layers: bool = False, width: int = 200, color: bool = False) -> str:
    """An artifact as text.

    Args:
        artifact: One that there is a report on.
        form: `json` is the artifact itself; the others are its report.
        all_layers: Every row of a profile rather than the slowest, and the ranges of costs; CSV always has both.
        width: Columns that a table may take.
        color: Whether a table may use terminal colours.

    Raises:
        TypeError: there is no report on this kind of artifact.
    """
    return (
        artifact.to_json()
        if form == "json"
        else render_report(report_on(artifact, all_layers=all_layers), form, width=width, color=color)
    )


def report_on(artifact: Artifact, *, all_layers: bool = False) -> Report:
    """The report on an artifact; see `render`."""
    match artifact:
        case Profile():
            return profile_report(artifact, all_layers=all_layers)
        case LinkProfile():
            return link_report(artifact)
        case Plan():
            return plan_report(artifact)
        case Verification():
            return verification_report(artifact)
        case Simulation():
            return simulation_report(artifact)
        case CalibratedPreset():
            return preset_report(artifact)
        case Costs():
            return costs_report(artifact, ranges=all_layers)
        case CodecBench():
            return codec_bench_report(artifact)
        case Reproduction():
            return reproduction_report(artifact)
        case TrainedCodec():
            return trained_codec_report(artifact)
        case VideoProfile():
            return video_profile_report(artifact)
        case VideoRun():
            return video_run_report(artifact)
        case VideoVerification():
            return video_verification_report(artifact)
        case VideoPlan():
            return video_plan_report(artifact)
    raise TypeError(f"there is no report on a {artifact.kind}")


def render_report(report: Report, form: Form, *, width: int = 200, color: bool = False) -> str:
    """A report as text; JSON and CSV hold its records."""
    match form:
        case "table":
            return _table(report, width, color)
        case "md":
            return _markdown(report)
        case "csv":
            return _csv(report)
        case "json":
            return json.dumps(report.records, indent=1) + "\n"


def _table(report: Report, width: int, color: bool) -> str:
    from rich.console import Console

    console = Console(
        file=io.StringIO(),
        width=max(width, _NARROWEST),
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(report.title, style="bold", soft_wrap=True)
    for section in report.sections:
        _print_section(console, section)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _print_section(console: Console, section: Section) -> None:
    console.print()
    if section.title:
        console.print(section.title, style="bold", soft_wrap=True)
    if section.rows:
        without = _left_out(section, console.width)
        console.print(_rich_table(section, without))
        if without:
            console.print(f"(not shown in {console.width} columns: {', '.join(without)})", soft_wrap=True)
    for line in section.lines:
        console.print(line, soft_wrap=True)


def _left_out(section: Section, width: int) -> tuple[str, ...]:
    """The fewest expendable columns without which the table fits when its prose wraps."""
    sizes = [
        min(size, _SHRUNK) if prose else size for size, prose in zip(_sizes(section), _prose(section), strict=True)
    ]
    dropped = 0
    while dropped < len(section.expendable):
        without = section.expendable[:dropped]
        kept = [size for title, size in zip(section.columns, sizes, strict=True) if title not in without]
        if sum(kept) + _GAP * (len(kept) - 1) <= width:
            break
        dropped += 1
    return section.expendable[:dropped]


def _rich_table(section: Section, without: tuple[str, ...]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="")
    kept = [number for number, title in enumerate(section.columns) if title not in without]
    numeric, prose = _numeric(section), _prose(section)
    for number in kept:
        table.add_column(
            section.columns[number],
            justify="right" if numeric[number] else "left",
            overflow="fold" if prose[number] else "ellipsis",
            no_wrap=not prose[number],
        )
    for row in section.rows:
        table.add_row(*(human(row[number]) for number in kept))
    return table


def _sizes(section: Section) -> list[int]:
    """Characters each column takes by nature."""
    return [
        max(len(title), *(len(human(row[number])) for row in section.rows))
        for number, title in enumerate(section.columns)
    ]


def _prose(section: Section) -> list[bool]:
    """Which columns are text long enough to wrap."""
    return [size > _SHRUNK and not numeric for size, numeric in zip(_sizes(section), _numeric(section), strict=True)]


def _numeric(section: Section) -> list[bool]:
    """Which columns hold numbers."""
    return [any(not isinstance(row[number], str) for row in section.rows) for number in range(len(section.columns))]


def _markdown(report: Report) -> str:
    lines = [f"# {report.title}"]
    for section in report.sections:
        lines += ["", f"## {section.title}"] if section.title else []
        if section.rows:
            rule = ["---:" if numeric else "---" for numeric in _numeric(section)]
            lines += ["", _pipe_row(section.columns), _pipe_row(rule)]
            lines += [_pipe_row([human(cell) for cell in row]) for row in section.rows]
        if section.lines:
            lines += ["", *(f"- {_escaped(line)}" for line in section.lines)]
    return "\n".join(lines) + "\n"


def _pipe_row(cells: tuple[str, ...] | list[str]) -> str:
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _csv(report: Report) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(report.records[0]) if report.records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(report.records)
    return text.getvalue()
