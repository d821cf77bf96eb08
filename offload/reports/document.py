"""What a report is made of, before it becomes a table, Markdown or CSV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from offload.artifacts.estimate import Estimate
from offload.units import format_duration, format_energy, format_flops, format_rate, format_size

Unit = Literal["s", "B", "B/s", "FLOP", "FLOP/s", "J", "W", "bit/s", "fraction", "change", "times", "count"]
Scalar = str | int | float | None
NOTHING = "–"


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number in a base unit; rendering chooses the prefix."""

    value: float | None
    """None when there is no reading, which is not 0."""
    unit: Unit


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The ends of an estimate's interval, in a base unit."""

    low: float
    high: float
    unit: Unit


Cell = str | Quantity | Interval


@dataclass(frozen=True, kw_only=True)
class Section:
    """A titled table with prose under it; either may be empty."""

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    lines: tuple[str, ...] = ()
    expendable: tuple[str, ...] = ()
    """Columns that a narrow terminal goes without, the first one first."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Sections for people, and the same content as flat records for programs."""

    title: str
    sections: tuple[Section, ...]
    records: tuple[dict[str, Scalar], ...]
    """Rows with the same keys each; the keys end in the unit, which is a base unit."""


def human(cell: Cell) -> str:
    """A cell as people read it."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Quantity):
        return NOTHING if cell.value is None else _format(cell.value, cell.unit)
    low, high = _format(cell.low, cell.unit), _format(cell.high, cell.unit)
    number, _, unit = low.rpartition(" ")
    return f"{number} – {high}" if number and high.endswith(f" {unit}") else f"{low} – {high}"


def seconds(value: float | Estimate | None) -> Quantity:
    """A duration."""
    return _quantity(value, "s")


def joules(value: float | Estimate | None) -> Quantity:
    """An energy."""
    return _quantity(value, "J")


def watts(value: float | Estimate | None) -> Quantity:
    """A power."""
    return _quantity(value, "W")


def fraction(value: float | None) -> Quantity:
    """A fraction of one, shown in per cent."""
    return Quantity(value=value, unit="fraction")


def change(value: float | None) -> Quantity:
    """A fraction by which something differs, shown in per cent with its sign."""
    return Quantity(value=value, unit="change")


def interval(estimate: Estimate | None, unit: Unit) -> Cell:
    """The interval of an estimate; a dash where there is none to show."""
    if estimate is None or estimate.low == estimate.high:
        return NOTHING
    return Interval(low=estimate.low, high=estimate.high, unit=unit)


def _quantity(value: float | Estimate | None, unit: Unit) -> Quantity:
    return Quantity(value=value.value if isinstance(value, Estimate) else value, unit=unit)


def _format(value: float, unit: Unit) -> str:
    match unit:
        case "s":
            return format_duration(value) if value else "0 s"
        case "B":
            return format_size(value)
        case "B/s":
            return format_size(value) + "/s"
        case "FLOP":
            return format_flops(value)
        case "FLOP/s":
            return format_flops(value) + "/s"
        case "J":
            return format_energy(value) if value else "0 J"
        case "bit/s":
            return format_rate(value)
        case "W":
            return f"{value:.4g} W"
        case "fraction":
            return f"{value * 100:.1f} %"
        case "change":
            return f"{value * 100:+.1f} %"
        case "times":
            return f"{value:.2f}×"
        case "count":
            return f"{value:,.0f}".replace(",", " ")


def estimate_record(name: str, unit: str, value: Estimate | None) -> dict[str, Scalar]:
    """The three keys of an estimate, for example `median_s`, `median_low_s` and `median_high_s`."""
    return {
        f"{name}_{unit}": None if value is None else value.value,
        f"{name}_low_{unit}": None if value is None else value.low,
        f"{name}_high_{unit}": None if value is None else value.high,
    }
