"""The report on a reproduction: the paper's table beside ours, cell by cell, and the headlines."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from offload.artifacts.reproduction import Decision, DecisionCell, Reproduction
from offload.reports.document import Cell, Quantity, Report, Scalar, Section, fraction, seconds


def reproduction_report(made: Reproduction) -> Report:
    """What was decided in each cell, where that differs from the paper and why, and what it gains."""
    cells = made.cells
    compared = [cell for cell in cells if cell.agrees is not None]
    agree = sum(cell.agrees is True for cell in compared)
    title = f"Neurosurgeon's decisions for the least {made.target}"
    if compared:
        title += f": {agree} of {len(compared)} as published"
    sections = [_table(cells)]
    differing = [cell for cell in compared if not cell.agrees]
    if differing:
        sections.append(_differing(differing))
    sections += [_headlines(made), _planners(made), _throughput(made)]
    if made.variants:
        sections.append(
            Section(
                title="As published, under other assumptions",
                columns=("", "cells", "faster, mean", "geometric mean", "most"),
                rows=tuple(
                    (
                        each.words,
                        f"{each.agree} of {each.of}",
                        _times(each.speedup_mean),
                        _times(each.speedup_geometric_mean),
                        _times(each.speedup_most),
                    )
                    for each in made.variants
                ),
            )
        )
    sections.append(
        Section(
            title="What went in",
            columns=("", "value", "from"),
            rows=tuple((each.name, each.value, each.source) for each in made.parameters),
            lines=(*made.notes, f"reproduced: {made.paper}"),
            expendable=("from",),
        )
    )
    return Report(title=title, sections=tuple(sections), records=tuple(map(_record, cells)))


def _table(cells: Sequence[DecisionCell]) -> Section:
    labels = list(dict.fromkeys(cell.label for cell in cells))
    by_place: dict[tuple[str, str], dict[str, str]] = {}
    for cell in cells:
        by_place.setdefault((cell.device, cell.radio), {})[cell.label] = _point(cell)
    return Section(
        title="Where to cut: the last layer on the device"
        + ("; the paper's in brackets where it is another" if any(cell.published for cell in cells) else ""),
        columns=("device", "radio", *labels),
        rows=tuple((*place, *(points[label] for label in labels)) for place, points in by_place.items()),
    )


def _point(cell: DecisionCell) -> str:
    return cell.chosen.point if cell.agrees is not False else f"{cell.chosen.point} [{cell.published}]"


def _differing(cells: Sequence[DecisionCell]) -> Section:
    return Section(
        title="Why a cell differs",
        columns=("cell", "ours", "paper", "ours takes", "why"),
        rows=tuple(
            (
                f"{cell.label}, {cell.device}, {cell.radio}",
                cell.chosen.point,
                cell.published or "",
                seconds(cell.chosen.cost),
                cell.reason,
            )
            for cell in cells
        ),
    )


def _headlines(made: Reproduction) -> Section:
    ours, paper = made.ours, made.published
    rows: list[tuple[Cell, ...]] = []
    if made.target == "latency":
        rows += [
            ("faster than everything on the server, mean", _times(ours.speedup_mean), _times(paper.speedup_mean)),
            ("geometric mean", _times(ours.speedup_geometric_mean), _times(paper.speedup_geometric_mean)),
            ("most", _times(ours.speedup_most), _times(paper.speedup_most)),
        ]
    else:
        rows += [
            (
                "energy saved against everything on the server, mean",
                fraction(ours.saving_mean),
                fraction(paper.saving_mean),
            ),
            ("most", fraction(ours.saving_most), fraction(paper.saving_most)),
        ]
    rows += [
        ("queries a second of the server, mean", _times(ours.throughput_mean), _times(paper.throughput_mean)),
        ("most", _times(ours.throughput_most), _times(paper.throughput_most)),
    ]
    return Section(title="Headlines", columns=("", "here", "paper"), rows=tuple(rows))


def _planners(made: Reproduction) -> Section:
    """The other planners' costs over those of the paper's algorithm."""
    by_name: dict[str, Callable[[DecisionCell], Decision]] = {
        "everything on the server": lambda cell: cell.server_only,
        "everything on the device": lambda cell: cell.device_only,
        "maui, by history": lambda cell: cell.maui,
        "mincut, exact": lambda cell: cell.mincut,
    }
    rows = []
    for name, decision in by_name.items():
        ratios = [decision(cell).cost / cell.chosen.cost for cell in made.cells]
        other = sum(decision(cell).point != cell.chosen.point for cell in made.cells)
        rows.append((name, f"{other} of {len(made.cells)}", _times(statistics.mean(ratios)), _times(max(ratios))))
    return Section(
        title=f"The {made.target} of others, over that of the paper's algorithm",
        columns=("", "another point", "mean", "most"),
        rows=tuple(rows),
    )


def _throughput(made: Reproduction) -> Section:
    return Section(
        title="Queries a second that the server sustains, against everything on it",
        columns=("device", "radio", "times"),
        rows=tuple((each.device, each.radio, _times(each.times)) for each in made.throughput),
        lines=(
            "each network asked equally often; the server's time with everything on it over its time with the cuts",
        ),
    )


def _times(value: float | None) -> Quantity:
    return Quantity(value=value, unit="times")


def _record(cell: DecisionCell) -> dict[str, Scalar]:
    record: dict[str, Scalar] = {
        "device": cell.device,
        "radio": cell.radio,
        "network": cell.network,
        "label": cell.label,
        "published_point": cell.published,
        "agrees": None if cell.agrees is None else str(cell.agrees).lower(),
        "published_point_cost": cell.published_cost,
    }
    for name, decision in (
        ("neurosurgeon", cell.chosen),
        ("mincut", cell.mincut),
        ("maui", cell.maui),
        ("server_only", cell.server_only),
        ("device_only", cell.device_only),
    ):
        record |= {
            f"{name}_point": decision.point,
            f"{name}_cost": decision.cost,
            f"{name}_server_s": decision.server_s,
        }
    return {**record, "reason": cell.reason}
