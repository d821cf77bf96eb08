"""Reports as terminal tables, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Literal

from offload.artifacts.plan import Plan
from offload.artifacts.profile import Profile
from offload.artifacts.verification import Verification
from offload.reports.document import Report, Section, human
from offload.reports.plan import plan_report
from offload.reports.profile import profile_report
from offload.reports.verification import verification_report

if TYPE_CHECKING:
    from rich.console import Console

    from offload.artifacts.base import Artifact

Form = Literal["table", "json", "csv", "md"]


def render(artifact: Artifact, form: Form, *, all_layers: bool = False, width: int = 200, color: bool = False) -> str:
    """An artifact as text.

    Args:
        artifact: A profile, plan or verification.
        form: `json` is the artifact itself; the others are its report.
        all_layers: Every row of a profile rather than the slowest; CSV always has every row.
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
        case Plan():
            return plan_report(artifact)
        case Verification():
            return verification_report(artifact)
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
        width=width,
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
    from rich import box
    from rich.table import Table

    console.print()
    if section.title:
        console.print(section.title, style="bold", soft_wrap=True)
    if section.rows:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="")
        for number, title in enumerate(section.columns):
            right = any(not isinstance(row[number], str) for row in section.rows)
            table.add_column(title, justify="right" if right else "left", overflow="fold")
        for row in section.rows:
            table.add_row(*map(human, row))
        console.print(table)
    for line in section.lines:
        console.print(line, soft_wrap=True)


def _markdown(report: Report) -> str:
    lines = [f"# {report.title}"]
    for section in report.sections:
        lines += ["", f"## {section.title}"] if section.title else []
        if section.rows:
            numeric = [
                any(not isinstance(row[number], str) for row in section.rows) for number in range(len(section.columns))
            ]
            lines += ["", _pipe_row(section.columns), _pipe_row(["---:" if each else "---" for each in numeric])]
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
