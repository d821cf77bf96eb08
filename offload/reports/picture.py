"""Line, scatter and bar charts as files: PNG, SVG, or an HTML page that needs nothing else."""

from __future__ import annotations

import contextlib
import html
import io
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from offload.errors import OffloadError, UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Style = Literal["line", "dashed", "steps", "points", "marked", "bars"]
_ENDINGS = (".png", ".svg", ".html")
_COLORS = 10
"""After so many the colours begin again."""
_HEADROOM = 1.03
_WIDTH_IN, _COLUMN_IN, _PANEL_IN, _DPI = 8.0, 6.0, 2.4, 150


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points that belong together."""

    label: str
    """In the legend; empty for none."""
    x: Sequence[float]
    y: Sequence[float]
    style: Style = "line"
    """`steps` holds each value until the next x; `marked` is a line that shows its points; `bars` lie in rows, y."""
    color: str | None = None
    """As matplotlib names it; None takes the next one."""
    start: Sequence[float] = ()
    """Where each bar begins, which ends at x; 0 where this is empty."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes."""

    series: Sequence[Series]
    x_label: str
    y_label: str
    log_x: bool = False
    log_y: bool = False
    height: float = 1.0
    """Against that of the other panels."""
    legend: Literal["best", "upper left", "beside"] = "best"
    """Where, finding the best place among many points takes long; `beside` is outside, on the right."""
    rows: Sequence[str] = ()
    """Names of bars' rows, from 0, the first on top."""
    from_zero: bool = False
    """Whether the y axis begins at 0."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Panels, row by row."""

    title: str
    panels: Sequence[Panel]
    share_x: bool = False
    """Whether the panels have one x axis, labelled under the last; of one column only."""
    columns: int = 1


def check_picture_file(path: Path, *, force: bool) -> None:
    """Refuse, before any work, a file that a picture cannot be written to.

    Raises:
        UsageError: another ending than .png, .svg or .html.
        OffloadError: it is a folder, is there already, or its folder is not there or cannot be written to.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise UsageError(f"{path}: pictures are {', '.join(_ENDINGS)} files", hint="name it like picture.png")
    if path.is_dir():
        raise OffloadError(f"{path} is a folder", hint="name a file in it")
    if path.exists() and not force:
        raise OffloadError(f"{path} is there already", hint="add --force to replace it, or name another file")
    if not path.parent.is_dir():
        raise OffloadError(f"{path}: the folder {path.parent} is not there", hint="make it first, or name another")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OffloadError(
            f"cannot write to {path.parent}: {error.strerror}", hint="name a file in a folder you can write to"
        ) from error


def write_picture(picture: Picture, path: Path) -> None:
    """Draw a picture into a file; its ending says how.

    Raises:
        OffloadError: it cannot be written; what was there stays, and no part of it is left.
    """
    figure = _draw(picture)
    data = io.BytesIO()
    if path.suffix.lower() == ".png":
        figure.savefig(data, format="png", dpi=_DPI)
    else:
        figure.savefig(data, format="svg", metadata={"Date": None})
    content = data.getvalue()
    if path.suffix.lower() == ".html":
        content = _page(picture.title, content.decode()).encode()
    whole = path.resolve()
    temporary = whole.with_name(f".{whole.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(whole)
    except OSError as error:
        raise OffloadError(f"cannot write {path}: {error.strerror}", hint="name a file you can write to") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _draw(picture: Picture) -> Figure:
    from matplotlib.figure import Figure  # no pyplot: no window, no state that outlives the picture

    count = picture.columns
    rows = [picture.panels[start : start + count] for start in range(0, len(picture.panels), count)]
    heights = [max(panel.height for panel in row) for row in rows]
    width = _WIDTH_IN if count == 1 else _COLUMN_IN * count
    figure = Figure(figsize=(width, _PANEL_IN * sum(heights) + 0.6), layout="constrained")
    every = figure.subplots(
        len(heights), count, squeeze=False, sharex=picture.share_x, gridspec_kw={"height_ratios": heights}
    )
    for number, axes in enumerate(every.flat):
        if number >= len(picture.panels):
            axes.set_axis_off()
            continue
        _draw_panel(picture.panels[number], axes)
        if picture.share_x and number < len(heights) - 1:
            axes.set_xlabel("")
    figure.suptitle(picture.title)
    return figure


def _draw_panel(panel: Panel, axes: Axes) -> None:
    from matplotlib.ticker import LogFormatter, MaxNLocator

    class PlainNumbers(LogFormatter):
        """Labels where it would have them: 0.2 rather than 2e-01."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    for number, series in enumerate(panel.series):
        label = series.label or None
        match series.style:
            case "points":
                marker = "." if number < _COLORS else "x"
                axes.plot(series.x, series.y, marker, markersize=4, label=label, color=series.color)
            case "steps":
                axes.step(series.x, series.y, where="post", linewidth=1.2, label=label, color=series.color)
            case "dashed":
                axes.plot(series.x, series.y, "--", linewidth=1.2, label=label, color=series.color)
            case "line":
                axes.plot(series.x, series.y, linewidth=1.2, label=label, color=series.color)
            case "marked":
                axes.plot(series.x, series.y, "o-", markersize=4, linewidth=1.2, label=label, color=series.color)
            case "bars":
                start = series.start or [0.0] * len(series.x)
                wide = [end - begin for begin, end in zip(start, series.x, strict=True)]
                axes.barh(series.y, wide, left=start, height=0.7, label=label, color=series.color)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if panel.log_x:
        axes.set_xscale("log")
    if panel.log_y:
        axes.set_yscale("log")
    for axis in (axes.xaxis,) * panel.log_x + (axes.yaxis,) * panel.log_y:
        axis.set_major_formatter(PlainNumbers())
        axis.set_minor_formatter(PlainNumbers(minor_thresholds=(2, 0.5)))
    if panel.rows:
        axes.set_yticks(range(len(panel.rows)), panel.rows)
        axes.set_ylim(len(panel.rows) - 0.5, -0.5)
    elif panel.from_zero:
        axes.set_ylim(0, _HEADROOM * axes.get_ylim()[1])
    if all(isinstance(value, int) for series in panel.series for value in series.x):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, alpha=0.3)
    if any(series.label for series in panel.series):
        if panel.legend == "beside":
            axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
        else:
            axes.legend(fontsize="small", loc=panel.legend)


def _page(title: str, svg: str) -> str:
    drawing = svg[svg.index("<svg") :]
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        f"<style>body {{ margin: 1em auto; max-width: 60em }} svg {{ width: 100%; height: auto }}</style>\n{drawing}"
        "</html>\n"
    )
